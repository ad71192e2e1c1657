/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A .npy file starts with "\x93NUMPY", a major and a minor version, and the length of what follows (16 bits in version
 * 1, 32 in 2 and 3, the low byte first): a Python dictionary of constants, padded by blanks,
 *
 *	{'descr': '<u1', 'fortran_order': False, 'shape': (60000, 28, 28), }
 *
 * with exactly these keys, in any order. descr is byte order (< > = |), type and bytes of an element.
 */
#include <stdlib.h>
#include <string.h>

#include "tools/npy.h"

struct text {
	const char *at, *end;
};

uint32_t npy_header_bytes(const unsigned char prefix[NPY_PREFIX_BYTES])
{
	if (memcmp(prefix, "\x93NUMPY", 6) != 0 || prefix[6] < 1 || prefix[6] > 3)
		return 0;
	uint32_t length = (uint32_t)prefix[8] | (uint32_t)prefix[9] << 8, prefix_bytes = 10;
	if (prefix[6] > 1) {
		length |= (uint32_t)prefix[10] << 16 | (uint32_t)prefix[11] << 24;
		prefix_bytes = 12;
	}
	return length >= NPY_MAX_HEADER_BYTES - NPY_PREFIX_BYTES ? 0 : prefix_bytes + length;
}

static void skip_blanks(struct text *text)
{
	while (text->at < text->end && strchr(" \t\r\n", *text->at) != NULL && *text->at != '\0')
		text->at++;
}

/* Steps over the word when it comes next. */
static bool take(struct text *text, const char *word)
{
	skip_blanks(text);
	size_t bytes = strlen(word);
	if ((size_t)(text->end - text->at) < bytes || memcmp(text->at, word, bytes) != 0)
		return false;
	text->at += bytes;
	return true;
}

/* A quoted word, copied and cut to the capacity. */
static bool take_string(struct text *text, char *word, size_t capacity)
{
	if (!take(text, "'") && !take(text, "\""))
		return false;
	char quote = text->at[-1];
	const char *end = memchr(text->at, quote, (size_t)(text->end - text->at));
	if (end == NULL || (size_t)(end - text->at) >= capacity)
		return false;
	memcpy(word, text->at, (size_t)(end - text->at));
	word[end - text->at] = '\0';
	text->at = end + 1;
	return true;
}

static bool take_number(struct text *text, uint64_t *number)
{
	skip_blanks(text);
	const char *start = text->at;
	*number = 0;
	while (text->at < text->end && *text->at >= '0' && *text->at <= '9') {
		if (__builtin_mul_overflow(*number, 10, number) ||
			__builtin_add_overflow(*number, (uint64_t)(*text->at - '0'), number))
			return false;
		text->at++;
	}
	return text->at > start;
}

/* "<u1", "|b1", "=i8" */
static bool parse_descr(const char *descr, struct npy_array *array)
{
	array->big_endian = descr[0] == '>';
	if (descr[0] == '\0' || strchr("<>=|", descr[0]) == NULL || descr[1] == '\0' || descr[2] == '\0')
		return false;
	array->type = descr[1];
	char *end;
	unsigned long bytes = strtoul(descr + 2, &end, 10);
	array->item_bytes = bytes <= 1 << 20 ? (unsigned)bytes * (array->type == 'U' ? 4 : 1) : 0;
	return descr[2] >= '0' && descr[2] <= '9' && *end == '\0' && array->item_bytes > 0;
}

static bool take_shape(struct text *text, struct npy_array *array)
{
	if (!take(text, "("))
		return false;
	array->dims = 0;
	while (!take(text, ")")) {
		if (array->dims == NPY_MAX_DIMS || !take_number(text, &array->shape[array->dims]))
			return false;
		array->dims++;
		if (!take(text, ",") && !take(text, ")"))
			return false;
		if (text->at[-1] == ')')
			break;
	}
	return true;
}

static int count_items(struct npy_array *array, struct error *err)
{
	array->items = 1;
	for (unsigned i = 0; i < array->dims; i++) {
		if (__builtin_mul_overflow(array->items, array->shape[i], &array->items))
			return error_set(err, ERROR_FORMAT, "an array of more elements than there can be");
	}
	if (__builtin_mul_overflow(array->items, array->item_bytes, &array->bytes))
		return error_set(err, ERROR_FORMAT, "an array of more bytes than there can be");
	return 0;
}

int npy_parse(struct npy_array *array, const unsigned char *header, size_t bytes, struct error *err)
{
	enum { DESCR = 1, ORDER = 2, SHAPE = 4, ALL = 7 };
	*array = (struct npy_array){0};
	array->header_bytes = bytes >= NPY_PREFIX_BYTES ? npy_header_bytes(header) : 0;
	if (array->header_bytes == 0 || array->header_bytes != bytes)
		return error_set(err, ERROR_FORMAT, "not an array of NumPy (.npy)");
	struct text text = {
		.at = (const char *)header + (header[6] > 1 ? 12 : 10), .end = (const char *)header + bytes};
	unsigned seen = 0;
	bool sound = take(&text, "{");
	while (sound && !take(&text, "}")) {
		char key[16], descr[32];
		sound = take_string(&text, key, sizeof(key)) && take(&text, ":");
		if (sound && strcmp(key, "descr") == 0) {
			if (!take_string(&text, descr, sizeof(descr)) || !parse_descr(descr, array))
				return error_set(
					err, ERROR_FORMAT, "an array of structures or of an unknown type (.npy)");
			seen |= DESCR;
		} else if (sound && strcmp(key, "fortran_order") == 0) {
			array->fortran_order = take(&text, "True");
			sound = array->fortran_order || take(&text, "False");
			seen |= ORDER;
		} else if (sound) {
			sound = strcmp(key, "shape") == 0 && take_shape(&text, array);
			seen |= SHAPE;
		}
		sound = sound && (take(&text, ",") || (text.at < text.end && *text.at == '}'));
	}
	if (!sound || seen != ALL)
		return error_set(err, ERROR_FORMAT, "the header of an array of NumPy (.npy) cannot be read");
	return count_items(array, err);
}
