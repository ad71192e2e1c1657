/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What lies in `target`.partial, and when (the target is the shard, or the manifest, however the set was asked for: so
 * one lock is for all who would replace it):
 *
 *	state.json        how blocks are made, once that is chosen; the run's identity
 *	dictionary        if there is one
 *	00000.ring ...    shards that are complete
 *	00002.part        the one being written
 *	commit.json       the manifest to be, once all shards are complete
 *
 * The unfinished shard is its own journal: its blocks describe themselves (shard_resume.c). The commit of a set is
 * commit.json's: from when it stands, whoever finds it gives the shards the names in it and then makes it the
 * manifest by a rename. It is a set's alone, and the folder's name says of which. Shards get names under which
 * nothing stands, so the old set is whole until that rename and the new one from then on; what only the old one named
 * is removed last. A single shard is renamed over the old one.
 *
 * The folder is locked (flock) as long as somebody writes there.
 */
#include "io/shard_set_writer.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "io/atomic_file.h"
#include "io/shard_manifest.h"
#include "io/shard_partial.h"
#include "io/shard_sample.h"
#include "io/shard_writer_internal.h"

enum { COPY_BYTES = 4 << 20 };

struct shard_set_writer {
	struct shard_set_writer_config config;
	struct shard_partial partial;
	struct shard_sample *sample; /* NULL once it is chosen how to write */
	struct shard_writer *writer; /* NULL before, and where only the commit is missing */
	struct shard_choice choice;
	uint64_t resumed;
	bool complete; /* the run before had finished all shards */
	bool saved;    /* what the folder holds can be taken up */
};

static struct atomic_file *open_part(void *ctx, unsigned number, struct error *err)
{
	return shard_partial_file(ctx, number, false, err);
}

static void set_writer_free(struct shard_set_writer *writer)
{
	if (writer == NULL)
		return;
	shard_sample_destroy(writer->sample);
	shard_partial_close(&writer->partial);
	free(writer);
}

/* ---- how to write: chosen, or as the run before did ---- */

static struct shard_writer *writer_make(
	struct shard_set_writer *writer, const struct shard_writer_config *config, bool resume, struct error *err)
{
	struct shard_writer_config named = *config;
	const struct shard_series series = {.limit_bytes = writer->config.shard_bytes,
		.first = writer->partial.first,
		.ctx = &writer->partial,
		.open = open_part};
	named.path = writer->partial.path;
	return shard_writer_create_series(&named, &series, resume, err);
}

/* What was held for choosing goes the way of all that follows. */
static int held_add(struct shard_set_writer *writer, struct error *err)
{
	int rc = 0;
	size_t count = shard_sample_count(writer->sample);
	for (size_t i = 0; i < count && rc == 0; i++) {
		struct shard_record_in record = shard_sample_record(writer->sample, i);
		rc = shard_writer_add(writer->writer, &record, err);
	}
	return rc;
}

/* final: all records are there, and nothing will have to be taken up. */
static int settle(struct shard_set_writer *writer, bool final, struct error *err)
{
	struct shard_writer_config config;
	int rc = shard_sample_choose(writer->sample, &config, &writer->choice, err);
	writer->saved = !final && !writer->config.append;
	/* A set's commit takes several steps: whose it is must be known even where nothing else will be taken up. */
	if (rc == 0 && !writer->config.append && (!final || writer->partial.many))
		rc = shard_partial_save(&writer->partial, &config, &writer->choice, writer->config.identity, err);
	if (rc == 0) {
		writer->writer = writer_make(writer, &config, false, err);
		rc = writer->writer == NULL ? err->code : held_add(writer, err);
	}
	shard_sample_destroy(writer->sample);
	writer->sample = NULL;
	return rc;
}

static int count_shard(void *ctx, const struct shard *shard, struct error *err)
{
	(void)err;
	*(uint64_t *)ctx += shard_records(shard);
	return 0;
}

/* Takes up the run before. 0: there was nothing to take up. */
static int take_up(struct shard_set_writer *writer, struct error *err)
{
	struct shard_partial *partial = &writer->partial;
	struct shard_writer_config config = writer->config.tuner.writer;
	unsigned char *dictionary = NULL;
	int rc = shard_partial_load(partial, &config, &dictionary, &writer->choice, writer->config.identity, err);
	if (rc <= 0)
		return rc;
	writer->saved = true;
	writer->complete = shard_partial_committing(partial) || (!partial->many && shard_partial_complete(partial) > 0);
	rc = 0;
	if (!writer->complete) {
		unsigned number = shard_partial_complete(partial);
		writer->writer = writer_make(writer, &config, true, err);
		if (writer->writer == NULL) {
			rc = err->code;
		} else if (shard_partial_has_part(partial, number)) {
			struct atomic_file *file = shard_partial_file(partial, number, true, err);
			rc = file == NULL ? err->code : shard_writer_resume(writer->writer, number, file, err);
		} else {
			writer->writer->number = number;
		}
	}
	free(dictionary);
	if (rc == 0)
		rc = shard_partial_each(partial, count_shard, &writer->resumed, err);
	if (rc == 0 && writer->writer != NULL)
		writer->resumed += writer->writer->record_count;
	return rc < 0 ? rc : 1;
}

/* ---- appending ---- */

static int classes_compare(const struct shard_set_writer *writer, const struct shard *shard, struct error *err)
{
	const struct shard_writer_config *config = &writer->config.tuner.writer;
	bool same = shard_classes(shard) == config->class_count;
	for (uint32_t i = 0; same && i < config->class_count; i++)
		same = strcmp(shard_class(shard, i), config->classes[i]) == 0;
	return same ? 0
		    : error_set(err, ERROR_MISMATCH,
			      "cannot add to '%s': its classes are others than those to be added",
			      writer->partial.target);
}

static int copy_blocks(const struct shard *shard, struct atomic_file *file, struct error *err)
{
	const struct shard_block *last = shard_block(shard, shard_blocks(shard) - 1);
	uint64_t end = last->offset + shard_align(last->disk_bytes);
	unsigned char *buffer = malloc(COPY_BYTES);
	int rc = buffer == NULL ? error_set(err, ERROR_MEMORY, "out of memory for copying '%s'", shard_path(shard)) : 0;
	for (uint64_t at = 0; at < end && rc == 0; at += COPY_BYTES) {
		size_t bytes = end - at < COPY_BYTES ? (size_t)(end - at) : COPY_BYTES;
		rc = shard_pread(shard_fd(shard), shard_path(shard), buffer, bytes, at, err);
		if (rc == 0)
			rc = atomic_file_write(file, buffer, bytes, err);
	}
	free(buffer);
	return rc;
}

/* Into the file: its blocks are those of an unfinished shard, which is taken up. */
static int append_to_shard(struct shard_set_writer *writer, const struct shard *shard, struct error *err)
{
	struct shard_writer_config config = writer->config.tuner.writer;
	unsigned char *dictionary = NULL;
	int rc = shard_front_read(shard, &config, &dictionary, err);
	config.fill_pages = writer->config.tuner.tune_block;
	if (rc == 0)
		writer->writer = writer_make(writer, &config, true, err);
	free(dictionary);
	struct atomic_file *file = writer->writer != NULL ? shard_partial_file(&writer->partial, 0, false, err) : NULL;
	if (file == NULL)
		return err->code;
	rc = copy_blocks(shard, file, err);
	struct error why = {0};
	if (rc == 0)
		rc = shard_writer_resume(writer->writer, 0, file, &why);
	else
		atomic_file_abandon(file);
	/* Sound or not, it cannot be gone on with as if this program had begun it. */
	if (rc == ERROR_MISMATCH)
		error_set(err, rc,
			"cannot add to '%s': its header was made by another program or version; 'ringclr merge %s -o "
			"NEW.ring' writes one with the same records that can be added to",
			shard_path(shard), shard_path(shard));
	else if (rc < 0)
		error_copy(err, &why);
	if (rc == 0 && writer->writer->record_count != shard_records(shard))
		rc = error_set(err, ERROR_DAMAGED, "cannot add to '%s': it is damaged, see 'ringclr verify'",
			shard_path(shard));
	writer->resumed = shard_records(shard);
	writer->choice = (struct shard_choice){.block_bytes = config.block_bytes,
		.dictionary_bytes = config.dictionary_bytes,
		.zstd_level = config.zstd_level};
	return rc;
}

static int append_begin(struct shard_set_writer *writer, struct error *err)
{
	const char *target = writer->partial.target;
	struct shard_set *set = shard_set_open(&target, 1, false, err);
	if (set == NULL)
		return err->code;
	int rc = classes_compare(writer, shard_set_at(set, 0), err);
	if (rc == 0 && writer->partial.many) {
		writer->partial.first = shard_set_count(set);
		writer->resumed = shard_set_records(set);
	} else if (rc == 0) {
		rc = append_to_shard(writer, shard_set_at(set, 0), err);
	}
	shard_set_close(set);
	return rc;
}

struct shard_set_writer *shard_set_writer_create(const struct shard_set_writer_config *config, struct error *err)
{
	struct shard_set_writer *writer = calloc(1, sizeof *writer);
	if (writer == NULL) {
		error_set(err, ERROR_MEMORY, "out of memory for writing '%s'", config->tuner.writer.path);
		return NULL;
	}
	writer->config = *config;
	int rc = shard_partial_open(
		&writer->partial, config->tuner.writer.path, config->shard_bytes > 0, config->resume, err);
	if (rc == 0 && config->resume && !config->append)
		rc = take_up(writer, err);
	if (rc == 0)
		rc = shard_partial_clear(&writer->partial, err);
	if (rc == 0 && config->append)
		rc = append_begin(writer, err);
	if (rc == 0 && writer->writer == NULL && !writer->complete) {
		writer->sample = shard_sample_create(&config->tuner, err);
		rc = writer->sample == NULL ? err->code : 0;
	}
	if (rc >= 0)
		return writer;
	if (config->append)
		shard_writer_abandon(writer->writer);
	else
		shard_writer_leave(writer->writer); /* what the run before has left is not this one's to remove */
	if (writer->partial.lock >= 0)		    /* else it is another's, who has perhaps written nothing yet */
		rmdir(writer->partial.folder);
	set_writer_free(writer);
	return NULL;
}

struct each {
	int (*call)(void *ctx, uint64_t record, const char *key, size_t key_bytes, uint64_t hash);
	void *ctx;
	uint64_t record;
};

static int each_shard(void *ctx, const struct shard *shard, struct error *err)
{
	struct each *each = ctx;
	(void)err;
	int rc = 0;
	for (uint32_t i = 0; i < shard_records(shard) && rc == 0; i++) {
		const struct shard_record *record = shard_record(shard, i);
		rc = each->call(each->ctx, each->record++, record->key, strlen(record->key), record->hash);
	}
	return rc;
}

int shard_set_writer_each_resumed(const struct shard_set_writer *writer,
	int (*call)(void *ctx, uint64_t record, const char *key, size_t key_bytes, uint64_t hash), void *ctx,
	struct error *err)
{
	struct each each = {.call = call, .ctx = ctx};
	int rc = writer->resumed == 0 ? 0 : shard_partial_each(&writer->partial, each_shard, &each, err);
	if (rc != 0 || writer->writer == NULL || each.record == writer->resumed)
		return rc;
	const unsigned char *at = spill_map(writer->writer->index_records, err);
	if (at == NULL)
		return err->code;
	while (rc == 0 && each.record < writer->resumed) {
		struct shard_record_disk entry;
		memcpy(&entry, at, sizeof entry);
		at += sizeof entry;
		rc = call(ctx, each.record++, (const char *)at, entry.key_bytes, entry.hash);
		at += entry.key_bytes;
	}
	return rc;
}

int shard_set_writer_add(struct shard_set_writer *writer, const struct shard_record_in *record, struct error *err)
{
	if (writer->complete)
		return error_set(err, ERROR_MISMATCH,
			"the run to be taken up for '%s' was complete, and now '%.200s' comes: start anew",
			writer->partial.path, record->key);
	if (writer->writer != NULL)
		return shard_writer_add(writer->writer, record, err);
	if (record->meta != NULL && !writer->config.tuner.writer.meta)
		return error_set(err, ERROR_USAGE, "'%.200s' has metadata, and the writer was not told that some have",
			record->key);
	int rc = shard_sample_add(writer->sample, record, err);
	return rc == 0 && shard_sample_full(writer->sample) ? settle(writer, false, err) : rc;
}

/* ---- the end ---- */

int shard_set_writer_finish(struct shard_set_writer *writer, struct shard_set_result *result, struct error *err)
{
	int rc = 0;
	if (writer->sample != NULL && shard_sample_count(writer->sample) == 0)
		rc = error_set(err, ERROR_USAGE, "cannot write '%s': no record was added, and a shard is never empty",
			writer->partial.path);
	else if (writer->sample != NULL)
		rc = settle(writer, true, err);
	if (rc == 0 && writer->writer != NULL) {
		rc = shard_writer_finish_series(writer->writer, err);
		if (rc == 0)
			writer->writer = NULL;
	}
	if (rc == 0 && !writer->complete)
		rc = shard_partial_prepare(&writer->partial, err);
	*result = (struct shard_set_result){.choice = writer->choice};
	if (rc == 0)
		rc = shard_partial_commit(&writer->partial, result, err);
	if (rc != 0) {
		shard_set_writer_abandon(writer, rc != ERROR_USAGE);
		return rc;
	}
	set_writer_free(writer);
	return 0;
}

void shard_set_writer_abandon(struct shard_set_writer *writer, bool keep)
{
	if (writer == NULL)
		return;
	bool begun = writer->complete || writer->writer == NULL || writer->writer->number > 0 ||
		     writer->writer->block_count > 0;
	struct error ignored = {0};
	if (keep && writer->saved && begun) {
		shard_writer_leave(writer->writer);
	} else {
		shard_writer_abandon(writer->writer);
		shard_partial_remove(&writer->partial, &ignored);
	}
	set_writer_free(writer);
}
