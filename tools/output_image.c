/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/output_image.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "stages/codec.h"

static int make_ppm(const struct shard_record_in *record, struct output_image *image, struct error *err)
{
	char header[40];
	int header_bytes = snprintf(header, sizeof(header), "P6\n%u %u\n255\n", record->width, record->height);
	char *file = malloc((size_t)header_bytes + record->bytes);
	if (file == NULL)
		return error_set(err, ERROR_MEMORY, "out of memory for the image '%.200s'", record->key);
	memcpy(file, header, (size_t)header_bytes);
	memcpy(file + header_bytes, record->data, record->bytes);
	*image = (struct output_image){.data = file, .owned = file, .bytes = (size_t)header_bytes + record->bytes};
	return 0;
}

int output_image_make(
	const struct shard_record_in *record, enum output_raw raw, struct output_image *image, struct error *err)
{
	*image = (struct output_image){.data = record->data, .bytes = record->bytes};
	if (record->codec != SHARD_RAW)
		return 0;
	if (record->bytes != (uint64_t)record->width * record->height * 3)
		return error_set(err, ERROR_FORMAT, "'%.200s': %zu bytes are not %u x %u raw pixels", record->key,
			record->bytes, record->width, record->height);
	if (raw == OUTPUT_PPM)
		return make_ppm(record, image, err);
	int rc = codec_encode_png(record->data, record->width, record->height, &image->owned, &image->bytes, err);
	image->data = image->owned;
	return rc;
}

void output_image_free(struct output_image *image)
{
	free(image->owned);
	image->owned = NULL;
}
