/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libFuzzer target: the parsers of what `ringclr pack` reads. The first byte says which one gets the rest: PGM and PPM,
 * PIL pixels, a list, a brace range, a .npy header, an MDS index with a sample of its first shard. What comes out must
 * be within what the parser promises.
 *
 *	make fuzz && mkdir -p corpus
 *	build/debug-fuzzer-no-link-address-undefined-clang-14/fuzz/fuzz_pack_sources -max_total_time=600 corpus
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/pack_braces.h"
#include "tools/pack_list.h"
#include "tools/pack_mds.h"
#include "tools/pack_npy.h"
#include "tools/pack_pnm.h"

enum { MAX_PIXELS = 1 << 20 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static void must(bool holds)
{
	if (!holds)
		abort();
}

static void fuzz_image(const uint8_t *data, size_t bytes, bool pil)
{
	unsigned char *rgb;
	uint32_t width, height;
	int rc = pil ? mds_decode_pil(data, bytes, MAX_PIXELS, &rgb, &width, &height, NULL)
		     : pack_pnm_decode(data, bytes, MAX_PIXELS, &rgb, &width, &height, NULL);
	must((rc == 0) == (rgb != NULL));
	if (rc == 0) {
		must(width > 0 && height > 0 && (uint64_t)width * height <= MAX_PIXELS);
		must((uint64_t)width * height <= bytes);
	}
	free(rgb);
}

static void fuzz_list(const uint8_t *data, size_t bytes)
{
	FILE *in = bytes > 0 ? fmemopen((void *)data, bytes, "rb") : NULL;
	if (in == NULL)
		return;
	struct pack_list *list = pack_list_create(in, "list", NULL);
	must(list != NULL);
	struct pack_list_line line;
	uint64_t last = 0;
	while (pack_list_next(list, &line, NULL) == 1) {
		must(line.number > last && *line.path != '\0');
		must(line.label == NULL || *line.label != '\0');
		if (line.meta != NULL) {
			cJSON *meta = cJSON_Parse(line.meta);
			must(cJSON_IsObject(meta) && meta->child != NULL);
			cJSON_Delete(meta);
		}
		last = line.number;
	}
	pack_list_destroy(list);
	fclose(in);
}

static void fuzz_braces(const uint8_t *data, size_t bytes)
{
	char *pattern = strndup((const char *)data, bytes < 200 ? bytes : 200);
	struct pack_inputs inputs = {0};
	must(pattern != NULL);
	int rc = pack_braces_expand(&inputs, pattern, NULL);
	must(inputs.count <= PACK_BRACES_MAX_NAMES && (rc < 0 || inputs.count > 0));
	pack_inputs_free(&inputs);
	free(pattern);
}

static void fuzz_npy(const uint8_t *data, size_t bytes)
{
	struct npy_array array;
	struct pack_npy_images images;
	if (bytes < NPY_PREFIX_BYTES || npy_header_bytes(data) == 0 || npy_header_bytes(data) > bytes)
		return;
	if (npy_parse(&array, data, npy_header_bytes(data), NULL) != 0 ||
		pack_npy_images(&array, &images, "array", NULL) != 0)
		return;
	must(images.bytes > 0 && images.bytes <= PACK_MAX_FILE_BYTES);
	must(images.count * images.bytes == array.bytes);
}

/* Index, NUL, the sample. */
static void fuzz_mds(const uint8_t *data, size_t bytes)
{
	struct mds_index index;
	struct mds_extent extents[MDS_MAX_COLUMNS];
	size_t index_bytes = strnlen((const char *)data, bytes);
	if (mds_index_parse(&index, (const char *)data, index_bytes, "index.json", NULL) != 0)
		return;
	const uint8_t *sample = data + index_bytes;
	size_t sample_bytes = bytes - index_bytes;
	const struct mds_shard *shard = index.count > 0 ? &index.shards[0] : NULL;
	if (shard != NULL && sample_bytes >= 4 * (size_t)shard->variable_columns &&
		mds_sample_extents(shard, sample, (uint32_t)sample_bytes, extents, NULL) == 0) {
		cJSON *object = cJSON_CreateObject();
		for (uint32_t i = 0; i < shard->column_count; i++) {
			must((uint64_t)extents[i].offset + extents[i].bytes <= sample_bytes);
			mds_add_value(object, &shard->columns[i], sample + extents[i].offset, extents[i].bytes, NULL);
		}
		char *text = cJSON_PrintUnformatted(object);
		cJSON *again = cJSON_Parse(text);
		must(cJSON_IsObject(again));
		cJSON_Delete(again);
		cJSON_free(text);
		cJSON_Delete(object);
	}
	mds_index_free(&index);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	if (bytes == 0)
		return 0;
	switch (data[0] % 6) {
	case 0:
		fuzz_image(data + 1, bytes - 1, false);
		break;
	case 1:
		fuzz_image(data + 1, bytes - 1, true);
		break;
	case 2:
		fuzz_list(data + 1, bytes - 1);
		break;
	case 3:
		fuzz_braces(data + 1, bytes - 1);
		break;
	case 4:
		fuzz_npy(data + 1, bytes - 1);
		break;
	default:
		fuzz_mds(data + 1, bytes - 1);
	}
	return 0;
}
