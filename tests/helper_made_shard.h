/* SPDX-License-Identifier: Apache-2.0 */
/* Shards put together byte by byte, with fields that no writer of ours would write. */
#ifndef RINGCLR_TESTS_HELPER_MADE_SHARD_H
#define RINGCLR_TESTS_HELPER_MADE_SHARD_H

#include <stddef.h>
#include <stdint.h>

/* Bytes that grow; zero-initialized it is empty. */
struct made_bytes {
	unsigned char data[1 << 16];
	size_t bytes;
};

void made_append(struct made_bytes *to, const void *data, size_t bytes);
void made_field(struct made_bytes *table, uint8_t id, uint8_t flags, const char *name, const char *value);
void made_record_field(struct made_bytes *fields, uint8_t id, const char *value); /* without the size before all */

struct made_shard {
	const struct made_bytes *table;	 /* NULL: no fields */
	const struct made_bytes *fields; /* one a record, of `count` */
	uint32_t count, block_records;	 /* records are "key 0", ..., 5 bytes "img 0", 4 x 3 pixels, label i % 2 */
	const char *origin;
};

/* Two classes, stored blocks and index. malloc'd; every hash is right. */
unsigned char *made_shard(const struct made_shard *made, size_t *bytes);

#endif
