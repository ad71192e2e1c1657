/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Shards of each version of the format, read to exactly the listing that is kept beside them:
 * tests/golden/shard-X.Y.ring and .txt. 1.0 and 1.1 were packed by the programs of their time; 1.2 was put together by
 * test_shard_fields --write. They stay as they are: a program that reads them otherwise is wrong.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "io/shard.h"
#include "tests/helper_files.h"

static void list(FILE *out, const struct shard *shard)
{
	struct error err = {0};
	struct shard_cursor *cursor = shard_cursor_create(shard, &err);
	assert_non_null(cursor);
	for (uint32_t i = 0; i < shard_classes(shard); i++)
		fprintf(out, "class %u %s\n", i, shard_class(shard, i));
	for (uint32_t i = 0; i < shard_records(shard); i++) {
		struct shard_record_in record;
		if (shard_cursor_get(cursor, i, &record, &err) != 0)
			fail_msg("%s", err.message);
		fprintf(out, "%u %016" PRIx64 " %zu %d %u %u %s %s%s%.*s\n", i,
			(uint64_t)XXH3_64bits(record.data, record.bytes), record.bytes, record.label, record.width,
			record.height, shard_codec_name(record.codec), record.key, record.meta == NULL ? "" : "\t",
			(int)record.meta_bytes, record.meta == NULL ? "" : record.meta);
	}
	shard_cursor_destroy(cursor);
}

static void golden(const char *name, unsigned minor, bool dictionary, bool meta)
{
	char path[80], *listed = NULL;
	size_t listed_bytes = 0, bytes = 0;
	struct error err = {0};
	snprintf(path, sizeof path, "tests/golden/%s.ring", name);
	struct shard *shard = shard_open(path, false, &err);
	if (shard == NULL)
		fail_msg("%s", err.message);
	assert_int_equal(shard_version_minor(shard), minor);
	assert_int_equal(shard_dictionary_bytes(shard) > 0, dictionary);
	assert_int_equal(shard_has_meta(shard), meta);
	FILE *out = open_memstream(&listed, &listed_bytes);
	list(out, shard);
	fclose(out);
	shard_close(shard);
	snprintf(path, sizeof path, "tests/golden/%s.txt", name);
	char *expected = (char *)helper_file_read(path, &bytes);
	if (bytes != listed_bytes || memcmp(expected, listed, bytes) != 0)
		fail_msg("%s is not what was read:\n%s", path, listed);
	free(expected);
	free(listed);
}

static void test_1_0(void **state)
{
	(void)state;
	golden("shard-1.0", 0, false, false);
}

static void test_1_1_dictionary(void **state)
{
	(void)state;
	golden("shard-1.1", 1, true, false);
}

static void test_1_2_metadata(void **state)
{
	(void)state;
	golden("shard-1.2", 2, false, true);
}

static void test_1_2_dictionary(void **state)
{
	(void)state;
	golden("shard-1.2-dictionary", 2, true, false);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_1_0),
		cmocka_unit_test(test_1_1_dictionary),
		cmocka_unit_test(test_1_2_metadata),
		cmocka_unit_test(test_1_2_dictionary),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
