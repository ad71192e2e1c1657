/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RINGCLR_TESTS_HELPER_JPEG_H
#define RINGCLR_TESTS_HELPER_JPEG_H

#include <stddef.h>
#include <stdint.h>

/* A JPEG of rgb [height][width][3], at full chroma, without its last bytes: crops of its upper part decode, those that
 * reach the bottom do not. The caller frees it. */
void *helper_cut_jpeg(const unsigned char *rgb, uint32_t width, uint32_t height, size_t *bytes);

#endif
