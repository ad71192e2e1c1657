/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libFuzzer target: any bytes through codec_probe() and, where they look like an image of a moderate size, through
 * codec_decode() twice with one context. The first decode's outcome must repeat. Also as if the index lied about the
 * codec.
 *
 *	make fuzz && mkdir -p corpus
 *	build/debug-fuzzer-no-link-address-undefined-clang-14/fuzz/fuzz_codec -max_total_time=600 corpus
 *tests/golden/images
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "stages/codec.h"

enum { MAX_PIXELS = 1 << 18 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	static struct codec_context *context;
	if (context == NULL)
		context = codec_context_create(cpu_detect(), NULL);
	struct codec_info info;
	if (codec_probe(data, bytes, &info, NULL) != 0 || (uint64_t)info.width * info.height > MAX_PIXELS)
		return 0;
	const size_t need_bytes = (size_t)info.width * info.height * 3;
	uint8_t *rgb = malloc(need_bytes), *again = malloc(need_bytes);
	if (rgb == NULL || again == NULL)
		abort();
	const int result =
		codec_decode(context, info.codec, data, bytes, info.width, info.height, rgb, need_bytes, NULL);
	for (unsigned codec = 0; codec < SHARD_CODECS; codec++)
		codec_decode(context, (enum shard_codec)codec, data, bytes, info.width, info.height, again, need_bytes,
			NULL);
	if (codec_decode(context, info.codec, data, bytes, info.width, info.height, again, need_bytes, NULL) != result)
		abort();
	if (result == 0 && memcmp(rgb, again, need_bytes) != 0)
		abort();
	free(rgb);
	free(again);
	return 0;
}
