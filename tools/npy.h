/* SPDX-License-Identifier: Apache-2.0 */
/* NumPy's .npy format, version 1.0: the header; the data follow it, row-major. */
#ifndef RINGCLR_TOOLS_NPY_H
#define RINGCLR_TOOLS_NPY_H

#include <stdint.h>

enum { NPY_HEADER_BYTES = 128 };

/* descr: "<f4", "<i4"...; shape: `dims` (1 or 2) numbers. */
void npy_header(char header[NPY_HEADER_BYTES], const char *descr, unsigned dims, const uint64_t *shape);

#endif
