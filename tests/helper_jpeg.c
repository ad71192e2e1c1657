/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/helper_jpeg.h"

#include <stdarg.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jpeglib.h>

enum { LOST_BYTES = 60 };

void *helper_cut_jpeg(const unsigned char *rgb, uint32_t width, uint32_t height, size_t *bytes)
{
	struct jpeg_compress_struct encoder;
	struct jpeg_error_mgr errors;
	unsigned char *data = NULL;
	unsigned long length = 0;
	unsigned char *row = malloc(3UL * width);
	assert_non_null(row);
	encoder.err = jpeg_std_error(&errors);
	jpeg_create_compress(&encoder);
	jpeg_mem_dest(&encoder, &data, &length);
	encoder.image_width = width;
	encoder.image_height = height;
	encoder.input_components = 3;
	encoder.in_color_space = JCS_RGB;
	jpeg_set_defaults(&encoder);
	encoder.comp_info[0].h_samp_factor = encoder.comp_info[0].v_samp_factor = 1;
	jpeg_start_compress(&encoder, TRUE);
	for (uint32_t y = 0; y < height; y++) {
		JSAMPROW rows[1] = {row};
		memcpy(row, rgb + 3UL * y * width, 3UL * width);
		jpeg_write_scanlines(&encoder, rows, 1);
	}
	jpeg_finish_compress(&encoder);
	jpeg_destroy_compress(&encoder);
	free(row);
	*bytes = length - LOST_BYTES;
	return data;
}
