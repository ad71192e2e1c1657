/* SPDX-License-Identifier: Apache-2.0 */
/* ringclr pack and append: images in, shards out. pack.h says how. */
#include "tools/pack.h"

#include <errno.h>
#include <inttypes.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "pipeline/cpu.h"
#include "pipeline/meter.h"
#include "pipeline/philox.h"
#include "tools/command.h"
#include "tools/pack_braces.h"
#include "tools/pack_options.h"

/* ---- first pass ---- */

static const struct pack_source *find_by_probe(const char *path, const struct stat *status, struct error *err)
{
	/* The first that takes it: what is special comes first. */
	static const struct pack_source *const sources[] = {&pack_source_list, &pack_source_mds,
		&pack_source_mds_packed, &pack_source_folder, &pack_source_cifar, &pack_source_npy, &pack_source_npz,
		&pack_source_archive};
	for (size_t i = 0; i < sizeof(sources) / sizeof(sources[0]); i++) {
		if (sources[i]->probe(path, status))
			return sources[i];
	}
	error_set(err, ERROR_USAGE, "%s: must be a folder or a file, because it is read twice", path);
	return NULL;
}

static const struct pack_source *find_source(const char *path, struct error *err)
{
	struct stat status;
	if (strcmp(path, "-") == 0)
		return find_by_probe(path, NULL, err);
	if (stat(path, &status) != 0) {
		error_set_errno(err, ERROR_IO, errno, "cannot read %s", path);
		return NULL;
	}
	return find_by_probe(path, &status, err);
}

/* The progress line of the listing; of the calling thread alone. */
static struct {
	uint64_t started_ns, drawn_ns;
	uint64_t done_bytes,
		all_bytes; /* of the inputs before this one, and of all; all is 0 where that is not known */
} listing;

static int tick(struct pack_plan *plan, struct error *err)
{
	static bool terminal, asked;
	int rc = pack_interrupted(plan, err);
	if (!asked)
		terminal = isatty(STDERR_FILENO) != 0;
	asked = true;
	uint64_t now = terminal ? meter_now_ns() : 0;
	if (rc < 0 || now - listing.drawn_ns < 200000000)
		return rc;
	listing.drawn_ns = now;
	double seconds = (double)(now - listing.started_ns) * 1e-9 + 1e-9;
	fprintf(stderr, "\rlisting: %zu images  %.0f images/s", plan->count, (double)plan->count / seconds);
	uint64_t done = listing.done_bytes + plan->scanned_bytes;
	if (plan->scanned_bytes > 0 && done < listing.all_bytes)
		fprintf(stderr, "  %.0f s left", seconds * (double)(listing.all_bytes - done) / (double)done);
	fputs(" \033[K", stderr);
	return 0;
}

static uint64_t file_bytes(const char *path)
{
	struct stat status;
	return stat(path, &status) == 0 && S_ISREG(status.st_mode) ? (uint64_t)status.st_size : 0;
}

static int scan_inputs(
	const struct options *options, const struct pack_source **sources, struct pack_plan *plan, struct error *err)
{
	int rc = 0;
	listing.started_ns = meter_now_ns();
	for (unsigned i = 0; i < options->operand_count; i++)
		listing.all_bytes += file_bytes(options->operands[i]);
	for (unsigned i = 0; i < options->operand_count && rc == 0; i++) {
		const char *path = options->operands[i];
		size_t before = plan->count;
		sources[i] = find_source(path, err);
		plan->take_meta = sources[i] != NULL && sources[i]->side_meta;
		plan->scanned_bytes = 0;
		rc = sources[i] == NULL ? err->code : sources[i]->scan(path, plan, err);
		listing.done_bytes += file_bytes(path);
		if (rc == 0 && plan->count == before && *plan->root != '\0')
			rc = error_set(err, ERROR_FORMAT, "%s: no images below %s (--root)", path, plan->root);
		else if (rc == 0 && plan->count == before)
			rc = error_set(err, ERROR_FORMAT,
				"%s: no images in it (JPEG, PNG, WebP, PPM or PGM; %" PRIu64 " other files)", path,
				plan->ignored);
	}
	if (isatty(STDERR_FILENO))
		fputs("\r\033[K", stderr);
	return rc;
}

static void set_order(struct pack_plan *plan, const struct pack_options *pack)
{
	if (pack->shuffle == NULL)
		return;
	struct philox stream = philox_stream(strtoull(pack->shuffle, NULL, 10), 0, 0, 0, PHILOX_PERMUTE);
	for (unsigned i = 0; i < 4; i++)
		plan->shuffle_key[i] = philox_u32(&stream);
	plan->shuffled = true;
}

static int make_plan(const struct options *options, const struct pack_options *pack, const struct pack_source **sources,
	struct pack_plan *plan, struct error *err)
{
	const struct pack_selection selection = {.validation = pack->validation,
		.validation_match = pack->validation_match,
		.validation_classes = pack->validation_classes,
		.label_fraction = pack->label_fraction,
		.seed = pack->split_seed};
	uint64_t unknown = 0, existing = 0;
	int rc = scan_inputs(options, sources, plan, err);
	if (rc == 0 && plan->label_regex != NULL && plan->unmatched == plan->count)
		rc = error_set(err, ERROR_FORMAT, "--label-regex %s: matches no key, as %s", pack->label_regex,
			pack_plan_key(plan, &plan->entries[0]));
	if (rc == 0 && pack->meta != NULL)
		rc = pack_plan_read_meta(plan, pack->meta, &unknown, err);
	if (rc == 0 && pack->append)
		rc = pack_append_classes(plan, pack->output, err);
	if (rc == 0)
		rc = pack_plan_end(plan, pack->append ? pack->output : pack->classes, err);
	if (rc == 0 && !pack->append)
		rc = pack_select(plan, &selection, err);
	if (rc == 0 && pack->append)
		rc = pack_append_keys(plan, pack->output, pack->existing == PACK_EXISTING_SKIP, &existing, err);
	if (rc < 0)
		return rc;
	set_order(plan, pack);
	if (plan->deep_key != NULL)
		command_note("pack",
			"note: classes are the first folders, but %s lies deeper; if the class is a later folder, name "
			"what is before it by --root",
			plan->deep_key);
	if (plan->unmatched > 0)
		command_note("pack", "note: --label-regex does not match %" PRIu64 " keys; they have no label",
			plan->unmatched);
	if (existing > 0)
		command_note("append", "%" PRIu64 " images are in %s already", existing, pack->output);
	if (unknown > 0)
		command_note("pack", "note: %" PRIu64 " lines of %s are of no image", unknown, pack->meta);
	return 0;
}

/* ---- second pass ---- */

static uint64_t count_output(const struct pack_plan *plan, uint32_t flags)
{
	uint64_t count = 0;
	for (size_t i = 0; i < plan->count; i++)
		count += (plan->entries[i].flags & (PACK_VALIDATION | PACK_LEFT_OUT)) == flags;
	return count;
}

/* "train.ring" -> "train-validation.ring" */
static char *validation_path(const struct pack_options *pack)
{
	if (pack->validation_output != NULL)
		return strdup(pack->validation_output);
	size_t bytes = strlen(pack->output);
	bool ring = bytes > 5 && strcmp(pack->output + bytes - 5, ".ring") == 0;
	char *path = NULL;
	if (asprintf(&path, "%.*s-validation%s", (int)(ring ? bytes - 5 : bytes), pack->output, ring ? ".ring" : "") <
		0)
		return NULL;
	return path;
}

static struct shard_set_writer_config output_config(const struct pack_options *pack, const struct pack_plan *plan,
	const char *path, const char *origin, uint64_t records, uint64_t identity)
{
	const bool tune_block = pack->block == OPTION_WORD(0), tune_level = pack->zstd == OPTION_WORD(0);
	return (struct shard_set_writer_config){
		.tuner = {.writer = {.path = path,
				  .classes = (const char *const *)plan->classes,
				  .class_count = plan->class_count,
				  .block_bytes = tune_block ? 0 : pack->block,
				  .zstd_level = tune_level ? 3 : (int)pack->zstd,
				  .origin = origin,
				  .meta = plan->has_meta},
			.tune_block = tune_block,
			.tune_level = tune_level,
			.dictionary = pack->dictionary == OPTION_WORD(0)   ? SHARD_DICTIONARY_AUTO
				      : pack->dictionary == OPTION_WORD(1) ? SHARD_DICTIONARY_NONE
									   : pack->dictionary,
			.records = records},
		.shard_bytes = pack->shard_size,
		.resume = pack->resume,
		.append = pack->append,
		.identity = identity};
}

static int check_written(const struct pack_result *result, const struct pack_bad *bad, bool split, struct error *err)
{
	if (result->written[0] + result->written[1] == 0)
		return error_set(err, ERROR_DECODE,
			"not one image could be decoded (%" PRIu64 " were bad); nothing was written",
			pack_bad_count(bad));
	if (result->written[0] == 0 || (split && result->written[1] == 0))
		return error_set(err, ERROR_DECODE, "no sound image was left for %s; nothing was written",
			result->written[0] == 0 ? "training" : "validation");
	return 0;
}

/* The whole of the second pass. made: one for each output. */
static int write_outputs(const struct pack_settings *settings, const struct pack_options *pack,
	struct shard_set_writer_config *configs, struct pack_plan *plan, struct pack_bad *bad,
	struct pack_result *result, struct shard_set_result *made, struct error *err)
{
	struct pack_outputs outputs;
	int rc = pack_outputs_open(&outputs, configs, err);
	if (rc == 0 && !pack->append)
		rc = pack_outputs_resume(&outputs, plan, err);
	if (rc == 0)
		rc = pack_run(settings, plan, bad, &outputs, result, err);
	if (rc == 0)
		rc = check_written(result, bad, outputs.writers[1] != NULL, err);
	if (rc == 0)
		rc = pack_outputs_finish(&outputs, made, err);
	if (rc == 0)
		rc = pack_bad_finish(bad, err);
	pack_outputs_abandon(&outputs, rc == ERROR_INTERRUPTED || pack->resume);
	return rc;
}

static int pack_plan_out(const struct options *options, const struct pack_options *pack,
	const struct pack_source *const *sources, struct pack_plan *plan, struct error *err)
{
	const uint64_t identity = pack_options_identity(options, pack, plan),
		       validation = count_output(plan, PACK_VALIDATION);
	char *origin = pack_options_origin(options, pack), *second = validation > 0 ? validation_path(pack) : NULL;
	char *folder = strdup(pack->output);
	struct shard_set_writer_config configs[PACK_OUTPUTS] = {
		output_config(pack, plan, pack->output, origin, count_output(plan, 0), identity),
		output_config(pack, plan, second, origin, validation, identity)};
	struct shard_set_result made[PACK_OUTPUTS] = {{.path = NULL}};
	struct pack_result result = {.duplicate_list = cJSON_CreateArray()};
	struct pack_bad *bad =
		pack_bad_create((enum pack_bad_policy)pack->bad, pack->quarantine, pack->bad_report, err);
	int rc = bad == NULL ? err->code : 0;
	if (rc == 0 && (folder == NULL || (validation > 0 && second == NULL) || result.duplicate_list == NULL))
		rc = pack_out_of_memory(err);
	if (rc == 0) {
		const struct pack_settings settings = {.inputs = options->operands,
			.sources = sources,
			.input_count = options->operand_count,
			.codec = (enum pack_codec)pack->codec,
			.quality = (float)pack->quality,
			.resize_short = (uint32_t)pack->resize_short,
			.max_pixels = pack->max_pixels,
			.allow_truncated = pack->allow_truncated,
			.apply_exif = pack->exif == PACK_EXIF_APPLY,
			.dedupe = (enum pack_dedupe_policy)pack->dedupe,
			.list_duplicates = pack->dedupe == PACK_DEDUPE_REPORT && !pack->json,
			.spill_folder = dirname(folder),
			.jobs = pack->jobs != 0 ? (unsigned)pack->jobs : cpu_allowed(),
			.show_progress = isatty(STDERR_FILENO) != 0};
		rc = write_outputs(&settings, pack, configs, plan, bad, &result, made, err);
	}
	if (rc == 0)
		rc = pack_summarize(pack, plan, &result, bad, made, err);
	for (unsigned i = 0; i < PACK_OUTPUTS; i++)
		free(made[i].path);
	pack_bad_destroy(bad);
	cJSON_Delete(result.duplicate_list);
	free(folder);
	free(second);
	free(origin);
	return rc;
}

/* ---- the command ---- */

/* --root without slashes at its ends; NULL when memory is out. */
static char *clean_root(const struct pack_options *pack)
{
	char *root = strdup(pack->root != NULL ? pack->root : "");
	if (root != NULL)
		pack_clean_path(root);
	return root;
}

static int compile_regex(const char *pattern, regex_t *regex, struct error *err)
{
	int rc = regcomp(regex, pattern, REG_EXTENDED);
	if (rc != 0) {
		char why[128];
		regerror(rc, regex, why, sizeof(why));
		return error_set(err, ERROR_USAGE, "--label-regex %s: %s", pattern, why);
	}
	if (regex->re_nsub > 0)
		return 0;
	regfree(regex);
	return error_set(
		err, ERROR_USAGE, "--label-regex %s: has no group (...) to say which part is the class", pattern);
}

static int pack_images(const struct options *options, const struct pack_options *pack, const char *root,
	const regex_t *label_regex, struct error *err)
{
	const struct pack_source **sources = calloc(options->operand_count, sizeof(const struct pack_source *));
	struct pack_plan plan;
	int rc = pack_plan_create(&plan, root, pack->output, err);
	if (rc == 0 && sources == NULL)
		rc = pack_out_of_memory(err);
	plan.tick = tick;
	plan.inputs = options->operands;
	plan.label_regex = label_regex;
	plan.no_meta = pack->no_meta;
	plan.append = pack->append;
	if (rc == 0)
		rc = make_plan(options, pack, sources, &plan, err);
	if (rc == 0)
		rc = pack->dry_run ? pack_summarize_plan(pack, &plan, err)
				   : pack_plan_out(options, pack, sources, &plan, err);
	pack_plan_free(&plan);
	free(sources);
	return rc;
}

/* Puts what brace ranges stand for in the operands' place. */
static int expand_operands(struct options *options, struct pack_inputs *inputs, struct error *err)
{
	int rc = 0;
	for (unsigned i = 0; i < options->operand_count && rc == 0; i++) {
		/* A file of that very name comes first. */
		bool exists = access(options->operands[i], F_OK) == 0;
		rc = exists ? pack_inputs_add(inputs, options->operands[i], err)
			    : pack_braces_expand(inputs, options->operands[i], err);
	}
	const char **operands = rc == 0 ? calloc(inputs->count, sizeof(*operands)) : NULL;
	if (operands == NULL)
		return rc < 0 ? rc : pack_out_of_memory(err);
	for (size_t i = 0; i < inputs->count; i++)
		operands[i] = inputs->names[i];
	free(options->operands);
	options->operands = operands;
	options->operand_count = (unsigned)inputs->count;
	return 0;
}

/* The first operand of append is the set. */
static void take_set(struct options *options, struct pack_options *pack)
{
	pack->output = options->operands[0];
	pack->append = true;
	pack->label_fraction = 1;
	options->operand_count--;
	memmove(options->operands, options->operands + 1, options->operand_count * sizeof(*options->operands));
}

static int run(const struct option_table *table, bool append, int argc, char **argv)
{
	struct options options;
	struct pack_options pack = {.append = append};
	struct error err = {0};
	int status = options_parse(&options, table, &pack, argc, argv);
	if (status != OPTIONS_GO)
		return status;
	if (append)
		take_set(&options, &pack);
	command_catch_interrupts();
	regex_t regex;
	bool compiled = false;
	char *root = clean_root(&pack);
	struct pack_inputs inputs = {0};
	int rc = root == NULL ? pack_out_of_memory(&err) : expand_operands(&options, &inputs, &err);
	if (rc == 0)
		rc = pack_options_check(&options, &pack, &err);
	if (rc == 0 && pack.label_regex != NULL) {
		rc = compile_regex(pack.label_regex, &regex, &err);
		compiled = rc == 0;
	}
	if (rc == 0)
		rc = pack_images(&options, &pack, root, compiled ? &regex : NULL, &err);
	if (compiled)
		regfree(&regex);
	free(root);
	options_free(&options);
	pack_inputs_free(&inputs);
	return rc == 0 ? EXIT_OK : command_fail(table->command, &err);
}

int command_pack(int argc, char **argv)
{
	return run(&command_pack_table, false, argc, argv);
}

int command_append(int argc, char **argv)
{
	return run(&command_append_table, true, argc, argv);
}
