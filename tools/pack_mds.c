/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An MDS data set is a folder with index.json, {"version": 2, "shards": [...]}, and shard files. The index says of
 * every shard which columns its samples have, each with a name, an encoding ("jpeg", "int", "str"...) and its size in
 * bytes, or null where values differ in size. All numbers in a shard are little-endian:
 *
 *	u32		samples
 *	u32 x (n + 1)	where each sample begins in the file, and where the last one ends
 *	text		the columns once more, as JSON; not read here
 *	samples		u32 for each column without a size: bytes of its value; then all values in order of the columns
 *
 * A shard may be compressed as a whole (raw_data names the file as above, zip_data the compressed one; either may be
 * missing from the folder). Offsets have 32 bits, so a shard has less than 4 GiB.
 *
 * Nothing of the index is believed: names must stay below the folder, sizes must fit their encodings, counts have
 * limits.
 */
#include "tools/pack_mds.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "io/shard.h"
#include "tools/pack.h"

static const struct encoding {
	const char *name;
	enum mds_kind kind;
	uint32_t bytes;
} encodings[] = {
	{"bytes", MDS_BYTES, 0},
	{"str", MDS_STR, 0},
	{"int", MDS_SIGNED, 8},
	{"uint8", MDS_UNSIGNED, 1},
	{"uint16", MDS_UNSIGNED, 2},
	{"uint32", MDS_UNSIGNED, 4},
	{"uint64", MDS_UNSIGNED, 8},
	{"int8", MDS_SIGNED, 1},
	{"int16", MDS_SIGNED, 2},
	{"int32", MDS_SIGNED, 4},
	{"int64", MDS_SIGNED, 8},
	{"float16", MDS_FLOAT, 2},
	{"float32", MDS_FLOAT, 4},
	{"float64", MDS_FLOAT, 8},
	{"str_int", MDS_STR_NUMBER, 0},
	{"str_float", MDS_STR_NUMBER, 0},
	{"str_decimal", MDS_STR_NUMBER, 0},
	{"pil", MDS_PIL, 0},
	{"jpeg", MDS_IMAGE, 0},
	{"png", MDS_IMAGE, 0},
	{"json", MDS_JSON, 0},
};

/* ---- the index ---- */

/* A whole number from 0 to most. */
static bool get_number(const cJSON *item, uint64_t most, uint64_t *number)
{
	if (!cJSON_IsNumber(item) || !(item->valuedouble >= 0) || item->valuedouble > (double)most ||
		item->valuedouble != floor(item->valuedouble))
		return false;
	*number = (uint64_t)item->valuedouble;
	return true;
}

/* Relative, and without a ".." that could lead out of the folder. */
static bool stays_below(const char *name)
{
	if (*name == '\0' || *name == '/')
		return false;
	for (const char *part = name;; part++) {
		size_t bytes = strcspn(part, "/");
		if (bytes == 2 && memcmp(part, "..", 2) == 0)
			return false;
		part += bytes;
		if (*part == '\0')
			return true;
	}
}

/* The file that raw_data or zip_data names; *name is NULL when there is none. */
static int parse_file(const cJSON *file, char **name, uint64_t *bytes, const char *where, struct error *err)
{
	*name = NULL;
	if (file == NULL || cJSON_IsNull(file))
		return 0;
	const char *basename = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(file, "basename"));
	if (basename == NULL || !get_number(cJSON_GetObjectItemCaseSensitive(file, "bytes"), UINT32_MAX, bytes))
		return error_set(err, ERROR_FORMAT, "%s: a file without basename, or with bytes that are none", where);
	if (!stays_below(basename))
		return error_set(err, ERROR_FORMAT, "%s: '%.200s' lies outside its folder", where, basename);
	*name = strdup(basename);
	return *name != NULL ? 0 : pack_out_of_memory(err);
}

static int parse_column(struct mds_column *column, const cJSON *name, const cJSON *encoding, const cJSON *size,
	const char *where, struct error *err)
{
	uint64_t bytes = 0;
	if (!cJSON_IsString(name) || !cJSON_IsString(encoding) ||
		(!cJSON_IsNull(size) && !get_number(size, UINT32_MAX, &bytes)))
		return error_set(err, ERROR_FORMAT, "%s: a column without a name, encoding or size", where);
	*column = (struct mds_column){.name = strdup(name->valuestring), .bytes = (uint32_t)bytes};
	if (column->name == NULL)
		return pack_out_of_memory(err);
	for (size_t i = 0; i < sizeof(encodings) / sizeof(encodings[0]); i++) {
		if (strcmp(encodings[i].name, encoding->valuestring) != 0)
			continue;
		if (encodings[i].bytes != 0 && bytes != encodings[i].bytes)
			return error_set(err, ERROR_FORMAT, "%s: column %.100s is %s, but has %" PRIu64 " bytes", where,
				column->name, encodings[i].name, bytes);
		column->kind = encodings[i].kind;
	}
	return 0;
}

static int parse_columns(struct mds_shard *shard, const cJSON *object, const char *where, struct error *err)
{
	const cJSON *names = cJSON_GetObjectItemCaseSensitive(object, "column_names");
	const cJSON *kinds = cJSON_GetObjectItemCaseSensitive(object, "column_encodings");
	const cJSON *sizes = cJSON_GetObjectItemCaseSensitive(object, "column_sizes");
	int count = cJSON_IsArray(names) ? cJSON_GetArraySize(names) : 0;
	if (count == 0 || count > MDS_MAX_COLUMNS || !cJSON_IsArray(kinds) || cJSON_GetArraySize(kinds) != count ||
		!cJSON_IsArray(sizes) || cJSON_GetArraySize(sizes) != count)
		return error_set(err, ERROR_FORMAT,
			"%s: column_names, column_encodings and column_sizes must have as many elements, 1 to %d",
			where, MDS_MAX_COLUMNS);
	shard->columns = calloc((size_t)count, sizeof(*shard->columns));
	if (shard->columns == NULL)
		return pack_out_of_memory(err);
	const cJSON *name = names->child, *kind = kinds->child, *size = sizes->child;
	for (; name != NULL; name = name->next, kind = kind->next, size = size->next) {
		struct mds_column *column = &shard->columns[shard->column_count++];
		int rc = parse_column(column, name, kind, size, where, err);
		if (rc < 0)
			return rc;
		shard->variable_columns += column->bytes == 0;
	}
	return 0;
}

static int parse_shard(struct mds_shard *shard, const cJSON *object, const char *where, struct error *err)
{
	uint64_t version, samples, ignored;
	const char *format = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(object, "format"));
	const char *compression = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(object, "compression"));
	if (format == NULL || strcmp(format, "mds") != 0)
		return error_set(err, ERROR_FORMAT, "%s: its format must be \"mds\", and is '%.100s'", where,
			format != NULL ? format : "");
	if (!get_number(cJSON_GetObjectItemCaseSensitive(object, "version"), 1000, &version) || version != 2)
		return error_set(err, ERROR_VERSION, "%s: version 2 of MDS is read, no other", where);
	if (!get_number(cJSON_GetObjectItemCaseSensitive(object, "samples"), MDS_MAX_SAMPLES, &samples))
		return error_set(err, ERROR_FORMAT, "%s: samples must be 0 to %d", where, MDS_MAX_SAMPLES);
	shard->samples = (uint32_t)samples;
	if (compression != NULL && (shard->compression = strdup(compression)) == NULL)
		return pack_out_of_memory(err);
	int rc = parse_file(
		cJSON_GetObjectItemCaseSensitive(object, "raw_data"), &shard->raw_name, &shard->raw_bytes, where, err);
	if (rc == 0 && (shard->raw_name == NULL || shard->raw_bytes < 8 + 4 * samples))
		rc = error_set(err, ERROR_FORMAT, "%s: raw_data is missing, or too small for %u samples", where,
			shard->samples);
	if (rc == 0)
		rc = parse_file(cJSON_GetObjectItemCaseSensitive(object, "zip_data"), &shard->packed_name, &ignored,
			where, err);
	return rc == 0 ? parse_columns(shard, object, where, err) : rc;
}

static int parse_shards(struct mds_index *index, const cJSON *shards, const char *name, struct error *err)
{
	const cJSON *object;
	cJSON_ArrayForEach(object, shards)
	{
		char where[512];
		snprintf(where, sizeof(where), "%.400s, shard %zu", name, index->count);
		if (index->count == MDS_MAX_SHARDS)
			return error_set(err, ERROR_FORMAT, "%s: more than %d shards", name, MDS_MAX_SHARDS);
		if (!pack_grow(&index->shards, index->count, &index->capacity, sizeof(*index->shards)))
			return pack_out_of_memory(err);
		struct mds_shard *shard = &index->shards[index->count++];
		*shard = (struct mds_shard){0};
		int rc = parse_shard(shard, object, where, err);
		if (rc < 0)
			return rc;
	}
	return 0;
}

int mds_index_parse(struct mds_index *index, const char *text, size_t bytes, const char *name, struct error *err)
{
	*index = (struct mds_index){0};
	if (bytes > MDS_MAX_INDEX_BYTES)
		return error_set(err, ERROR_FORMAT, "%s: larger than %d MiB", name, MDS_MAX_INDEX_BYTES >> 20);
	cJSON *json = cJSON_ParseWithLength(text, bytes);
	const cJSON *shards = cJSON_GetObjectItemCaseSensitive(json, "shards");
	int rc = cJSON_IsArray(shards) ? parse_shards(index, shards, name, err)
				       : error_set(err, ERROR_FORMAT, "%s: not an index of an MDS data set", name);
	cJSON_Delete(json);
	if (rc < 0)
		mds_index_free(index);
	return rc;
}

void mds_index_free(struct mds_index *index)
{
	for (size_t i = 0; i < index->count; i++) {
		struct mds_shard *shard = &index->shards[i];
		for (uint32_t k = 0; k < shard->column_count; k++)
			free(shard->columns[k].name);
		free(shard->columns);
		free(shard->raw_name);
		free(shard->packed_name);
		free(shard->compression);
	}
	free(index->shards);
	*index = (struct mds_index){0};
}

/* ---- samples ---- */

int mds_sample_extents(const struct mds_shard *shard, const unsigned char *sizes, uint32_t sample_bytes,
	struct mds_extent *extents, struct error *err)
{
	uint64_t at = 4 * (uint64_t)shard->variable_columns;
	for (uint32_t i = 0; i < shard->column_count; i++) {
		uint32_t bytes = shard->columns[i].bytes;
		if (bytes == 0) {
			bytes = mds_u32(sizes);
			sizes += 4;
		}
		if (at + bytes > sample_bytes)
			return error_set(err, ERROR_DAMAGED, "column %.100s ends behind its sample of %u bytes",
				shard->columns[i].name, sample_bytes);
		extents[i] = (struct mds_extent){.offset = (uint32_t)at, .bytes = bytes};
		at += bytes;
	}
	return at == sample_bytes ? 0
				  : error_set(err, ERROR_DAMAGED,
					    "its columns have %" PRIu64 " bytes, the sample has %u", at, sample_bytes);
}

static double half_to_double(uint32_t half)
{
	int exponent = (int)(half >> 10 & 31);
	double fraction = half & 1023;
	double value = exponent == 31  ? (fraction != 0 ? (double)NAN : (double)INFINITY)
		       : exponent == 0 ? ldexp(fraction, -24)
				       : ldexp(fraction + 1024, exponent - 25);
	return half & 0x8000 ? -value : value;
}

/* The shortest text that gives the same number again. single: as a float. */
static bool float_text(double value, bool single, char text[MDS_MAX_NUMBER])
{
	if (!isfinite(value))
		return false;
	for (int digits = 1; digits <= 17; digits++) {
		snprintf(text, MDS_MAX_NUMBER, "%.*g", digits, value);
		if (single ? strtof(text, NULL) == (float)value : strtod(text, NULL) == value)
			break;
	}
	return true;
}

bool mds_number_text(enum mds_kind kind, const unsigned char *data, size_t bytes, char text[MDS_MAX_NUMBER])
{
	if (bytes != 1 && bytes != 2 && bytes != 4 && bytes != 8)
		return false;
	uint64_t bits = 0;
	for (size_t i = 0; i < bytes; i++)
		bits |= (uint64_t)data[i] << 8 * i;
	if (kind == MDS_UNSIGNED) {
		snprintf(text, MDS_MAX_NUMBER, "%" PRIu64, bits);
		return true;
	}
	if (kind == MDS_SIGNED) {
		unsigned shift = (unsigned)(64 - 8 * bytes);
		snprintf(text, MDS_MAX_NUMBER, "%" PRId64, (int64_t)(bits << shift) >> shift);
		return true;
	}
	if (kind != MDS_FLOAT || bytes == 1)
		return false;
	double value = 0;
	float single = 0;
	uint32_t low = (uint32_t)bits;
	if (bytes == 2)
		value = half_to_double(low);
	else if (bytes == 4)
		memcpy(&single, &low, sizeof(single));
	else
		memcpy(&value, &bits, sizeof(value));
	return float_text(bytes == 4 ? (double)single : value, bytes == 4, text);
}

/* Whether text is a number as JSON writes them. */
static bool is_json_number(const char *text)
{
	text += *text == '-';
	size_t digits = strspn(text, "0123456789");
	if (digits == 0 || (digits > 1 && *text == '0'))
		return false;
	text += digits;
	if (*text == '.') {
		digits = strspn(++text, "0123456789");
		text += digits;
		if (digits == 0)
			return false;
	}
	if (*text == 'e' || *text == 'E') {
		text++;
		text += *text == '+' || *text == '-';
		digits = strspn(text, "0123456789");
		text += digits;
		if (digits == 0)
			return false;
	}
	return *text == '\0';
}

static int add_text(
	cJSON *object, const struct mds_column *column, const unsigned char *data, size_t bytes, struct error *err)
{
	if (memchr(data, '\0', bytes) != NULL)
		return error_set(err, ERROR_FORMAT, "column %.100s: a NUL byte in its text", column->name);
	char *text = strndup((const char *)data, bytes);
	if (text == NULL)
		return pack_out_of_memory(err);
	bool raw = column->kind == MDS_STR_NUMBER && is_json_number(text);
	if (column->kind == MDS_JSON) {
		cJSON *json = cJSON_ParseWithOpts(text, NULL, true);
		raw = json != NULL;
		cJSON_Delete(json);
	}
	int rc = 0;
	if (column->kind == MDS_JSON && !raw)
		rc = error_set(err, ERROR_FORMAT, "column %.100s: not JSON", column->name);
	else if ((raw ? cJSON_AddRawToObject(object, column->name, text)
		      : cJSON_AddStringToObject(object, column->name, text)) == NULL)
		rc = pack_out_of_memory(err);
	free(text);
	return rc;
}

int mds_add_value(
	cJSON *object, const struct mds_column *column, const unsigned char *data, size_t bytes, struct error *err)
{
	char number[MDS_MAX_NUMBER];
	switch (column->kind) {
	case MDS_STR:
	case MDS_STR_NUMBER:
	case MDS_JSON:
		return add_text(object, column, data, bytes, err);
	case MDS_SIGNED:
	case MDS_UNSIGNED:
	case MDS_FLOAT:
		if (!mds_number_text(column->kind, data, bytes, number))
			return 0;
		return cJSON_AddRawToObject(object, column->name, number) != NULL ? 0 : pack_out_of_memory(err);
	default:
		return 0;
	}
}

/*
 * A PIL value: u32 width, height, bytes of the mode's name; the name; pixels row by row, channels side by side. Alpha
 * is dropped, as it is of PNG and WebP.
 */
int mds_decode_pil(const unsigned char *data, size_t bytes, uint64_t max_pixels, unsigned char **rgb, uint32_t *width,
	uint32_t *height, struct error *err)
{
	static const struct {
		const char *name;
		unsigned channels;
	} modes[] = {{"L", 1}, {"LA", 2}, {"RGB", 3}, {"RGBA", 4}, {"RGBX", 4}};
	*rgb = NULL;
	uint32_t name_bytes = bytes >= 12 ? mds_u32(data + 8) : UINT32_MAX;
	if (name_bytes > 16 || bytes < 12 + name_bytes)
		return error_set(err, ERROR_DECODE, "PIL image: its header is cut short");
	*width = mds_u32(data);
	*height = mds_u32(data + 4);
	unsigned channels = 0;
	for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
		if (strlen(modes[i].name) == name_bytes && memcmp(modes[i].name, data + 12, name_bytes) == 0)
			channels = modes[i].channels;
	}
	if (channels == 0)
		return error_set(err, ERROR_DECODE, "PIL image of mode '%.*s': L, LA, RGB and RGBA are read",
			(int)name_bytes, (const char *)data + 12);
	uint64_t pixels = (uint64_t)*width * *height;
	if (*width == 0 || *height == 0 || *width > SHARD_MAX_SIDE || *height > SHARD_MAX_SIDE || pixels > max_pixels)
		return error_set(err, ERROR_DECODE,
			"PIL image of %ux%u pixels: sides must be 1 to %d, pixels %" PRIu64 " at most", *width, *height,
			SHARD_MAX_SIDE, max_pixels);
	if (bytes - 12 - name_bytes != pixels * channels)
		return error_set(err, ERROR_DECODE, "PIL image of %ux%u pixels has %zu bytes of them", *width, *height,
			bytes - 12 - name_bytes);
	*rgb = malloc(pixels * 3);
	if (*rgb == NULL)
		return error_set(err, ERROR_MEMORY, "out of memory for an image of %ux%u pixels", *width, *height);
	const unsigned char *from = data + 12 + name_bytes;
	for (uint64_t i = 0; i < pixels; i++, from += channels) {
		for (unsigned c = 0; c < 3; c++)
			(*rgb)[3 * i + c] = from[channels >= 3 ? c : 0];
	}
	return 0;
}
