/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libFuzzer target: any bytes as a shard, opened, read and verified. Every hash is made right first, because a fuzzer
 * does not get past one by itself; an odd number of bytes is taken as it is, so that wrong hashes are tried too.
 *
 *	make fuzz tests && mkdir -p corpus && build/release/tests/test_shard --write corpus
 *	build/debug-fuzzer-no-link-address-undefined-clang-14/fuzz/fuzz_shard -max_len=65536 -max_total_time=600 corpus
 */
#include <stdint.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tests/hostile_shard.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	char path[40];
	unsigned char *shard = malloc(bytes + 1);
	int fd = memfd_create("shard", MFD_CLOEXEC);
	if (shard == NULL || fd < 0)
		abort();
	memcpy(shard, data, bytes);
	if (bytes % 2 == 0)
		shard_sign(shard, bytes);
	if (write(fd, shard, bytes) != (ssize_t)bytes)
		abort();
	snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
	shard_exercise(path);
	close(fd);
	free(shard);
	return 0;
}
