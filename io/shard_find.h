/* SPDX-License-Identifier: Apache-2.0 */
/* Finding the blocks and the index of a shard that has lost its ends. For shard_repair.c. */
#ifndef RINGCLR_IO_SHARD_FIND_H
#define RINGCLR_IO_SHARD_FIND_H

#include "io/shard_internal.h"

struct shard_found_block {
	uint64_t offset;
	struct shard_block_disk header;
};

struct shard_find {
	int fd;
	const char *path;
	uint64_t file_bytes;
	struct shard_found_block *blocks; /* malloc'd, in the file's order */
	uint32_t count;
	unsigned char *dictionary; /* of the first copy between blocks that is whole; malloc'd; NULL: none */
	uint32_t dictionary_bytes;
};

/* Blocks from page to page between two offsets, by headers whose own hash is right; their numbers rise. Payloads are
 * not looked at; the last may be cut off. */
int shard_find_blocks(struct shard_find *find, uint64_t from, uint64_t to, struct error *err);

/* Looks for an index behind the blocks, without a footer that says where it is: *footer gets what it would have said of
 * it. footer's class table, dictionary and field table are known where `front` is set; else only their size
 * together is made up, but for a dictionary of which there is a copy. False: there is none. */
bool shard_find_index(const struct shard_find *find, bool front, bool has_fields, struct shard_footer_disk *footer);

/* A dictionary with this hash, from a copy or from before the first block that was found; malloc'd. NULL: there is
 * none. */
unsigned char *shard_find_dictionary(const struct shard_find *find, uint64_t hash, size_t *bytes);

#endif
