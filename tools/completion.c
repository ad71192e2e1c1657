/* SPDX-License-Identifier: Apache-2.0 */
/* ringclr completion: what a shell needs to complete ringclr's command lines, from the tables of options. */
#include "tools/completion.h"

#include <ctype.h>
#include <string.h>

#include "tools/command.h"

const struct option_table command_completion_table = {
	.command = "completion",
	.about = "Prints a script that teaches a shell to complete commands, options, the words that options take, "
		 "shards and other files. 'make install' puts both where the shells look for them.",
	.operands = "bash|zsh",
	.operand_help = "the shell",
	.operand_min = 1,
	.operand_max = 1,
	.examples = "source <(ringclr completion bash)\n"
		    "ringclr completion bash >~/.local/share/bash-completion/completions/ringclr\n"
		    "ringclr completion zsh >~/.zfunc/_ringclr\n",
};

static void add_word(char *list, size_t capacity, const char *word, size_t bytes)
{
	size_t used = strlen(list);
	if (used + bytes + 2 <= capacity)
		snprintf(list + used, capacity - used, "%s%.*s", used > 0 ? " " : "", (int)bytes, word);
}

static bool is(const char *word, size_t bytes, const char *wanted)
{
	return strlen(wanted) == bytes && memcmp(word, wanted, bytes) == 0;
}

/* One of the words that a metavar is made of. */
static void add_kind(struct completion_value *value, const char *word, size_t bytes)
{
	if (bytes > 0 && islower((unsigned char)word[0])) {
		add_word(value->words, sizeof(value->words), word, bytes);
	} else if (is(word, bytes, "SHARD")) {
		add_word(value->extensions, sizeof(value->extensions), "ring json", 9);
	} else if (is(word, bytes, "FILE") || is(word, bytes, "IN")) {
		add_word(value->extensions, sizeof(value->extensions), "any", 3);
	} else if (bytes > 5 && memcmp(word, "FILE.", 5) == 0) {
		add_word(value->extensions, sizeof(value->extensions), word + 5, bytes - 5);
	} else if (is(word, bytes, "DIR") || is(word, bytes, "RUN")) {
		value->folders = true;
	} else if (is(word, bytes, "COMMAND")) {
		const struct option_table *root = &command_root_table;
		for (unsigned i = 0; i < root->mode_count; i++)
			add_word(value->words, sizeof(value->words), root->modes[i].name, strlen(root->modes[i].name));
	}
}

static void add_kinds(struct completion_value *value, const char *metavar)
{
	while (*metavar != '\0') {
		size_t bytes = strcspn(metavar, "| ");
		add_kind(value, metavar, bytes);
		metavar += bytes + (metavar[bytes] != '\0');
	}
}

void completion_value_of(const struct option_spec *spec, struct completion_value *value)
{
	*value = (struct completion_value){.words = ""};
	if (spec->choices != NULL)
		add_kinds(value, spec->choices);
	if (spec->metavar != NULL)
		add_kinds(value, spec->metavar);
}

void completion_operands_of(const struct option_table *table, struct completion_value *value)
{
	*value = (struct completion_value){.words = ""};
	for (unsigned i = 0; i < table->mode_count; i++)
		add_word(value->words, sizeof(value->words), table->modes[i].name, strlen(table->modes[i].name));
	if (table->modes == NULL && table->operands != NULL)
		add_kinds(value, table->operands);
}

int command_completion(int argc, char **argv)
{
	struct options parsed;
	int status = options_parse(&parsed, &command_completion_table, NULL, argc, argv);
	if (status != OPTIONS_GO)
		return status;
	struct error err = {0};
	const char *shell = parsed.operands[0];
	int code = 0;
	if (strcmp(shell, "bash") == 0)
		completion_bash(stdout);
	else if (strcmp(shell, "zsh") == 0)
		completion_zsh(stdout);
	else
		code = error_set(
			&err, ERROR_USAGE, "no completion for '%s'; there is one for bash and one for zsh", shell);
	options_free(&parsed);
	return code < 0 ? command_fail("completion", &err) : EXIT_OK;
}
