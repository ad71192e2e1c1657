/* SPDX-License-Identifier: Apache-2.0 */
/* Writing a tar, with the same bytes for the same files: no times, no owners. */
#ifndef RINGCLR_TOOLS_TAR_STREAM_H
#define RINGCLR_TOOLS_TAR_STREAM_H

#include <stddef.h>
#include <stdint.h>

#include "pipeline/error.h"

/* Where its bytes go, in order. */
typedef int (*tar_stream_sink)(void *ctx, const void *data, size_t bytes, struct error *err);

struct tar_stream;

struct tar_stream *tar_stream_create(tar_stream_sink sink, void *ctx, struct error *err);
int tar_stream_add(struct tar_stream *tar, const char *name, const void *data, size_t bytes, struct error *err);
uint64_t tar_stream_bytes(const struct tar_stream *tar);       /* so far, about: of files and their headers */
int tar_stream_end(struct tar_stream *tar, struct error *err); /* frees, whatever the result */
void tar_stream_abandon(struct tar_stream *tar);	       /* NULL is allowed */

#endif
