/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An event file is a chain of TFRecords, each
 *
 *	length       8 bytes, little-endian
 *	crc          4 bytes: masked CRC-32C of the length
 *	event        `length` bytes
 *	crc          4 bytes: masked CRC-32C of the event
 *
 * An event is a message of Protocol Buffers: wall_time = 1 (double, seconds), step = 2 (int64), and either
 * file_version = 3 (text, of the first record) or summary = 5, whose value = 1 is repeated and has tag = 1 (text) and
 * simple_value = 2 (float).
 *
 * Going on after a crash: records are walked from the front as long as they are whole; what comes behind the last of a
 * step that counts is cut off. Our own events have the step among their first bytes; a record without one stays.
 */
#include "tools/event_file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "io/atomic_file.h"
#include "tools/protobuf_wire.h"

enum { EVENT_WALL_TIME = 1, EVENT_STEP = 2, EVENT_FILE_VERSION = 3, EVENT_SUMMARY = 5 };
enum { SUMMARY_VALUE = 1, VALUE_TAG = 1, VALUE_SIMPLE = 2 };
enum { HEADER_BYTES = 12, CRC_BYTES = 4, EVENT_LIMIT_BYTES = 1 << 30, TAG_BYTES = 31 };

struct event_file {
	int fd;
	bool failed;
	struct wire value, summary, event, record;
	char path[4096];
};

static uint32_t crc32c(const unsigned char *data, size_t bytes)
{
	uint32_t crc = UINT32_MAX;
	for (size_t i = 0; i < bytes; i++) {
		crc ^= data[i];
		for (unsigned bit = 0; bit < 8; bit++)
			crc = crc >> 1 ^ (0x82F63B78U & (0U - (crc & 1U)));
	}
	return ~crc;
}

uint32_t event_masked_crc(const void *data, size_t bytes)
{
	uint32_t crc = crc32c(data, bytes);
	return (crc >> 15 | crc << 17) + 0xA282EAD8U;
}

static void store(unsigned char *out, uint64_t value, unsigned bytes)
{
	for (unsigned i = 0; i < bytes; i++)
		out[i] = (unsigned char)(value >> 8 * i);
}

static uint64_t load(const unsigned char *in, unsigned bytes)
{
	uint64_t value = 0;
	for (unsigned i = 0; i < bytes; i++)
		value |= (uint64_t)in[i] << 8 * i;
	return value;
}

/* ---- Going on ---- */

/* The step of an event that starts as ours do: wall_time, then step. 0 where it has none. */
static uint64_t event_step(const unsigned char *event, size_t bytes)
{
	size_t at = 1 + sizeof(double);
	if (bytes <= at || event[0] != (EVENT_WALL_TIME << 3 | 1) || event[at] != EVENT_STEP << 3)
		return 0;
	uint64_t step = 0;
	for (unsigned shift = 0; ++at < bytes && shift < 64; shift += 7) {
		step |= (uint64_t)(event[at] & 0x7FU) << shift;
		if (event[at] < 0x80)
			break;
	}
	return step;
}

/* Bytes of the records from the front that are whole and of steps up to `step`. */
static size_t kept_bytes(const unsigned char *data, size_t bytes, uint64_t step)
{
	size_t at = 0;
	while (bytes - at >= HEADER_BYTES + CRC_BYTES) {
		uint64_t length = load(data + at, 8);
		if (load(data + at + 8, CRC_BYTES) != event_masked_crc(data + at, 8) ||
			length > bytes - at - HEADER_BYTES - CRC_BYTES)
			break;
		const unsigned char *event = data + at + HEADER_BYTES;
		if (load(event + length, CRC_BYTES) != event_masked_crc(event, length) ||
			event_step(event, length) > step)
			break;
		at += HEADER_BYTES + length + CRC_BYTES;
	}
	return at;
}

/* ---- Writing ---- */

static int write_all(struct event_file *file, const unsigned char *data, size_t bytes, struct error *err)
{
	while (bytes > 0) {
		ssize_t n = write(file->fd, data, bytes);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			file->failed = true;
			return error_set_errno(err, ERROR_IO, errno, "%s: cannot write", file->path);
		}
		data += n;
		bytes -= (size_t)n;
	}
	return 0;
}

/* Puts file->event into file->record. */
static void make_record(struct event_file *file)
{
	unsigned char header[HEADER_BYTES], footer[CRC_BYTES];
	store(header, file->event.bytes, 8);
	store(header + 8, event_masked_crc(header, 8), CRC_BYTES);
	store(footer, event_masked_crc(file->event.data, file->event.bytes), CRC_BYTES);
	struct wire *record = &file->record;
	size_t bytes = HEADER_BYTES + file->event.bytes + CRC_BYTES;
	if (record->capacity < bytes) {
		unsigned char *data = realloc(record->data, bytes);
		if (!data) {
			record->failed = true;
			return;
		}
		record->data = data;
		record->capacity = bytes;
	}
	memcpy(record->data, header, HEADER_BYTES);
	memcpy(record->data + HEADER_BYTES, file->event.data, file->event.bytes);
	memcpy(record->data + HEADER_BYTES + file->event.bytes, footer, CRC_BYTES);
	record->bytes = bytes;
}

static void start_event(struct event_file *file, uint64_t step)
{
	struct timespec now;
	clock_gettime(CLOCK_REALTIME, &now);
	file->event.bytes = 0;
	wire_double_field(&file->event, EVENT_WALL_TIME, (double)now.tv_sec + 1e-9 * (double)now.tv_nsec);
	wire_varint_field(&file->event, EVENT_STEP, step);
}

static void make_event(struct event_file *file, uint64_t step, const struct event_scalar *scalars, size_t count)
{
	file->summary.bytes = 0;
	for (size_t i = 0; i < count; i++) {
		if (isnan(scalars[i].value))
			continue;
		file->value.bytes = 0;
		wire_text_field(&file->value, VALUE_TAG, scalars[i].tag);
		wire_float_field(&file->value, VALUE_SIMPLE, (float)scalars[i].value);
		wire_message_field(&file->summary, SUMMARY_VALUE, &file->value);
	}
	start_event(file, step);
	wire_message_field(&file->event, EVENT_SUMMARY, &file->summary);
	make_record(file);
}

/* The largest event there will be, made once and not written: from then on nothing grows. */
static bool reserve(struct event_file *file, size_t scalars)
{
	struct event_scalar *all = calloc(scalars, sizeof *all);
	if (!all)
		return false;
	char tag[TAG_BYTES + 1];
	memset(tag, 'x', TAG_BYTES);
	tag[TAG_BYTES] = 0;
	for (size_t i = 0; i < scalars; i++)
		all[i].tag = tag;
	make_event(file, UINT64_MAX, all, scalars);
	free(all);
	return !file->value.failed && !file->summary.failed && !file->event.failed && !file->record.failed;
}

static int open_cut(struct event_file *file, uint64_t step, bool *empty, struct error *err)
{
	size_t kept = 0;
	if (step > 0 && access(file->path, F_OK) == 0) {
		size_t bytes = 0;
		char *data = atomic_file_read_all(file->path, EVENT_LIMIT_BYTES, &bytes, err);
		if (!data)
			return err->code;
		kept = kept_bytes((const unsigned char *)data, bytes, step);
		free(data);
	}
	file->fd = open(file->path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
	if (file->fd < 0)
		return error_set_errno(err, ERROR_IO, errno, "%s: cannot open", file->path);
	if (ftruncate(file->fd, (off_t)kept) < 0)
		return error_set_errno(err, ERROR_IO, errno, "%s: cannot cut to the checkpoint's position", file->path);
	*empty = kept == 0;
	return 0;
}

struct event_file *event_file_open(const char *path, uint64_t step, size_t scalars, struct error *err)
{
	struct event_file *file = calloc(1, sizeof *file);
	if (!file) {
		error_set(err, ERROR_MEMORY, "%s: out of memory", path);
		return NULL;
	}
	file->fd = -1;
	snprintf(file->path, sizeof file->path, "%s", path);
	bool empty = true;
	int code = reserve(file, scalars) ? 0 : error_set(err, ERROR_MEMORY, "%s: out of memory", path);
	if (code == 0)
		code = open_cut(file, step, &empty, err);
	if (code == 0 && empty) {
		start_event(file, 0);
		wire_text_field(&file->event, EVENT_FILE_VERSION, "brain.Event:2");
		make_record(file);
		code = write_all(file, file->record.data, file->record.bytes, err);
	}
	if (code == 0)
		return file;
	event_file_close(file);
	return NULL;
}

int event_file_add(
	struct event_file *file, uint64_t step, const struct event_scalar *scalars, size_t count, struct error *err)
{
	if (file->failed)
		return error_set(err, ERROR_IO, "%s: was given up after a failure", file->path);
	make_event(file, step, scalars, count);
	return write_all(file, file->record.data, file->record.bytes, err);
}

int event_file_sync(struct event_file *file, struct error *err)
{
	if (fdatasync(file->fd) < 0 && errno != EINVAL && errno != EROFS)
		return error_set_errno(err, ERROR_IO, errno, "%s: cannot sync", file->path);
	return 0;
}

void event_file_close(struct event_file *file)
{
	if (!file)
		return;
	if (file->fd >= 0)
		close(file->fd);
	wire_free(&file->value);
	wire_free(&file->summary);
	wire_free(&file->event);
	wire_free(&file->record);
	free(file);
}
