/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The second pass's writer. Items come in the order of reading. Where that is the order of the records each is written
 * as it comes; else (an archive, shuffled) they are kept aside in a temporary file beside the output, and written in
 * their order when all are there: 8 bytes a record say where.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "pipeline/escape.h"
#include "tools/command.h"
#include "tools/pack_run.h"

/* What the temporary file has before an image's bytes. */
struct aside {
	uint64_t hash;
	uint64_t bytes;
	uint32_t width, height;
	uint32_t codec;
};

struct writing {
	struct pack_pass *pass;
	struct pack_dedupe *dedupe; /* NULL: duplicates are not looked for */
	struct spill *spill;	    /* NULL: the records' order is that of reading */
	uint64_t *places;	    /* in the spill, by entry; UINT64_MAX: nothing */
};

static void draw_progress(struct pack_pass *pass)
{
	uint64_t now = meter_now_ns(), finished = pass->finished, all = pass->count;
	bool last = finished == all;
	if (!pass->settings->show_progress || (!last && now - pass->drawn_ns < 200000000))
		return;
	pass->drawn_ns = now;
	double seconds = (double)(now - pass->started_ns) * 1e-9 + 1e-9;
	double rate = (double)finished / seconds;
	double left = rate > 0 ? (double)(all - finished) / rate : 0;
	fprintf(stderr, "\r%llu/%llu images  %.0f images/s  %.1f MB/s  %.0f s left \033[K",
		(unsigned long long)finished, (unsigned long long)all, rate,
		(double)pass->result->image_bytes * 1e-6 / seconds, left);
	if (last)
		fputs("\r\033[K", stderr);
}

static int tell_duplicate(
	struct pack_pass *pass, const struct pack_entry *entry, const struct pack_entry *first, struct error *err)
{
	const char *key = pack_plan_key(pass->plan, entry), *before = pack_plan_key(pass->plan, first);
	if (pass->settings->list_duplicates) {
		escape_print(stdout, key);
		putchar('\t');
		escape_print(stdout, before);
		if (putchar('\n') < 0)
			return error_set(err, ERROR_IO, "cannot write to standard output");
	}
	if (pass->result->duplicates++ >= PACK_LISTED)
		return 0;
	cJSON *object = cJSON_CreateObject();
	cJSON_AddStringToObject(object, "key", key);
	cJSON_AddStringToObject(object, "first", before);
	cJSON_AddItemToArray(pass->result->duplicate_list, object);
	return 0;
}

/* 1: the record is left out; 0: it stays; or a negative code. */
static int judge_duplicate(struct writing *writing, const struct pack_entry *entry, struct error *err)
{
	const struct pack_entry *first = writing->dedupe != NULL ? pack_dedupe_find(writing->dedupe, entry) : NULL;
	if (first == NULL)
		return 0;
	int rc = tell_duplicate(writing->pass, entry, first, err);
	return rc == 0 ? writing->pass->settings->dedupe == PACK_DEDUPE_DROP : rc;
}

static int put_record(struct writing *writing, struct pack_entry *entry, struct shard_record_in *record, uint64_t hash,
	struct error *err)
{
	struct pack_pass *pass = writing->pass;
	entry->ordinal = hash;
	int rc = judge_duplicate(writing, entry, err);
	if (rc != 0)
		return rc < 0 ? rc : 0;
	record->key = pack_plan_key(pass->plan, entry);
	if (entry->flags & PACK_JUDGED)
		return error_set(err, ERROR_MISMATCH,
			"%s: an earlier run left it out, but it is sound: the inputs have changed; start again without "
			"--resume",
			record->key);
	unsigned output = (entry->flags & PACK_VALIDATION) != 0;
	record->label = entry->label;
	record->meta = pack_plan_meta(pass->plan, entry);
	record->meta_bytes = record->meta != NULL ? strlen(record->meta) : 0;
	pass->result->written[output]++;
	pass->result->image_bytes += record->bytes;
	return shard_set_writer_add(pass->outputs->writers[output], record, err);
}

static int put_aside(struct writing *writing, const struct pack_item *item, uint64_t hash, struct error *err)
{
	struct aside aside = {.hash = hash,
		.bytes = item->bytes,
		.width = item->width,
		.height = item->height,
		.codec = (uint32_t)item->codec};
	int rc = spill_append(writing->spill, &aside, sizeof(aside),
		&writing->places[item->entry - writing->pass->plan->entries], err);
	return rc == 0 ? spill_append(writing->spill, item->data, item->bytes, NULL, err) : rc;
}

static int take_item(struct writing *writing, struct pack_item *item, int status, struct error *err)
{
	struct pack_pass *pass = writing->pass;
	if (status < 0)
		return pack_bad_take(pass->bad, pass->settings->inputs[item->entry->input],
			pack_plan_key(pass->plan, item->entry), item->data, item->bytes, item->reason, err);
	pass->result->truncated += item->truncated;
	pass->result->turned += item->turned;
	pass->result->unturned += item->unturned;
	uint64_t hash = writing->dedupe != NULL ? XXH3_64bits(item->data, item->bytes) : 0;
	if (writing->spill != NULL)
		return put_aside(writing, item, hash, err);
	struct shard_record_in record = {.width = item->width,
		.height = item->height,
		.codec = item->codec,
		.data = item->data,
		.bytes = item->bytes};
	return put_record(writing, item->entry, &record, hash, err);
}

static int take_items(struct writing *writing, struct worker *worker)
{
	struct pack_pass *pass = writing->pass;
	for (uint64_t seq = 0; seq < pass->count; seq++) {
		void *memory;
		int status;
		int rc = pack_interrupted(pass->plan, worker->err);
		if (rc == 0)
			rc = ring_acquire(pass->done, seq, &memory, &status);
		if (rc != 0)
			return rc;
		struct pack_item *item = memory;
		rc = take_item(writing, item, status, worker->err);
		if (rc < 0)
			return rc;
		meter_add(worker->meter, 1, item->bytes);
		pack_item_clear(item);
		ring_release(pass->done, seq);
		pass->finished = seq + 1;
		draw_progress(pass);
	}
	return 0;
}

/* What was kept aside, in the order of the records. */
static int write_aside(struct writing *writing, struct error *err)
{
	const struct pack_plan *plan = writing->pass->plan;
	const unsigned char *map = spill_map(writing->spill, err);
	if (map == NULL)
		return err->code;
	int rc = 0;
	for (uint64_t n = 0; n < plan->count && rc == 0; n++) {
		struct pack_entry *entry = pack_plan_at(plan, n);
		uint64_t place = writing->places[entry - plan->entries];
		if (place == UINT64_MAX)
			continue;
		struct aside aside;
		memcpy(&aside, map + place, sizeof(aside));
		struct shard_record_in record = {.width = aside.width,
			.height = aside.height,
			.codec = (enum shard_codec)aside.codec,
			.data = map + place + sizeof(aside),
			.bytes = aside.bytes};
		rc = pack_interrupted(plan, err);
		if (rc == 0)
			rc = put_record(writing, entry, &record, aside.hash, err);
	}
	return rc;
}

/* Records of an earlier run take their places among those that may be duplicates. */
static int take_written(struct writing *writing, struct error *err)
{
	struct pack_pass *pass = writing->pass;
	for (uint64_t n = 0; n < pass->plan->count; n++) {
		const struct pack_entry *entry = pack_plan_at(pass->plan, n);
		if (!(entry->flags & PACK_WRITTEN))
			continue;
		int rc = judge_duplicate(writing, entry, err);
		if (rc < 0)
			return rc;
		pass->result->written[(entry->flags & PACK_VALIDATION) != 0]++;
		pass->result->resumed++;
	}
	return 0;
}

static int writing_open(struct writing *writing, struct error *err)
{
	struct pack_pass *pass = writing->pass;
	if (pass->settings->dedupe != PACK_DEDUPE_KEEP) {
		writing->dedupe = pack_dedupe_create(pass->plan, err);
		if (writing->dedupe == NULL)
			return err->code;
	}
	if (!pass->spills)
		return 0;
	writing->spill = spill_create(pass->settings->spill_folder, err);
	if (writing->spill == NULL)
		return err->code;
	writing->places = malloc((pass->plan->count + 1) * sizeof(*writing->places));
	if (writing->places == NULL)
		return pack_out_of_memory(err);
	memset(writing->places, 0xff, (pass->plan->count + 1) * sizeof(*writing->places));
	return 0;
}

int pack_write_stage(void *ctx, struct worker *worker)
{
	struct writing writing = {.pass = ctx};
	int rc = writing_open(&writing, worker->err);
	if (rc == 0)
		rc = take_written(&writing, worker->err);
	if (rc == 0)
		rc = take_items(&writing, worker);
	if (rc == 0 && writing.spill != NULL)
		rc = write_aside(&writing, worker->err);
	pack_dedupe_destroy(writing.dedupe);
	spill_destroy(writing.spill);
	free(writing.places);
	return rc == RING_END ? 0 : rc;
}
