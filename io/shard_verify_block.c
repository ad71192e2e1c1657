/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Checking one block: its header and the hash of its payload, the zeros behind it, and at level FULL the payload:
 *
 *	record table, images[, fields of each record]
 *
 * The table is walked twice: once to find where the images begin and end, once beside the images and the fields.
 */
#include "io/shard_verify_internal.h"

#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

bool verify_scratch(unsigned char **buffer, size_t *capacity, size_t bytes)
{
	if (bytes <= *capacity)
		return true;
	free(*buffer);
	*buffer = aligned_alloc(SHARD_BLOCK_ALIGN, shard_align(bytes));
	*capacity = *buffer == NULL ? 0 : bytes;
	return *buffer != NULL;
}

bool verify_zero(const unsigned char *bytes, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (bytes[i] != 0)
			return false;
	return true;
}

/* A decompressed block and the places in it: of the entry that comes next, of its image and of its fields. */
struct payload {
	const unsigned char *raw;
	size_t bytes, at, image, fields;
	bool fields_lost; /* where the next record's begin is not known */
	uint32_t block, first_record;
};

struct entry {
	struct shard_record_disk disk;
	const char *key; /* disk.key_bytes, not ended by a zero */
	uint32_t number;
};

/* The next entry of the table. */
static bool entry_read(struct verify_job *job, struct payload *payload, uint32_t i, struct entry *entry)
{
	const char *path = job->file->path;
	entry->number = payload->first_record + i;
	if (payload->bytes - payload->at < sizeof entry->disk) {
		verify_report_add(job->report, "'%s': block %u: its record table ends in record %u", path,
			payload->block, entry->number);
		return false;
	}
	memcpy(&entry->disk, payload->raw + payload->at, sizeof entry->disk);
	payload->at += sizeof entry->disk;
	entry->key = (const char *)payload->raw + payload->at;
	if (entry->disk.key_bytes > payload->bytes - payload->at) {
		verify_report_add(
			job->report, "'%s': block %u: record %u does not fit it", path, payload->block, entry->number);
		return false;
	}
	payload->at += entry->disk.key_bytes;
	return true;
}

static int key_shown(const struct entry *entry)
{
	return entry->disk.key_bytes > 200 ? 200 : entry->disk.key_bytes;
}

/* Whether entry and index agree; without an index, whether the entry is one that the format allows. */
static bool entry_check(struct verify_job *job, const struct payload *payload, const struct entry *entry)
{
	const struct verify_file *file = job->file;
	const struct shard_record_disk *disk = &entry->disk;
	if (!file->index_sound) {
		const char *fault = shard_record_fault(entry->key, disk->key_bytes, disk->label, SHARD_MAX_CLASSES,
			disk->width, disk->height, disk->codec, disk->bytes);
		if (fault != NULL)
			verify_report_add(job->report, "'%s': block %u is wrong about record %u: %s", file->path,
				payload->block, entry->number, fault);
		return fault == NULL;
	}
	const struct shard_record *record = &file->index.records[entry->number];
	if (record->hash == disk->hash && record->bytes == disk->bytes && record->label == disk->label &&
		record->width == disk->width && record->height == disk->height && record->codec == disk->codec &&
		strlen(record->key) == disk->key_bytes && memcmp(record->key, entry->key, disk->key_bytes) == 0)
		return true;
	verify_report_add(job->report, "'%s': record %u ('%.200s') differs between the index and block %u", file->path,
		entry->number, record->key, payload->block);
	return false;
}

/* The record's fields, whose metadata comes to *record. */
static bool fields_check(
	struct verify_job *job, struct payload *payload, const struct entry *entry, struct shard_record_in *record)
{
	const struct verify_file *file = job->file;
	if (!file->fields_known || !file->fields.there || payload->fields_lost)
		return true;
	const char *fault = shard_record_fields(
		&file->fields, payload->raw, payload->bytes, &payload->fields, &record->meta, &record->meta_bytes);
	if (fault == NULL)
		return true;
	verify_report_add(job->report, "'%s': record %u ('%.*s') in block %u: %s", file->path, entry->number,
		key_shown(entry), entry->key, payload->block, fault);
	payload->fields_lost = true;
	return false;
}

/* A record whose image lies in the block; sound: what its entry says is. */
static void contents_check(struct verify_job *job, struct payload *payload, const struct entry *entry, bool sound)
{
	const struct verify_file *file = job->file;
	const struct shard_verify_options *options = file->options;
	struct shard_record_in record = {.label = entry->disk.label,
		.width = entry->disk.width,
		.height = entry->disk.height,
		.codec = (enum shard_codec)entry->disk.codec,
		.data = payload->raw + payload->image,
		.bytes = entry->disk.bytes};
	if (XXH3_64bits(record.data, record.bytes) != entry->disk.hash) {
		verify_report_add(job->report, "'%s': record %u ('%.*s') in block %u is damaged: hash", file->path,
			entry->number, key_shown(entry), entry->key, payload->block);
		sound = false;
	}
	sound = fields_check(job, payload, entry, &record) && sound;
	struct error err = {0};
	if (sound && options->check != NULL && options->check(options->ctx, job->number, &record, &err) != 0)
		verify_report_add(job->report, "'%s': record %u ('%.*s') in block %u: %s", file->path, entry->number,
			key_shown(entry), entry->key, payload->block, err.message);
}

static void records_check(struct verify_job *job, struct payload *payload, uint32_t count)
{
	const struct verify_file *file = job->file;
	struct entry entry;
	uint64_t images = 0;
	for (uint32_t i = 0; i < count; i++) {
		if (!entry_read(job, payload, i, &entry))
			return;
		images += entry.disk.bytes;
	}
	/* Where the images do not fit, the first that does not ends the walk, and there are no fields to be found. */
	payload->image = payload->at;
	payload->fields_lost = images > payload->bytes - payload->at;
	payload->fields = payload->fields_lost ? payload->bytes : payload->at + (size_t)images;
	payload->at = 0;
	for (uint32_t i = 0; i < count; i++) {
		entry_read(job, payload, i, &entry);
		if (entry.disk.bytes > payload->bytes - payload->image) {
			verify_report_add(job->report, "'%s': block %u: record %u does not fit it", file->path,
				payload->block, entry.number);
			return;
		}
		contents_check(job, payload, &entry, entry_check(job, payload, &entry));
		payload->image += entry.disk.bytes;
	}
	if (file->fields_known && !payload->fields_lost && payload->fields != payload->bytes)
		verify_report_add(
			job->report, "'%s': block %u has bytes behind its last record", file->path, payload->block);
}

/* The header and all hashes of the block are right. */
static void payload_check(
	struct verify_job *job, uint32_t block, const struct shard_block_disk *header, const unsigned char *disk)
{
	const struct verify_file *file = job->file;
	const size_t payload_bytes = header->disk_bytes - sizeof *header;
	const char *unread = NULL;
	if (header->compression == SHARD_ZSTD_DICTIONARY && file->dictionary == NULL)
		unread = "its dictionary is lost";
	else if (header->compression == SHARD_ZSTD_DICTIONARY &&
		 header->dictionary_hash != file->footer.dictionary_hash)
		unread = "it needs another dictionary than the file has";
	if (unread != NULL) {
		verify_report_add(job->report, "'%s': block %u (%u records from record %u) cannot be read: %s",
			file->path, block, header->record_count, header->first_record, unread);
		return;
	}
	if (job->dctx == NULL)
		return;
	struct payload payload = {.raw = disk + sizeof *header,
		.bytes = header->raw_bytes,
		.block = block,
		.first_record = header->first_record};
	if (header->compression != SHARD_STORED) {
		if (!verify_scratch(&job->raw, &job->raw_capacity, header->raw_bytes)) {
			verify_report_add(
				job->report, "'%s': block %u cannot be checked: out of memory", file->path, block);
			return;
		}
		const char *fault = shard_expand(job->dctx, header->compression, file->dictionary,
			disk + sizeof *header, payload_bytes, job->raw, header->raw_bytes);
		if (fault != NULL) {
			verify_report_add(job->report, "'%s': block %u (from record %u) is damaged: %s", file->path,
				block, header->first_record, fault);
			return;
		}
		payload.raw = job->raw;
	}
	records_check(job, &payload, header->record_count);
}

static void padding_check(struct verify_job *job, uint32_t block, const unsigned char *disk, size_t disk_bytes)
{
	if (!verify_zero(disk + disk_bytes, shard_align(disk_bytes) - disk_bytes))
		verify_report_add(
			job->report, "'%s': the padding of block %u is damaged: not zero", job->file->path, block);
}

void verify_block_by_index(struct verify_job *job, uint32_t block, const unsigned char *disk)
{
	const struct verify_file *file = job->file;
	const uint32_t disk_bytes = file->index.blocks[block].disk_bytes;
	struct error err = {0};
	if (shard_check_block(file->path, &file->index, block, disk, disk_bytes, true, &err) != 0) {
		verify_report_add(job->report, "%s", err.message);
	} else {
		struct shard_block_disk header;
		memcpy(&header, disk, sizeof header);
		payload_check(job, block, &header, disk);
	}
	padding_check(job, block, disk, disk_bytes);
}

void verify_block_by_itself(struct verify_job *job, const struct shard_block_disk *header, const unsigned char *disk)
{
	if (header->payload_hash != XXH3_64bits(disk + sizeof *header, header->disk_bytes - sizeof *header))
		verify_report_add(job->report,
			"'%s': block %u (%u records from record %u) is damaged: hash of its payload", job->file->path,
			header->number, header->record_count, header->first_record);
	else
		payload_check(job, header->number, header, disk);
	padding_check(job, header->number, disk, header->disk_bytes);
}
