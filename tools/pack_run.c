/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The second pass, as a graph of the project's own:
 *
 *	reader --read ring--> workers (decode to check, resize, encode) --done ring--> writer (the calling thread)
 *
 * Files differ in size by orders of magnitude, so a slot does not hold the bytes but owns them: struct item has a
 * malloc'd buffer that travels with the slot. Whoever takes the buffer out sets the pointer to NULL; what is left after
 * a failure is freed with the rings. Memory is bounded by slots times PACK_MAX_FILE_BYTES, in practice by the slots
 * times an image.
 *
 * Items are numbered by the plan, so the writer sees them in that order, and the file's bytes are the same for any
 * number of workers. A bad image is an item with a negative status and a reason: it is the writer that decides, in
 * order, which bad image is the first.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "pipeline/graph.h"
#include "pipeline/ring.h"
#include "stages/codec.h"
#include "stages/views.h"
#include "tools/command.h"
#include "tools/pack.h"
#include "tools/pack_pnm.h"

enum { SLOTS_PER_WORKER = 4 };

struct item {
	unsigned char *data; /* owned by the slot; NULL once taken */
	size_t bytes;
	enum shard_codec codec;
	bool pixels; /* data is RGB, width and height are set */
	uint32_t width, height;
	char reason[256]; /* why it is bad */
};

struct run {
	const struct pack_settings *settings;
	const struct pack_plan *plan;
	struct shard_tuner *writer;
	struct pack_result *result;
	struct ring *read, *done;
	uint64_t started_ns, drawn_ns;
};

/* Takes the buffer that an earlier lap may have left in the slot, and empties it. */
static void item_clear(struct item *item)
{
	free(item->data);
	*item = (struct item){.data = NULL};
}

/* ---- reader ---- */

static int interrupted(struct error *err)
{
	return command_interrupted() ? error_set(err, ERROR_INTERRUPTED, "interrupted; nothing was written") : 0;
}

/* Fills an item. Its status: 0, a negative code for a bad image; *fatal is a code that ends the run. */
static int read_item(struct run *run, void *source_state, const struct pack_source *source,
	const struct pack_entry *entry, struct item *item, int *fatal, struct error *err)
{
	struct error bad = {0};
	struct pack_contents contents = {.data = NULL};
	int rc = source->read(source_state, run->plan, entry, &contents, &bad);
	item->data = contents.data;
	item->bytes = contents.bytes;
	item->pixels = contents.pixels;
	item->width = contents.width;
	item->height = contents.height;
	*fatal = rc < 0 ? error_copy(err, &bad) : 0;
	if (rc != PACK_BAD) {
		run->result->source_bytes += item->bytes;
		return 0;
	}
	snprintf(item->reason, sizeof(item->reason), "%.250s", bad.message);
	return bad.code;
}

static int read_run(void *ctx, struct worker *worker)
{
	struct run *run = ctx;
	const struct pack_settings *settings = run->settings;
	void *state = NULL;
	const struct pack_source *source = NULL;
	uint32_t input = 0;
	int rc = 0;
	for (uint64_t i = 0; i < run->plan->count && rc == 0; i++) {
		const struct pack_entry *entry = &run->plan->entries[i];
		if (source == NULL || entry->input != input) {
			if (state != NULL)
				source->close(state);
			input = entry->input;
			source = settings->sources[input];
			state = source->open(settings->inputs[input], worker->err);
			rc = state == NULL ? worker->err->code : 0;
		}
		void *memory = NULL;
		if (rc == 0)
			rc = interrupted(worker->err);
		if (rc == 0)
			rc = ring_claim(run->read, i, &memory);
		if (rc != 0)
			break;
		struct item *item = memory;
		item_clear(item);
		int status = read_item(run, state, source, entry, item, &rc, worker->err);
		meter_add(worker->meter, 1, item->bytes);
		if (rc == 0)
			ring_publish(run->read, i, status);
	}
	if (state != NULL)
		source->close(state);
	return rc == RING_END ? 0 : rc;
}

/* ---- workers ---- */

/* What a worker keeps from image to image. */
struct work {
	struct codec_context *codecs;
	uint8_t *rgb;
	size_t rgb_bytes;
};

static int check_limits(const struct codec_info *info, struct error *err)
{
	if ((uint64_t)info->width * info->height > PACK_MAX_PIXELS)
		return error_set(err, ERROR_DECODE, "an image of %ux%u pixels; %d million are the most that are packed",
			info->width, info->height, PACK_MAX_PIXELS >> 20);
	return 0;
}

/* A PGM or PPM image becomes pixels, as they are stored. */
static int take_pnm(struct item *item, struct error *err)
{
	unsigned char *rgb;
	int rc = pack_pnm_decode(item->data, item->bytes, PACK_MAX_PIXELS, &rgb, &item->width, &item->height, err);
	if (rc < 0)
		return rc;
	free(item->data);
	item->data = rgb;
	item->bytes = (size_t)item->width * item->height * 3;
	item->pixels = true;
	return 0;
}

/* Probes item and decodes it into work->rgb. */
static int decode_item(struct work *work, struct item *item, struct error *err)
{
	int rc = !item->pixels && pack_pnm_probe(item->data, item->bytes) ? take_pnm(item, err) : 0;
	struct codec_info info = {.codec = SHARD_RAW, .width = item->width, .height = item->height};
	if (rc == 0 && !item->pixels)
		rc = codec_probe(item->data, item->bytes, &info, err);
	if (rc == 0)
		rc = check_limits(&info, err);
	if (rc < 0)
		return rc;
	size_t bytes = (size_t)info.width * info.height * 3;
	if (bytes > work->rgb_bytes) {
		free(work->rgb);
		work->rgb = malloc(bytes);
		work->rgb_bytes = work->rgb != NULL ? bytes : 0;
		if (work->rgb == NULL)
			return error_set(err, ERROR_MEMORY, "out of memory for an image of %ux%u pixels", info.width,
				info.height);
	}
	item->codec = info.codec;
	item->width = info.width;
	item->height = info.height;
	return codec_decode(work->codecs, info.codec, item->data, item->bytes, info.width, info.height, work->rgb,
		work->rgb_bytes, err);
}

/* Shrinks work->rgb so that the short side is `side`, bicubic with antialiasing; *rgb is malloc'd [height][width][3].
 */
static int resize_item(struct work *work, struct item *item, uint32_t side, uint8_t **rgb, struct error *err)
{
	uint32_t short_side = item->width < item->height ? item->width : item->height;
	double scale = (double)side / short_side;
	uint32_t width = (uint32_t)lround(item->width * scale), height = (uint32_t)lround(item->height * scale);
	size_t values = (size_t)width * height * 3;
	size_t scratch_bytes =
		pixels_resized_crop_scratch_floats(item->width, item->height, width, height) * sizeof(float);
	float *scratch = aligned_alloc(64, (scratch_bytes + 63) / 64 * 64);
	float *out = aligned_alloc(64, (values * sizeof(float) + 63) / 64 * 64);
	*rgb = malloc(values);
	int rc = 0;
	if (scratch == NULL || out == NULL || *rgb == NULL) {
		free(*rgb);
		*rgb = NULL;
		rc = error_set(err, ERROR_MEMORY, "out of memory while resizing an image of %ux%u pixels", item->width,
			item->height);
	} else {
		pixels_resized_crop(work->rgb, item->width, item->height, 0, 0, item->width, item->height, width,
			height, scratch, out);
		for (size_t i = 0; i < values; i++)
			(*rgb)[i] = (uint8_t)lrintf(fminf(fmaxf(out[i], 0.0f), 1.0f) * 255.0f);
		item->width = width;
		item->height = height;
	}
	free(scratch);
	free(out);
	return rc;
}

/* Replaces the item's bytes by its pixels in the wanted codec. rgb: item->width x item->height. */
static int encode_item(const struct pack_settings *settings, struct item *item, const uint8_t *rgb, struct error *err)
{
	void *data = NULL;
	size_t bytes = (size_t)item->width * item->height * 3;
	int rc = 0;
	if (settings->codec == PACK_RAW) {
		data = malloc(bytes);
		if (data == NULL)
			return pack_out_of_memory(err);
		memcpy(data, rgb, bytes); /* NOLINT(clang-analyzer-core.NonNullParamChecker): decoding has filled rgb */
	} else {
		rc = codec_encode_webp(rgb, item->width, item->height, settings->codec == PACK_WEBP_LOSSLESS,
			settings->quality, &data, &bytes, err);
	}
	if (rc < 0)
		return rc;
	free(item->data);
	item->data = data;
	item->bytes = bytes;
	item->codec = settings->codec == PACK_RAW ? SHARD_RAW : SHARD_WEBP;
	return 0;
}

static int work_on(struct run *run, struct work *work, struct item *item, struct error *err)
{
	const struct pack_settings *settings = run->settings;
	int rc = decode_item(work, item, err);
	if (rc < 0 || settings->codec == PACK_KEEP)
		return rc;
	uint8_t *smaller = NULL;
	uint32_t short_side = item->width < item->height ? item->width : item->height;
	if (settings->resize_short > 0 && settings->resize_short < short_side)
		rc = resize_item(work, item, settings->resize_short, &smaller, err);
	if (rc == 0)
		rc = encode_item(settings, item, smaller != NULL ? smaller : work->rgb, err);
	free(smaller);
	return rc;
}

static int work_loop(struct run *run, struct work *work, struct worker *worker)
{
	for (;;) {
		uint64_t seq = ring_ticket(run->read, RING_CONSUMER);
		if (seq >= run->plan->count)
			return 0;
		void *from, *to;
		int status;
		int rc = ring_acquire(run->read, seq, &from, &status);
		if (rc == 0)
			rc = ring_claim(run->done, seq, &to);
		if (rc != 0)
			return rc == RING_END ? 0 : rc;
		struct item *in = from, *out = to;
		item_clear(out);
		*out = *in; /* the buffer moves */
		in->data = NULL;
		size_t bytes = in->bytes;
		ring_release(run->read, seq);
		if (status == 0) {
			struct error bad = {0};
			status = work_on(run, work, out, &bad);
			if (status == ERROR_MEMORY)
				return error_copy(worker->err, &bad);
			snprintf(out->reason, sizeof(out->reason), "%.250s", bad.message);
		}
		meter_add(worker->meter, 1, bytes);
		ring_publish(run->done, seq, status);
	}
}

static int work_run(void *ctx, struct worker *worker)
{
	struct work work = {.codecs = codec_context_create(cpu_detect(), worker->err)};
	int rc = work.codecs == NULL ? worker->err->code : work_loop(ctx, &work, worker);
	codec_context_destroy(work.codecs);
	free(work.rgb);
	return rc;
}

/* ---- writer ---- */

static void draw_progress(struct run *run, uint64_t finished)
{
	uint64_t now = meter_now_ns();
	bool last = finished == run->plan->count;
	if (!run->settings->show_progress || (!last && now - run->drawn_ns < 200000000))
		return;
	run->drawn_ns = now;
	double seconds = (double)(now - run->started_ns) * 1e-9 + 1e-9;
	double rate = (double)finished / seconds;
	double left = rate > 0 ? (double)(run->plan->count - finished) / rate : 0;
	fprintf(stderr, "\r%llu/%zu images  %.0f images/s  %.1f MB/s  %.0f s left \033[K", (unsigned long long)finished,
		run->plan->count, rate, (double)run->result->image_bytes * 1e-6 / seconds, left);
	if (last)
		fputs("\r\033[K", stderr);
}

static int take_bad(struct run *run, const struct pack_entry *entry, int status, const char *reason, struct error *err)
{
	const char *input = run->settings->inputs[entry->input], *key = pack_plan_key(run->plan, entry);
	if (!run->settings->skip_bad)
		return error_set(err, status, "%s in %s: %s; nothing was written (--bad skip leaves such images out)",
			key, input, reason);
	command_note("pack", "skipped %s in %s: %s", key, input, reason);
	run->result->skipped++;
	cJSON *skip = cJSON_CreateObject();
	cJSON_AddStringToObject(skip, "key", key);
	cJSON_AddStringToObject(skip, "reason", reason);
	cJSON_AddItemToArray(run->result->skips, skip);
	return 0;
}

static int write_item(struct run *run, uint64_t seq, struct item *item, int status, struct error *err)
{
	const struct pack_entry *entry = &run->plan->entries[seq];
	if (status < 0)
		return take_bad(run, entry, status, item->reason, err);
	struct shard_record_in record = {.key = pack_plan_key(run->plan, entry),
		.label = entry->label,
		.width = item->width,
		.height = item->height,
		.codec = item->codec,
		.data = item->data,
		.bytes = item->bytes};
	record.meta = pack_plan_meta(run->plan, entry);
	record.meta_bytes = record.meta != NULL ? strlen(record.meta) : 0;
	run->result->written++;
	run->result->image_bytes += item->bytes;
	return shard_tuner_add(run->writer, &record, err);
}

static int write_run(void *ctx, struct worker *worker)
{
	struct run *run = ctx;
	for (uint64_t seq = 0; seq < run->plan->count; seq++) {
		void *memory;
		int status;
		int rc = interrupted(worker->err);
		if (rc == 0)
			rc = ring_acquire(run->done, seq, &memory, &status);
		if (rc != 0)
			return rc == RING_END ? 0 : rc;
		struct item *item = memory;
		rc = write_item(run, seq, item, status, worker->err);
		if (rc < 0)
			return rc;
		meter_add(worker->meter, 1, item->bytes);
		item_clear(item);
		ring_release(run->done, seq);
		draw_progress(run, seq + 1);
	}
	return 0;
}

/* ---- all of it ---- */

static void free_items(struct ring *ring)
{
	for (uint32_t i = 0; ring != NULL && i < ring_slots(ring); i++)
		item_clear(ring_slot_memory(ring, i));
}

static int build(struct run *run, struct arena *arena, struct graph *graph, struct error *err)
{
	unsigned jobs = run->settings->jobs;
	struct ring_config config = {
		.name = "read", .slots = jobs * SLOTS_PER_WORKER, .slot_bytes = sizeof(struct item)};
	run->read = ring_create(arena, &config, err);
	config.name = "done";
	run->done = ring_create(arena, &config, err);
	if (run->read == NULL || run->done == NULL)
		return err->code;
	const struct stage stages[] = {
		{.name = "read", .run = read_run, .ctx = run, .out = run->read, .placement = PLACEMENT_OTHER},
		{.name = "work",
			.run = work_run,
			.ctx = run,
			.workers = jobs,
			.in = run->read,
			.out = run->done,
			.placement = PLACEMENT_OTHER},
		{.name = "write", .run = write_run, .ctx = run, .in = run->done, .caller_runs = 1},
	};
	int rc = graph_add_ring(graph, run->read, err);
	if (rc >= 0)
		rc = graph_add_ring(graph, run->done, err);
	for (size_t i = 0; i < sizeof(stages) / sizeof(stages[0]) && rc >= 0; i++)
		rc = graph_add_stage(graph, &stages[i], err);
	return rc < 0 ? rc : 0;
}

int pack_run(const struct pack_settings *settings, const struct pack_plan *plan, struct shard_tuner *writer,
	struct pack_result *result, struct error *err)
{
	struct run run = {
		.settings = settings, .plan = plan, .writer = writer, .result = result, .started_ns = meter_now_ns()};
	struct graph *graph = aligned_alloc(_Alignof(struct graph), sizeof(*graph));
	struct arena *arena = arena_create(0, err);
	int rc = 0;
	if (graph == NULL)
		rc = pack_out_of_memory(err);
	else if (arena == NULL)
		rc = err->code;
	if (rc == 0) {
		memset(graph, 0, sizeof(*graph));
		rc = build(&run, arena, graph, err);
	}
	if (rc == 0)
		rc = graph_run(graph, NULL, err);
	if (settings->show_progress && rc < 0)
		fputs("\r\033[K", stderr);
	free_items(run.read);
	free_items(run.done);
	arena_destroy(arena);
	free(graph);
	result->seconds = (double)(meter_now_ns() - run.started_ns) * 1e-9;
	return rc;
}
