/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sample s of the run belongs to batch s / capacity, row s % capacity: nothing is copied to assemble a batch.
 *
 * Under the policy `skip` a record that is damaged or does not decode is replaced by the next good one in the order of
 * the shards, read on the spot. The replacement depends on the data alone, so a run with bad images is as repeatable as
 * one without.
 */
#include "stages/decode.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "pipeline/trace.h"

static size_t round_up_line(size_t bytes)
{
	return (bytes + 63) & ~(size_t)63;
}

static size_t batch_x_bytes(const struct augment *augment)
{
	size_t side = augment->policies.view[0].size;
	return round_up_line((size_t)augment->policies.count * augment->capacity * side * side * 3 * sizeof(float));
}

size_t batch_slot_bytes(const struct augment *augment)
{
	return batch_x_bytes(augment) + round_up_line(augment->capacity * sizeof(uint64_t)) +
	       round_up_line(augment->capacity * sizeof(int32_t));
}

struct batch batch_view(const struct augment *augment, const struct span *span, uint64_t seq, void *memory)
{
	uint64_t left = span->end - seq * augment->capacity;
	char *record = (char *)memory + batch_x_bytes(augment);
	return (struct batch){
		.images = left < augment->capacity ? (uint32_t)left : augment->capacity,
		.views = augment->policies.count,
		.capacity = augment->capacity,
		.size = augment->policies.view[0].size,
		.x = memory,
		.record = (uint64_t *)record,
		.label = (int32_t *)(record + round_up_line(augment->capacity * sizeof(uint64_t))),
	};
}

/* The pixels that the cache keeps of a record, made for it by this call if need be. False when it keeps none, also of
 * an image that does not decode as a whole: whether that matters is for the region to say, as without a cache. */
static bool cached_pixels(const struct decode_stage *stage, struct decode_bench *bench, uint64_t number,
	const void *data, size_t bytes, struct codec_pixels *image)
{
	const struct shard_record *record = shard_set_record(stage->set, number);
	const uint8_t *kept = record_cache_pixels(stage->cache, number);
	if (!kept) {
		struct error ignored = {0};
		uint8_t *place = record_cache_pixels_begin(stage->cache, number);
		if (!place)
			return false;
		const int code = codec_decode(bench->codecs, (enum shard_codec)record->codec, data, bytes,
			record->width, record->height, place, (size_t)record->width * record->height * 3, &ignored);
		record_cache_pixels_end(stage->cache, number, code == 0);
		if (code < 0)
			return false;
		kept = place;
	}
	*image = codec_pixels_whole(kept, record->width, record->height);
	return true;
}

/*
 * Draws the views of record `number` under that key, and leaves in bench->image what they need of it: from the cache,
 * from the record's own bytes (raw), or decoded onto the bench. On failure the message names file and key.
 */
static int decode_record(const struct decode_stage *stage, struct decode_bench *bench, uint32_t epoch,
	uint64_t view_key, uint64_t number, const void *data, size_t bytes, struct error *err)
{
	const struct shard_record *record = shard_set_record(stage->set, number);
	const uint32_t width = record->width, height = record->height;
	augment_draw(&stage->augment, width, height, epoch, view_key, bench->params);
	struct codec_region region = augment_region(&stage->augment, bench->params, width, height);
	if (record->codec != SHARD_JPEG)
		region.scale = 1; /* the others have no scales: the cache's pixels will do */
	struct error cause = {0};
	int code = 0;
	if (region.scale != 1 || !cached_pixels(stage, bench, number, data, bytes, &bench->image))
		code = codec_decode_region(bench->codecs, (enum shard_codec)record->codec, data, bytes, width, height,
			&region, bench->pixels, stage->pixels_bytes, &bench->image, &cause);
	if (code == 0)
		return 0;
	unsigned shard;
	uint32_t local;
	shard_set_locate(stage->set, number, &shard, &local);
	return error_set(err, code,
		"%s: record '%s': %s; repack without it (pack --bad skip), or go on without it (--bad skip)",
		shard_path(shard_set_at(stage->set, shard)), record->key, cause.message);
}

static void list_bad(struct decode_bad_list *list, uint64_t number, const struct error *why)
{
	atomic_fetch_add_explicit(&list->replaced, 1, memory_order_relaxed);
	pthread_mutex_lock(&list->lock);
	bool known = list->count == DECODE_BAD_LISTED;
	for (uint64_t i = 0; i < list->count && !known; i++)
		known = list->record[i] == number;
	if (!known) {
		list->record[list->count++] = number;
		fprintf(stderr, "skipped: %s\n", why->message);
	}
	pthread_mutex_unlock(&list->lock);
}

/* Puts the next good record after `number` on the bench; *number becomes it. It is seen through the views of the record
 * that it replaces. */
static int replace_record(struct decode_stage *stage, struct decode_bench *bench, const struct sample_item *sample,
	uint64_t *number, struct error *err)
{
	uint64_t total = shard_set_records(stage->set);
	for (uint64_t i = 1; i < total; i++) {
		uint64_t other = (*number + i) % total;
		unsigned shard;
		uint32_t local;
		size_t bytes;
		struct error ignored = {0};
		shard_set_locate(stage->set, other, &shard, &local);
		free(bench->replacement);
		bench->replacement = NULL;
		int code = shard_read_record(
			shard_set_at(stage->set, shard), local, &bench->replacement, &bytes, &ignored);
		if (code == 0)
			code = decode_record(stage, bench, sample->epoch, sample->record, other, bench->replacement,
				bytes, &ignored);
		if (code == 0) {
			*number = other;
			return 0;
		}
	}
	return error_set(err, ERROR_DECODE, "no record of the data set decodes; check it with: ringclr verify");
}

/* The sample's pixels, or under `skip` its replacement's, in bench->image; *number is the record they are of. */
static int decode_sample(struct decode_stage *stage, struct worker *worker, struct decode_bench *bench,
	const struct sample_item *sample, int status, uint64_t *number)
{
	*number = sample->record;
	struct error why = {0};
	int code = status;
	if (status < 0)
		error_set(&why, status, "record '%s' lies in a damaged block",
			shard_set_record(stage->set, *number)->key);
	else
		code = decode_record(
			stage, bench, sample->epoch, sample->record, *number, sample->data_at, sample->bytes, &why);
	if (code == 0)
		return 0;
	if (stage->bad == DECODE_BAD_FAIL)
		return error_copy(worker->err, &why);
	list_bad(&stage->bad_list, *number, &why);
	return replace_record(stage, bench, sample, number, worker->err);
}

/* Whether the image's pixels are the sample's own bytes (raw), which lie in its slot. */
static bool lies_in_slot(const struct sample_item *sample, const struct codec_pixels *image)
{
	const uintptr_t from = (uintptr_t)sample->data_at, at = (uintptr_t)image->pixels;
	return !sample->cached && at >= from && at - from < sample->bytes;
}

/* One image from sample slot to batch rows. */
static int process(struct decode_stage *stage, struct worker *worker, uint64_t seq)
{
	struct decode_bench *bench = &stage->benches[worker->index];
	uint64_t batch_seq = seq / stage->augment.capacity;
	uint32_t row = (uint32_t)(seq % stage->augment.capacity);
	void *memory;
	int status;
	int result = ring_acquire(stage->samples, seq, &memory, &status);
	if (result != RING_OK)
		return result;

	uint64_t traced_ns = trace_begin(), time_ns = meter_now_ns();
	const struct sample_item *sample = memory;
	uint64_t number;
	meter_add(worker->meter, 1, sample->bytes);
	int code = decode_sample(stage, worker, bench, sample, status, &number);
	if (code < 0)
		return code;
	bool in_slot = lies_in_slot(sample, &bench->image);
	if (!in_slot)
		ring_release(stage->samples, seq);
	uint64_t decode_ns = meter_phase(worker->meter, DECODE_PHASE_DECODE, time_ns) - time_ns;
	trace_end_numbered("stage", "decode", seq, traced_ns);

	result = ring_claim(stage->batches, batch_seq, &memory);
	if (result != RING_OK)
		return result;
	traced_ns = trace_begin();
	time_ns = meter_now_ns();
	struct batch batch = batch_view(&stage->augment, stage->span, batch_seq, memory);
	augment_image(&stage->augment, bench->params, &bench->image, row, bench->scratch, batch.x);
	batch.record[row] = number;
	batch.label[row] = shard_set_record(stage->set, number)->label;
	if (in_slot)
		ring_release(stage->samples, seq);
	uint64_t augment_ns = meter_phase(worker->meter, DECODE_PHASE_AUGMENT, time_ns) - time_ns;
	slow_list_note(&bench->slow, number, decode_ns, augment_ns);
	trace_end_numbered("stage", "augment", seq, traced_ns);

	ring_publish(stage->batches, batch_seq, 0);
	/* The last batch of an evaluation may be short: its last image also stands in for the rows that do not exist.
	 */
	if (seq + 1 == stage->span->end)
		for (uint32_t missing = row + 1; missing < stage->augment.capacity; missing++)
			ring_publish(stage->batches, batch_seq, 0);
	return RING_OK;
}

int decode_run(void *ctx, struct worker *worker)
{
	struct decode_stage *stage = ctx;
	int result;
	do {
		uint64_t seq = ring_ticket(stage->samples, RING_CONSUMER);
		result = process(stage, worker, seq);
	} while (result == RING_OK);
	if (result < 0)
		return result;
	uint64_t capacity = stage->augment.capacity;
	ring_close(stage->batches, (stage->span->end + capacity - 1) / capacity);
	return 0;
}
