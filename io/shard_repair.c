/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Salvaging a damaged shard: every block whose hashes are right is read, and its records are written to a new shard.
 *
 * Header and footer say the same of class table, dictionary and field table, so one of them is enough to read those.
 * Without a footer the index is looked for (shard_find.c); without an index blocks are, page by page. The index, if
 * there is one, also says what lay in blocks that are gone, by key; without it their numbers tell of the gaps.
 *
 * What is needed and lost is made up as far as that can be: class names become "0", "1", ...; a field table becomes the
 * one that this program writes, which is how fields behind the images are then read. A dictionary cannot be made up:
 * blocks that are compressed with it are lost.
 */
#include "io/shard_repair.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include "io/shard_find.h"

enum { REPAIR_LEVEL = 6 };

struct repairer {
	struct shard_find find;
	const char *out;
	const struct shard_class_names *names; /* for where the shard's are lost; NULL: numbers */
	const struct shard_repair_report *report;
	struct shard_repaired *repaired;
	bool header_sound, footer_sound, index_sound, front_sound; /* front: sizes before the blocks are known */
	bool has_fields, dictionary_missed;			   /* missed: a block needs it, and it is lost */
	struct shard_header_disk header;
	struct shard_footer_disk footer; /* from the header, where it is lost */
	char **classes, **made_up;	 /* made_up: given, or numbers; one allocation each */
	uint32_t class_count;
	struct shard_fields fields;
	ZSTD_DDict *dictionary;
	unsigned char *dictionary_content;
	struct shard_index index;
	ZSTD_DCtx *dctx;
	unsigned char *disk, *raw;
	size_t disk_capacity, raw_capacity;
	struct shard_writer *writer; /* NULL in the pass that only looks at labels */
	int64_t max_label;
};

bool shard_repaired_whole(const struct shard_repaired *repaired)
{
	return repaired->records_lost == 0 && repaired->blocks_lost == 0 && !repaired->end_unknown &&
	       !repaired->classes_lost && !repaired->metadata_lost;
}

__attribute__((format(printf, 2, 3))) static void note(const struct repairer *r, const char *format, ...)
{
	char line[1400];
	va_list arguments;
	va_start(arguments, format);
	vsnprintf(line, sizeof line, format, arguments);
	va_end(arguments);
	r->report->note(r->report->ctx, line);
}

/* ---- what stands before and behind the blocks ---- */

static int ends_load(struct repairer *r, struct error *err)
{
	const struct shard_find *f = &r->find;
	struct error header_error = {0}, footer_error = {0};
	r->header_sound = shard_load_header(f->fd, f->path, f->file_bytes, &r->header, &header_error) == 0;
	r->footer_sound = shard_load_footer(f->fd, f->path, f->file_bytes, &r->footer, &footer_error) == 0;
	if (header_error.code == ERROR_VERSION || header_error.code == ERROR_IO)
		return error_copy(err, &header_error);
	if (!r->header_sound)
		note(r, "header: %s", header_error.message);
	if (!r->footer_sound)
		note(r, "footer: %s", footer_error.message);
	if (r->header_sound && r->footer_sound && !shard_ends_agree(&r->header, &r->footer)) {
		note(r, "'%s': header and footer are not of one file; the header is believed", f->path);
		r->footer_sound = false;
	}
	if (!r->footer_sound)
		memset(&r->footer, 0, sizeof r->footer);
	if (r->header_sound && !r->footer_sound)
		shard_footer_repeat(&r->footer, &r->header);
	/* The bounds of a footer that was loaded, for one that was not. */
	if (r->footer.class_count > SHARD_MAX_CLASSES || r->footer.class_bytes > f->file_bytes ||
		r->footer.class_bytes > (2 + SHARD_MAX_CLASS_NAME) * (uint64_t)r->footer.class_count) {
		note(r, "'%s': the header makes no sense (class table)", f->path);
		r->header_sound = false;
		memset(&r->footer, 0, sizeof r->footer);
	}
	r->front_sound = r->header_sound || r->footer_sound;
	r->has_fields = r->footer.field_table_bytes > 0;
	return 0;
}

static void fields_make_up(struct repairer *r)
{
	memset(r->fields.declared, 1, sizeof r->fields.declared);
	r->fields.there = true;
	r->fields.meta_id = SHARD_FIELD_META;
	note(r, "'%s': the field table is lost: its fields are taken to be those that ringclr writes", r->find.path);
}

static int front_load(struct repairer *r, struct error *err)
{
	const struct shard_find *f = &r->find;
	struct error error = {0};
	if (!r->front_sound)
		return 0;
	if (shard_load_classes(f->fd, f->path, &r->footer, &r->classes, &error) != 0)
		note(r, "class table: %s", error.message);
	else
		r->class_count = r->footer.class_count;
	error = (struct error){0};
	if (shard_load_dictionary(f->fd, f->path, &r->footer, &r->dictionary, &error) != 0)
		note(r, "dictionary: %s", error.message);
	if (r->dictionary != NULL) { /* it was read a moment ago */
		r->dictionary_content = malloc(r->footer.dictionary_bytes);
		if (r->dictionary_content == NULL)
			return error_set(err, ERROR_MEMORY, "out of memory for the dictionary of '%s'", f->path);
		int rc = shard_pread(f->fd, f->path, r->dictionary_content, r->footer.dictionary_bytes,
			shard_dictionary_offset(&r->footer), err);
		if (rc != 0)
			return rc;
	}
	error = (struct error){0};
	int rc = shard_load_fields(f->fd, f->path, &r->footer, &r->fields, &error);
	if (rc == ERROR_VERSION)
		return error_copy(err, &error);
	if (rc != 0) {
		note(r, "field table: %s", error.message);
		fields_make_up(r);
	}
	if (r->fields.unknown)
		note(r, "'%s' has fields that are unknown here: they are left out", f->path);
	r->repaired->metadata_lost = r->fields.unknown;
	return 0;
}

/* ---- blocks ---- */

static bool scratch(unsigned char **buffer, size_t *capacity, size_t bytes)
{
	if (bytes <= *capacity)
		return true;
	free(*buffer);
	*buffer = malloc(bytes);
	*capacity = *buffer == NULL ? 0 : bytes;
	return *buffer != NULL;
}

/* Reads and decompresses a found block into r->raw. 0; ERROR_DAMAGED, noted; or another error. */
static int block_read(struct repairer *r, const struct shard_found_block *block, struct error *err)
{
	const struct shard_block_disk *header = &block->header;
	const char *fault = NULL;
	bool dictionary = header->compression == SHARD_ZSTD_DICTIONARY;
	if (header->disk_bytes > r->find.file_bytes - block->offset) {
		if (r->writer == NULL)
			note(r, "'%s': block %u is damaged: the file ends in it", r->find.path, header->number);
		return ERROR_DAMAGED;
	}
	if (!scratch(&r->disk, &r->disk_capacity, header->disk_bytes) ||
		!scratch(&r->raw, &r->raw_capacity, header->raw_bytes))
		return error_set(err, ERROR_MEMORY, "out of memory for a block of '%s'", r->find.path);
	int rc = shard_pread(r->find.fd, r->find.path, r->disk, header->disk_bytes, block->offset, err);
	if (rc != 0)
		return rc;
	size_t payload_bytes = header->disk_bytes - sizeof *header;
	if (header->payload_hash != XXH3_64bits(r->disk + sizeof *header, payload_bytes))
		fault = "hash of its payload";
	else if (dictionary && r->dictionary == NULL)
		fault = "its dictionary is lost";
	else if (dictionary && header->dictionary_hash != r->footer.dictionary_hash)
		fault = "it needs another dictionary than the file has";
	else
		fault = shard_expand(r->dctx, header->compression, r->dictionary, r->disk + sizeof *header,
			payload_bytes, r->raw, header->raw_bytes);
	if (fault == NULL)
		return 0;
	r->dictionary_missed |= dictionary && r->dictionary == NULL;
	if (r->writer == NULL)
		note(r, "'%s': block %u is damaged: %s", r->find.path, header->number, fault);
	return ERROR_DAMAGED;
}

/* Where the images begin and end in r->raw, if the record table fits it. */
static bool table_walk(const struct repairer *r, const struct shard_block_disk *header, size_t *images, size_t *end)
{
	size_t at = 0;
	uint64_t bytes = 0;
	struct shard_record_disk entry;
	for (uint32_t i = 0; i < header->record_count; i++) {
		if (header->raw_bytes - at < sizeof entry)
			return false;
		memcpy(&entry, r->raw + at, sizeof entry);
		at += sizeof entry;
		if (header->raw_bytes - at < entry.key_bytes)
			return false;
		at += entry.key_bytes;
		bytes += entry.bytes;
	}
	*images = at;
	*end = at + (size_t)bytes;
	return bytes <= header->raw_bytes - at;
}

static void record_lost(struct repairer *r, const struct shard_found_block *block, uint32_t place, const char *key)
{
	struct shard_lost lost = {.block = block->header.number,
		.first_record = (uint64_t)block->header.first_record + place,
		.record_count = 1,
		.key = key};
	r->repaired->records_lost++;
	r->report->lost(r->report->ctx, &lost);
}

/* One record to the writer, if there is one; NULL, or why it cannot be. */
static const char *record_salvage(struct repairer *r, const struct shard_record_disk *entry, const char *key,
	const unsigned char *image, const char *meta, size_t meta_bytes, struct error *err)
{
	uint32_t classes = r->class_count;
	const char *fault = shard_record_fault(key, strlen(key), entry->label,
		r->writer == NULL && r->classes == NULL ? SHARD_MAX_CLASSES : classes, entry->width, entry->height,
		entry->codec, entry->bytes);
	if (fault == NULL && strlen(key) != entry->key_bytes)
		fault = "its key contains a zero byte";
	if (fault == NULL && entry->hash != XXH3_64bits(image, entry->bytes))
		fault = "hash";
	if (fault != NULL)
		return fault;
	if (entry->label > r->max_label)
		r->max_label = entry->label;
	struct shard_record_in record = {.key = key,
		.label = entry->label,
		.width = entry->width,
		.height = entry->height,
		.codec = (enum shard_codec)entry->codec,
		.data = image,
		.bytes = entry->bytes,
		.meta = meta,
		.meta_bytes = meta_bytes};
	if (r->writer != NULL && shard_writer_add(r->writer, &record, err) == 0)
		r->repaired->records++;
	return NULL;
}

/* Goes through a block's records. The first pass (no writer) only learns the highest label and tells of damage. */
static int block_salvage(struct repairer *r, const struct shard_found_block *block, struct error *err)
{
	const struct shard_block_disk *header = &block->header;
	size_t table = 0, image = 0, fields = 0;
	int rc = block_read(r, block, err);
	if (rc != 0)
		return rc;
	if (!table_walk(r, header, &image, &fields)) {
		if (r->writer == NULL)
			note(r, "'%s': block %u is damaged: its record table", r->find.path, header->number);
		return ERROR_DAMAGED;
	}
	if (!r->front_sound && fields != header->raw_bytes && !r->fields.there) {
		r->has_fields = true;
		fields_make_up(r);
	}
	for (uint32_t i = 0; i < header->record_count; i++) {
		struct shard_record_disk entry;
		const char *meta = NULL, *fields_fault = NULL;
		char key[UINT16_MAX + 1];
		size_t meta_bytes = 0;
		struct error failed = {0};
		memcpy(&entry, r->raw + table, sizeof entry);
		memcpy(key, r->raw + table + sizeof entry, entry.key_bytes);
		key[entry.key_bytes] = '\0';
		if (r->fields.there && fields < header->raw_bytes)
			fields_fault =
				shard_record_fields(&r->fields, r->raw, header->raw_bytes, &fields, &meta, &meta_bytes);
		if (fields_fault != NULL) { /* the next record's are not to be found either */
			fields = header->raw_bytes;
			r->repaired->metadata_lost = true;
			if (r->writer == NULL)
				note(r, "'%s': block %u: metadata from record %u ('%.200s') on is lost: %s",
					r->find.path, header->number, header->first_record + i, key, fields_fault);
		}
		const char *fault = record_salvage(r, &entry, key, r->raw + image, meta, meta_bytes, &failed);
		if (failed.code != 0)
			return error_copy(err, &failed);
		if (fault != NULL && r->writer == NULL)
			note(r, "'%s': record %u ('%.200s') in block %u is damaged: %s", r->find.path,
				header->first_record + i, key, header->number, fault);
		else if (fault != NULL)
			record_lost(r, block, i, key);
		table += sizeof entry + entry.key_bytes;
		image += entry.bytes;
	}
	return 0;
}

/* ---- what is lost ---- */

/* Blocks from..to - 1 and their records, by the index or as a gap between numbers. */
static void blocks_lost(struct repairer *r, uint32_t from, uint32_t to, uint64_t first_record, uint64_t end_record)
{
	r->repaired->blocks_lost += to - from;
	r->repaired->records_lost += end_record - first_record;
	for (uint32_t b = from; r->index_sound && b < to; b++)
		for (uint32_t i = 0; i < r->index.blocks[b].record_count; i++) {
			uint32_t record = r->index.blocks[b].first_record + i;
			struct shard_lost lost = {b, record, 1, r->index.records[record].key};
			r->report->lost(r->report->ctx, &lost);
		}
	if (r->index_sound || to == from)
		return;
	struct shard_lost lost = {from, first_record, end_record - first_record, NULL};
	r->report->lost(r->report->ctx, &lost);
}

static int pass(struct repairer *r, struct error *err)
{
	uint32_t next = 0;
	uint64_t next_record = 0;
	for (uint32_t i = 0; i < r->find.count; i++) {
		const struct shard_found_block *block = &r->find.blocks[i];
		int rc = r->report->poll != NULL ? r->report->poll(r->report->ctx, err) : 0;
		if (rc != 0)
			return rc;
		rc = block_salvage(r, block, err);
		if (rc != 0 && rc != ERROR_DAMAGED)
			return rc;
		if (rc != 0 || r->writer == NULL)
			continue; /* a damaged one is part of the gap */
		uint64_t first = block->header.first_record;
		blocks_lost(r, next, block->header.number, next_record, first > next_record ? first : next_record);
		next = block->header.number + 1;
		next_record = first + block->header.record_count;
		r->repaired->blocks++;
	}
	if (r->writer == NULL)
		return 0;
	uint32_t end = r->footer.block_count;
	uint64_t end_record = r->footer.record_count;
	if (end == 0 && r->find.count > 0) { /* neither footer nor index: damaged blocks at the end are known of */
		const struct shard_block_disk *last = &r->find.blocks[r->find.count - 1].header;
		end = last->number + 1;
		end_record = (uint64_t)last->first_record + last->record_count;
	}
	if (end > next)
		blocks_lost(r, next, end, next_record, end_record > next_record ? end_record : next_record);
	return 0;
}

/* ---- all of it ---- */

/* Where it does not lie where header or footer says, or neither is left: blocks say its hash. */
static void dictionary_find(struct repairer *r)
{
	uint32_t i = 0;
	while (i < r->find.count && r->find.blocks[i].header.compression != SHARD_ZSTD_DICTIONARY)
		i++;
	if (i == r->find.count)
		return;
	size_t bytes = 0;
	r->footer.dictionary_hash = r->find.blocks[i].header.dictionary_hash;
	r->dictionary_content = shard_find_dictionary(&r->find, r->footer.dictionary_hash, &bytes);
	if (r->dictionary_content != NULL)
		r->footer.dictionary_bytes = (uint32_t)bytes;
	if (r->dictionary_content != NULL && ZSTD_getDictID_fromDict(r->dictionary_content, bytes) != 0)
		r->dictionary = ZSTD_createDDict(r->dictionary_content, bytes);
}

static int blocks_find(struct repairer *r, struct error *err)
{
	struct shard_find *f = &r->find;
	uint64_t from = r->front_sound ? shard_blocks_offset(&r->footer) : SHARD_HEADER_BYTES;
	int rc = shard_find_blocks(f, from, r->footer_sound ? r->footer.index_offset : f->file_bytes, err);
	if (rc == 0 && r->dictionary == NULL)
		dictionary_find(r);
	return rc;
}

/* After the first pass: whether records have fields is told by the blocks, where neither header nor footer does. */
static void index_find(struct repairer *r)
{
	const struct shard_find *f = &r->find;
	struct error ignored = {0};
	if (r->footer_sound) {
		r->index_sound = shard_load_index(f->fd, f->path, &r->footer, &r->index, &ignored) == 0;
		if (!r->index_sound)
			note(r, "index: %s", ignored.message);
		return;
	}
	struct shard_footer_disk found = r->footer;
	if (shard_find_index(f, r->front_sound, r->has_fields, &found))
		r->index_sound = shard_load_index(f->fd, f->path, &found, &r->index, &ignored) == 0;
	if (r->index_sound) {
		r->footer.block_count = found.block_count;
		r->footer.record_count = found.record_count;
	} else {
		r->repaired->end_unknown = true;
	}
}

/* The index knows its blocks; what else looks like one is none of them. */
static void strangers_drop(struct repairer *r)
{
	uint32_t kept = 0;
	for (uint32_t i = 0; i < r->find.count; i++) {
		const struct shard_found_block *block = &r->find.blocks[i];
		uint32_t number = block->header.number;
		if (number < r->index.block_count && r->index.blocks[number].offset == block->offset &&
			r->index.block_hashes[number] == block->header.hash &&
			r->index.blocks[number].first_record == block->header.first_record)
			r->find.blocks[kept++] = *block;
	}
	r->find.count = kept;
}

static char *number_or_name(const struct shard_class_names *names, uint32_t label)
{
	char number[16];
	snprintf(number, sizeof number, "%u", label);
	return strdup(names != NULL ? names->names[label] : number);
}

static int classes_make_up(struct repairer *r, struct error *err)
{
	uint32_t count = (uint32_t)(r->max_label + 1);
	if (r->front_sound && r->footer.class_count > count)
		count = r->footer.class_count;
	if (r->classes != NULL || count == 0)
		return 0;
	if (r->names != NULL && r->names->count < count)
		return error_set(err, ERROR_MISMATCH,
			"'%s': the class names are lost, and of its %u classes only %u are named", r->find.path, count,
			r->names->count);
	r->class_count = r->names != NULL ? r->names->count : count;
	r->made_up = calloc(r->class_count, sizeof *r->made_up);
	for (uint32_t i = 0; r->made_up != NULL && i < r->class_count; i++) {
		r->made_up[i] = number_or_name(r->names, i);
		if (r->made_up[i] == NULL)
			return error_set(err, ERROR_MEMORY, "out of memory for class names");
	}
	if (r->made_up == NULL)
		return error_set(err, ERROR_MEMORY, "out of memory for class names");
	if (r->names != NULL) {
		note(r, "'%s': the class names are lost: those given take their place", r->find.path);
		return 0;
	}
	r->repaired->classes_lost = true;
	note(r, "'%s': the class names are lost: they are \"0\" to \"%u\" now", r->find.path, r->class_count - 1);
	return 0;
}

static struct shard_writer *writer_open(struct repairer *r, struct error *err)
{
	bool compressed = false, dictionary = false;
	uint32_t most = 0;
	for (uint32_t i = 0; i < r->find.count; i++) {
		const struct shard_block_disk *header = &r->find.blocks[i].header;
		compressed |= header->compression != SHARD_STORED;
		dictionary |= header->compression == SHARD_ZSTD_DICTIONARY;
		if (header->record_count > 1 && header->raw_bytes > most)
			most = header->raw_bytes;
	}
	char origin[SHARD_ORIGIN_CAPACITY_OLD + 1] = "ringclr repair";
	if (r->header_sound) {
		memcpy(origin, (const char *)&r->header + offsetof(struct shard_header_disk, origin),
			r->header.origin_bytes);
		origin[r->header.origin_bytes] = '\0';
	}
	uint32_t aim = r->header_sound ? r->header.block_bytes : most;
	struct shard_writer_config config = {
		.path = r->out,
		.classes = (const char *const *)(r->made_up != NULL ? r->made_up : r->classes),
		.class_count = r->class_count,
		.block_bytes = aim > SHARD_MAX_RAW_BYTES ? 0 : aim,
		.zstd_level = compressed ? REPAIR_LEVEL : 0,
		.fill_pages = compressed,
		.dictionary = dictionary && r->dictionary != NULL ? r->dictionary_content : NULL,
		.dictionary_bytes = dictionary && r->dictionary != NULL ? r->footer.dictionary_bytes : 0,
		.origin = origin,
		.meta = r->fields.there && r->fields.meta_id != 0,
	};
	return shard_writer_create(&config, err);
}

static int salvage(struct repairer *r, struct error *err)
{
	int rc = ends_load(r, err);
	if (rc == 0)
		rc = front_load(r, err);
	if (rc == 0)
		rc = blocks_find(r, err);
	if (rc == 0)
		rc = pass(r, err);
	if (rc == 0)
		index_find(r);
	if (rc == 0 && r->index_sound)
		strangers_drop(r);
	if (rc == 0)
		rc = classes_make_up(r, err);
	if (rc != 0)
		return rc;
	r->repaired->index_rebuilt = !r->index_sound;
	r->writer = writer_open(r, err);
	if (r->writer == NULL)
		return err->code;
	rc = pass(r, err);
	if (rc == 0 && r->repaired->records == 0)
		rc = error_set(err, ERROR_DAMAGED, "'%s': nothing can be salvaged: no whole block was found%s",
			r->find.path, r->dictionary_missed ? " that needs no dictionary, and that is lost" : "");
	if (rc != 0)
		shard_writer_abandon(r->writer);
	else
		rc = shard_writer_finish(r->writer, err);
	return rc;
}

static void repairer_free(struct repairer *r)
{
	if (r->find.fd >= 0)
		close(r->find.fd);
	for (uint32_t i = 0; r->made_up != NULL && i < r->class_count; i++)
		free(r->made_up[i]);
	free(r->made_up);
	free(r->classes);
	ZSTD_freeDDict(r->dictionary);
	ZSTD_freeDCtx(r->dctx);
	free(r->dictionary_content);
	shard_index_free(&r->index);
	free(r->find.blocks);
	free(r->find.dictionary);
	free(r->disk);
	free(r->raw);
}

int shard_repair(const char *in, const char *out, const struct shard_class_names *names,
	const struct shard_repair_report *report, struct shard_repaired *repaired, struct error *err)
{
	struct stat status, there;
	struct error own = {0};
	struct repairer r = {.find = {.path = in},
		.out = out,
		.names = names,
		.report = report,
		.repaired = repaired,
		.max_label = -1};
	memset(repaired, 0, sizeof *repaired);
	r.find.fd = open(in, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (r.find.fd < 0 || fstat(r.find.fd, &status) != 0) {
		error_set_errno(&own, ERROR_IO, errno, "cannot open '%s'", in);
	} else if (!S_ISREG(status.st_mode)) {
		error_set(&own, ERROR_IO, "cannot open '%s': it is no regular file", in);
	} else if (stat(out, &there) == 0 && there.st_dev == status.st_dev && there.st_ino == status.st_ino) {
		error_set(&own, ERROR_USAGE, "'%s' and '%s' are the same file: a repair never changes the original", in,
			out);
	} else if ((r.dctx = ZSTD_createDCtx()) == NULL) {
		error_set(&own, ERROR_MEMORY, "out of memory for '%s'", in);
	} else {
		r.find.file_bytes = (uint64_t)status.st_size;
		salvage(&r, &own);
	}
	repairer_free(&r);
	return own.code == 0 ? 0 : error_copy(err, &own);
}
