/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ringclr reshuffle: the records of shards in a random order of the whole, any as likely as any other.
 *
 * The new order is drawn first (Fisher and Yates; 8 bytes a record). It is then written in windows: as many records of
 * it as fit --mem are read in the order in which they lie in the inputs, each block once, and written in the new order.
 * So a set that fits is read from end to end once. A larger one is read in as many passes, but never more blocks than
 * records; nothing is written besides the output.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pipeline/philox.h"
#include "tools/command.h"
#include "tools/json.h"
#include "tools/progress.h"
#include "tools/set_output.h"

struct reshuffle_options {
	const char *output;
	uint64_t seed, mem;
	struct set_output_options set;
	bool json;
};

static const struct option_spec spec[] = {
	OPTION_STRING(struct reshuffle_options, output, "output", "FILE", NULL,
		"the shard or set to write; appears whole or not at all", .letter = 'o', .required = true),
	OPTION_U64(struct reshuffle_options, seed, "seed", "N", "0", 0, UINT64_MAX, "of the order"),
	OPTION_SIZE(struct reshuffle_options, mem, "mem", "1G", 1 << 20, UINT64_C(1) << 50,
		"hold at most this much of images and metadata (or one record, if that is more); with less than all of "
		"them blocks are read several times. The output is the same for any"),
	SET_OUTPUT_OPTIONS(struct reshuffle_options, set),
	OPTION_FLAG(
		struct reshuffle_options, json, "json", NULL, "print a summary as one JSON object", .incidental = true),
};

const struct option_table command_reshuffle_table = {
	.command = "reshuffle",
	.spec = spec,
	.count = sizeof(spec) / sizeof(spec[0]),
	.about = "Writes the records of shards in a random order of the whole, images byte for byte. For readers that "
		 "shuffle within a window only, or not at all; ringclr's own training draws a new order each epoch "
		 "anyway. Memory: the inputs' indexes, 40 bytes a record, and --mem.",
	.operands = "SHARD",
	.operand_help = "a shard, or the manifest of a set",
	.operand_min = 1,
	.operand_max = OPTIONS_ANY,
	.examples = "ringclr reshuffle train.ring --seed 7 -o train-shuffled.ring\n"
		    "ringclr reshuffle train.json --mem 8G --shard-size 1G -o shuffled.ring\n",
};

/* A record of a window: where it comes from, and its place in the window. */
struct held {
	uint64_t record;
	uint64_t place;
	unsigned char *bytes; /* its image, then its metadata; malloc'd */
	uint32_t meta_bytes;
	bool has_meta;
};

struct reshuffle {
	const struct reshuffle_options *options;
	const struct input_sets *sets;
	struct input_reader *reader;
	struct shard_set_writer *writer;
	uint64_t *order; /* records in their new order */
	uint64_t count, passes, done, bytes;
	struct held *held; /* of a window */
	uint64_t held_count, held_capacity, held_bytes;
	struct progress progress;
};

static int out_of_memory(struct error *err)
{
	return error_set(err, ERROR_MEMORY, "out of memory for a new order; a smaller --mem takes less");
}

/* 0 <= x < bound without bias: numbers above the last whole multiple are drawn again. */
static uint64_t draw_below(struct philox *stream, uint64_t bound)
{
	uint64_t limit = UINT64_MAX - UINT64_MAX % bound, drawn;
	do
		drawn = philox_u64(stream);
	while (drawn >= limit);
	return drawn % bound;
}

static int draw_order(struct reshuffle *job, struct error *err)
{
	job->order = calloc(job->count + 1, sizeof(*job->order));
	if (job->order == NULL)
		return out_of_memory(err);
	struct philox stream = philox_stream(job->options->seed, 0, 0, 0, PHILOX_PERMUTE);
	for (uint64_t i = 0; i < job->count; i++) {
		uint64_t at = draw_below(&stream, i + 1);
		job->order[i] = job->order[at];
		job->order[at] = i;
	}
	return 0;
}

static int compare_records(const void *a, const void *b)
{
	const struct held *x = a, *y = b;
	return (x->record > y->record) - (x->record < y->record);
}

static int compare_places(const void *a, const void *b)
{
	const struct held *x = a, *y = b;
	return (x->place > y->place) - (x->place < y->place);
}

static void drop_window(struct reshuffle *job)
{
	for (uint64_t i = 0; i < job->held_count; i++)
		free(job->held[i].bytes);
	job->held_count = job->held_bytes = 0;
}

static int hold(struct reshuffle *job, uint64_t place, struct error *err)
{
	if (job->held_count == job->held_capacity) {
		uint64_t capacity = job->held_capacity * 2 + 1024;
		struct held *larger = realloc(job->held, capacity * sizeof(*larger));
		if (larger == NULL)
			return out_of_memory(err);
		job->held = larger;
		job->held_capacity = capacity;
	}
	job->held[job->held_count++] = (struct held){.record = job->order[place], .place = place};
	return 0;
}

/* The most bytes that a record can take: its image, and all that its block has besides images (metadata is not in the
 * index, and lies behind the images). */
static uint64_t most_bytes(const struct reshuffle *job, uint64_t record)
{
	struct input_record place;
	input_sets_locate(job->sets, record, &place);
	const struct shard_block *block = shard_block(place.shard, place.entry->block);
	const struct shard_record *last = shard_record(place.shard, block->first_record + block->record_count - 1);
	return place.entry->bytes + (block->raw_bytes - ((uint64_t)last->offset + last->bytes));
}

/* From `first` on, as many places of the new order as --mem holds. */
static int choose_window(struct reshuffle *job, uint64_t first, struct error *err)
{
	int rc = 0;
	for (uint64_t i = first; i < job->count && rc == 0; i++) {
		uint64_t bytes = most_bytes(job, job->order[i]);
		if (i > first && job->held_bytes + bytes > job->options->mem)
			break;
		job->held_bytes += bytes;
		rc = hold(job, i, err);
	}
	return rc;
}

static int read_held(struct reshuffle *job, struct held *held, struct error *err)
{
	struct shard_record_in record;
	int rc = input_reader_get(job->reader, held->record, &record, err);
	if (rc != 0)
		return rc;
	held->has_meta = record.meta != NULL;
	held->meta_bytes = held->has_meta ? (uint32_t)record.meta_bytes : 0;
	held->bytes = malloc(record.bytes + held->meta_bytes + 1);
	if (held->bytes == NULL)
		return out_of_memory(err);
	memcpy(held->bytes, record.data, record.bytes);
	if (held->meta_bytes > 0)
		memcpy(held->bytes + record.bytes, record.meta, held->meta_bytes);
	job->bytes += record.bytes;
	return 0;
}

static int write_held(struct reshuffle *job, struct held *held, struct error *err)
{
	struct input_record place;
	input_sets_locate(job->sets, held->record, &place);
	const struct shard_record_in record = {.key = place.entry->key,
		.label = place.label,
		.width = place.entry->width,
		.height = place.entry->height,
		.codec = (enum shard_codec)place.entry->codec,
		.data = held->bytes,
		.bytes = place.entry->bytes,
		.meta = held->has_meta ? (const char *)held->bytes + place.entry->bytes : NULL,
		.meta_bytes = held->meta_bytes};
	int rc = shard_set_writer_add(job->writer, &record, err);
	free(held->bytes);
	held->bytes = NULL;
	return rc;
}

static int write_window(struct reshuffle *job, struct error *err)
{
	qsort(job->held, job->held_count, sizeof(*job->held), compare_records);
	int rc = 0;
	for (uint64_t i = 0; i < job->held_count && rc == 0; i++) {
		rc = command_interrupted() ? error_set(err, ERROR_INTERRUPTED, "interrupted; nothing was written")
					   : read_held(job, &job->held[i], err);
		progress_draw(&job->progress, job->done + i, job->bytes);
	}
	qsort(job->held, job->held_count, sizeof(*job->held), compare_places);
	for (uint64_t i = 0; i < job->held_count && rc == 0; i++)
		rc = command_interrupted() ? error_set(err, ERROR_INTERRUPTED, "interrupted; nothing was written")
					   : write_held(job, &job->held[i], err);
	job->done += job->held_count;
	job->passes++;
	return rc;
}

static int write_order(struct reshuffle *job, struct error *err)
{
	job->reader = input_reader_create(job->sets, err);
	int rc = job->reader == NULL ? err->code : 0;
	while (rc == 0 && job->done < job->count) {
		rc = choose_window(job, job->done, err);
		if (rc == 0)
			rc = write_window(job, err);
		drop_window(job);
	}
	input_reader_destroy(job->reader);
	free(job->held);
	return rc;
}

static int reshuffle_run(
	struct reshuffle *job, const struct options *given, struct shard_set_result *result, struct error *err)
{
	char settings[40];
	snprintf(settings, sizeof(settings), " --seed %" PRIu64, job->options->seed);
	char *origin = set_output_origin("reshuffle", settings, given->operands, given->operand_count, err);
	job->count = input_sets_records(job->sets);
	int rc = origin == NULL ? err->code : draw_order(job, err);
	if (rc == 0) {
		job->writer =
			set_output_create(&job->options->set, job->options->output, origin, job->sets, job->count, err);
		rc = job->writer == NULL ? err->code : write_order(job, err);
		if (rc == 0)
			rc = shard_set_writer_finish(job->writer, result, err);
		else
			shard_set_writer_abandon(job->writer, false);
	}
	free(job->order);
	free(origin);
	return rc;
}

int command_reshuffle(int argc, char **argv)
{
	struct options options;
	struct reshuffle_options reshuffle = {.output = NULL};
	struct error err = {0};
	int status = options_parse(&options, &command_reshuffle_table, &reshuffle, argc, argv);
	if (status != OPTIONS_GO)
		return status;
	command_catch_interrupts();
	struct shard_set_result result = {.records = 0};
	struct input_sets *sets = input_sets_open(options.operands, options.operand_count, &err);
	struct reshuffle job = {.options = &reshuffle, .sets = sets};
	if (sets != NULL)
		progress_start(&job.progress, "reshuffling", input_sets_records(sets));
	int rc = sets == NULL ? err.code : reshuffle_run(&job, &options, &result, &err);
	if (rc == 0) {
		set_output_print(&result, result.path, progress_end(&job.progress));
		cJSON *object = reshuffle.json ? set_output_json(&result, result.path) : NULL;
		if (object != NULL)
			cJSON_AddNumberToObject(object, "passes", (double)job.passes);
		status = object == NULL ? EXIT_OK : json_print(object);
	} else {
		status = command_fail("reshuffle", &err);
	}
	free(result.path);
	input_sets_close(sets);
	options_free(&options);
	return status;
}
