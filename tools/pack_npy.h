/* SPDX-License-Identifier: Apache-2.0 */
/* Arrays of NumPy as images. */
#ifndef RINGCLR_TOOLS_PACK_NPY_H
#define RINGCLR_TOOLS_PACK_NPY_H

#include "tools/npy.h"
#include "tools/pack.h"

/* count images of [height][width][channels], or [channels][height][width] where planes is set; channels are 1 or 3. */
struct pack_npy_images {
	uint64_t count;
	uint32_t width, height;
	unsigned channels;
	bool planes;
	size_t bytes; /* of one image; PACK_MAX_FILE_BYTES at most */
};

/* What images an array is; refuses it, saying why, when it is none. name: what messages call it. */
int pack_npy_images(const struct npy_array *array, struct pack_npy_images *images, const char *name, struct error *err);

/* An image's bytes become RGB pixels. out->data is malloc'd. */
int pack_npy_pixels(
	const struct pack_npy_images *images, const unsigned char *image, struct pack_contents *out, struct error *err);

/* An image's key: "train.npy", 7 -> "train/00000007". */
void pack_npy_key(char *key, size_t capacity, const char *path, uint64_t number);

/* "uint8 60000 x 28 x 28" */
void pack_npy_describe(char *text, size_t capacity, const struct npy_array *array);

#endif
