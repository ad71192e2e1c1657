/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A file that appears whole or not at all: written beside its final name, synced, renamed, and the folder synced.
 * A crash at any moment leaves the old file or the new one; a failure removes the temporary.
 */
#ifndef RINGCLR_IO_ATOMIC_FILE_H
#define RINGCLR_IO_ATOMIC_FILE_H

#include <stddef.h>
#include <stdint.h>

#include "pipeline/error.h"

struct atomic_file;

/* path is copied. ERROR_IO names the path and what failed. */
struct atomic_file *atomic_file_create(const char *path, struct error *err);
int atomic_file_write(struct atomic_file *file, const void *data, size_t bytes, struct error *err); /* appends */
int atomic_file_write_at(struct atomic_file *file, uint64_t offset, const void *data, size_t bytes, struct error *err);
uint64_t atomic_file_offset(const struct atomic_file *file); /* bytes appended so far */

/* Syncs, renames, syncs the folder; frees. On failure the temporary is gone and the old file untouched. */
int atomic_file_commit(struct atomic_file *file, struct error *err);
void atomic_file_abandon(struct atomic_file *file); /* removes the temporary and frees; NULL is allowed */

/* The three calls in one, for small files. */
int atomic_file_replace(const char *path, const void *data, size_t bytes, struct error *err);

/* Reads a whole file, NUL-terminated for convenience, into malloc'd memory; bytes may be NULL. Over limit_bytes:
 * ERROR_FORMAT. */
char *atomic_file_read_all(const char *path, size_t limit_bytes, size_t *bytes, struct error *err);

#endif
