/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libFuzzer target: any bytes as a safetensors file. What opens is written again and must read back the same.
 *
 *	make fuzz tests && mkdir -p corpus && build/release/tests/test_safetensors --write corpus/sample
 *	build/debug-fuzzer-no-link-address-undefined-clang-14/fuzz/fuzz_safetensors -max_total_time=600 corpus
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "io/safetensors.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static void same(const struct safetensors *a, const struct safetensors *b)
{
	if (b == NULL || safetensors_count(a) != safetensors_count(b))
		abort();
	for (size_t i = 0; i < safetensors_count(a); i++) {
		const struct safetensor *x = safetensors_at(a, i), *y = safetensors_at(b, i);
		if (strcmp(x->name, y->name) != 0 || x->type != y->type || x->dims != y->dims || x->bytes != y->bytes ||
			memcmp(x->shape, y->shape, sizeof x->shape) != 0 || memcmp(x->data, y->data, x->bytes) != 0)
			abort();
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	char path[40], copy[40];
	int fd = memfd_create("safetensors", MFD_CLOEXEC);
	if (fd < 0 || write(fd, data, bytes) != (ssize_t)bytes)
		abort();
	snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
	struct safetensors *file = safetensors_open(path, NULL);
	close(fd);
	if (file == NULL)
		return 0;
	snprintf(copy, sizeof copy, "/dev/shm/fuzz-safetensors-%ld", (long)getpid());
	struct error err = {0};
	if (safetensors_write(copy, safetensors_count(file) == 0 ? NULL : safetensors_at(file, 0),
		    safetensors_count(file), NULL, 0, &err) != 0) {
		fprintf(stderr, "%s\n", err.message);
		abort();
	}
	struct safetensors *again = safetensors_open(copy, NULL);
	same(file, again);
	safetensors_close(again);
	size_t converted = 0, count = safetensors_count(file);
	if (safetensors_to_f32(file, &converted, NULL) != 0 || converted > count)
		abort();
	for (size_t i = 0; i < count; i++)
		if (safetensors_at(file, i)->type == SAFETENSORS_F16 ||
			safetensors_at(file, i)->type == SAFETENSORS_F64)
			abort();
	if (safetensors_strip(file, "a") > count)
		abort();
	safetensors_close(file);
	unlink(copy);
	return 0;
}
