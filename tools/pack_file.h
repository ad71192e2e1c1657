/* SPDX-License-Identifier: Apache-2.0 */
/* Images that are files of their own, as folders and lists have them. */
#ifndef RINGCLR_TOOLS_PACK_FILE_H
#define RINGCLR_TOOLS_PACK_FILE_H

#include "tools/pack.h"

/* The file's first bytes, PACK_HEAD_BYTES at most; 0 when it cannot be read. */
size_t pack_file_head(const char *path, unsigned char head[PACK_HEAD_BYTES]);

/* Gives the text of a .cls file to the plan. */
int pack_file_label(const char *path, const char *key, struct pack_plan *plan, struct error *err);

/* A source's read() of a file whose path starts at the folder `at`, or AT_FDCWD. */
int pack_file_read(int at, const char *path, struct pack_contents *out, struct error *err);

#endif
