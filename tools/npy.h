/* SPDX-License-Identifier: Apache-2.0 */
/* NumPy's .npy format: a header of text, then the array's elements. Written in version 1.0, row-major; read in any. */
#ifndef RINGCLR_TOOLS_NPY_H
#define RINGCLR_TOOLS_NPY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "pipeline/error.h"

enum { NPY_HEADER_BYTES = 128 };

/* descr: "<f4", "<i4"...; shape: `dims` (1 or 2) numbers. */
void npy_header(char header[NPY_HEADER_BYTES], const char *descr, unsigned dims, const uint64_t *shape);

enum { NPY_MAX_DIMS = 8, NPY_PREFIX_BYTES = 12, NPY_MAX_HEADER_BYTES = 1 << 16 };

struct npy_array {
	char type; /* NumPy's letter: 'u' unsigned, 'i' signed, 'b' bool, 'f' float... */
	unsigned item_bytes;
	bool big_endian, fortran_order;
	unsigned dims;
	uint64_t shape[NPY_MAX_DIMS];
	uint64_t items, bytes; /* of the whole array; neither overflows */
	uint32_t header_bytes; /* the elements follow */
};

/* Bytes of a whole header, by its first NPY_PREFIX_BYTES; 0 when they start no .npy file, or its header is longer than
 * NPY_MAX_HEADER_BYTES. */
uint32_t npy_header_bytes(const unsigned char prefix[NPY_PREFIX_BYTES]);

/* header: npy_header_bytes() of them. Arrays of structures are refused. */
int npy_parse(struct npy_array *array, const unsigned char *header, size_t bytes, struct error *err);

#endif
