/* SPDX-License-Identifier: Apache-2.0 */
/* Where files go that a command makes of records: a folder, or a tar where the name ends in .tar. Appears whole or not
 * at all. */
#ifndef RINGCLR_TOOLS_FILE_SINK_H
#define RINGCLR_TOOLS_FILE_SINK_H

#include <stddef.h>

#include "pipeline/error.h"

struct file_sink;

struct file_sink *file_sink_create(const char *output, struct error *err);
int file_sink_add(struct file_sink *sink, const char *name, const void *data, size_t bytes, struct error *err);
int file_sink_commit(struct file_sink *sink, struct error *err); /* frees, whatever the result */
void file_sink_abandon(struct file_sink *sink);			 /* NULL is allowed */

#endif
