/* SPDX-License-Identifier: Apache-2.0 */
/* The bytes of an MDS shard, whether it lies raw or compressed with zstd. */
#ifndef RINGCLR_TOOLS_PACK_MDS_FILE_H
#define RINGCLR_TOOLS_PACK_MDS_FILE_H

#include "tools/pack_mds.h"

struct mds_file;

/* Whether the shard's raw file is in the folder: only then are reads in any order allowed. */
bool mds_file_is_raw(const char *folder, const struct mds_shard *shard);

struct mds_file *mds_file_open(const char *folder, const struct mds_shard *shard, struct error *err);
void mds_file_close(struct mds_file *file); /* NULL is allowed */

/* Reads at an offset of the raw shard. Of a compressed one offsets must not go back. */
int mds_file_read(struct mds_file *file, uint64_t offset, void *data, size_t bytes, struct error *err);

#endif
