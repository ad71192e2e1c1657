/* SPDX-License-Identifier: Apache-2.0 */
/* The second pass's reader: contents of the plan's entries, in the order of the records or, where an archive must be
 * read from front to back, of the inputs. Of the open inputs an archive is closed when the next begins; those that are
 * read in any order stay open. */
#include <stdio.h>
#include <stdlib.h>

#include "tools/pack_run.h"

/* Fills an item. Its status: 0, a negative code for a bad image; *fatal is a code that ends the run. */
static int read_item(struct pack_pass *pass, void *state, const struct pack_source *source, struct pack_item *item,
	int *fatal, struct error *err)
{
	struct error bad = {0};
	struct pack_contents contents = {.data = NULL};
	int rc = source->read(state, pass->plan, item->entry, &contents, &bad);
	*fatal = rc < 0 ? error_copy(err, &bad) : 0;
	item->data = contents.data;
	item->bytes = contents.bytes;
	item->pixels = contents.pixels;
	item->width = contents.width;
	item->height = contents.height;
	if (rc != PACK_BAD) {
		pass->result->source_bytes += item->bytes;
		return 0;
	}
	snprintf(item->reason, sizeof(item->reason), "%.250s", bad.message);
	return bad.code;
}

struct inputs {
	void **states; /* by input; NULL: not open */
	uint32_t last;
};

static void close_input(const struct pack_settings *settings, struct inputs *inputs, uint32_t input)
{
	if (inputs->states[input] != NULL)
		settings->sources[input]->close(inputs->states[input]);
	inputs->states[input] = NULL;
}

static void *open_input(struct pack_pass *pass, struct inputs *inputs, uint32_t input, struct error *err)
{
	const struct pack_settings *settings = pass->settings;
	bool in_order = pass->spills || !pass->plan->shuffled;
	if (input != inputs->last && in_order)
		close_input(settings, inputs, inputs->last);
	inputs->last = input;
	if (inputs->states[input] == NULL)
		inputs->states[input] = settings->sources[input]->open(settings->inputs[input], err);
	return inputs->states[input];
}

static int read_all(struct pack_pass *pass, struct inputs *inputs, struct worker *worker)
{
	uint64_t seq = 0;
	for (uint64_t n = 0; n < pass->plan->count; n++) {
		struct pack_entry *entry = pass->spills ? &pass->plan->entries[n] : pack_plan_at(pass->plan, n);
		if (entry->flags & (PACK_LEFT_OUT | PACK_WRITTEN))
			continue;
		int rc = pack_interrupted(pass->plan, worker->err);
		if (rc < 0)
			return rc;
		void *state = open_input(pass, inputs, entry->input, worker->err);
		if (state == NULL)
			return worker->err->code;
		void *memory = NULL;
		rc = ring_claim(pass->read, seq, &memory);
		if (rc != 0)
			return rc;
		struct pack_item *item = memory;
		pack_item_clear(item);
		item->entry = entry;
		int status = read_item(pass, state, pass->settings->sources[entry->input], item, &rc, worker->err);
		meter_add(worker->meter, 1, item->bytes);
		if (rc != 0)
			return rc;
		ring_publish(pass->read, seq++, status);
	}
	return 0;
}

int pack_read_stage(void *ctx, struct worker *worker)
{
	struct pack_pass *pass = ctx;
	struct inputs inputs = {.states = calloc(pass->settings->input_count, sizeof(void *))};
	if (inputs.states == NULL)
		return pack_out_of_memory(worker->err);
	int rc = read_all(pass, &inputs, worker);
	for (uint32_t i = 0; i < pass->settings->input_count; i++)
		close_input(pass->settings, &inputs, i);
	free(inputs.states);
	return rc == RING_END ? 0 : rc;
}
