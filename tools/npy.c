/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/npy.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

void npy_header(char header[NPY_HEADER_BYTES], const char *descr, unsigned dims, const uint64_t *shape)
{
	char shape_text[48], second[24] = "";
	if (dims > 1)
		snprintf(second, sizeof second, " %" PRIu64, shape[1]);
	snprintf(shape_text, sizeof shape_text, "%" PRIu64 ",%s", shape[0], second);
	static const char magic[8] = {'\x93', 'N', 'U', 'M', 'P', 'Y', 1, 0};
	memset(header, ' ', NPY_HEADER_BYTES);
	memcpy(header, magic, sizeof magic);
	uint16_t length = NPY_HEADER_BYTES - 10;
	header[8] = (char)(length & 0xff);
	header[9] = (char)(length >> 8);
	int n = snprintf(header + 10, NPY_HEADER_BYTES - 10, "{'descr': '%s', 'fortran_order': False, 'shape': (%s), }",
		descr, shape_text);
	header[10 + n] = ' '; /* in place of the terminator */
	header[NPY_HEADER_BYTES - 1] = '\n';
}
