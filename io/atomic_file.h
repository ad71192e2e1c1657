/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A file that appears whole or not at all: written beside its final name, synced, renamed, and the folder synced.
 * A crash at any moment leaves the old file or the new one; a failure removes the temporary.
 */
#ifndef RINGCLR_IO_ATOMIC_FILE_H
#define RINGCLR_IO_ATOMIC_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "pipeline/error.h"

struct atomic_file;

/* path is copied. ERROR_IO names the path and what failed. The new file has the old one's permissions, if there is one.
 */
struct atomic_file *atomic_file_create(const char *path, struct error *err);
/* The same with a temporary of a name of the caller's, in the same folder: so it can be found again. keep: what it
 * holds already stays, and appending goes on where atomic_file_cut() says. */
struct atomic_file *atomic_file_create_as(const char *path, const char *temporary, bool keep, struct error *err);
int atomic_file_fd(const struct atomic_file *file); /* of the temporary, for reading */
int atomic_file_cut(struct atomic_file *file, uint64_t bytes, struct error *err);
void atomic_file_leave(struct atomic_file *file); /* closes the temporary, which stays, and frees; NULL is allowed */

int atomic_file_write(struct atomic_file *file, const void *data, size_t bytes, struct error *err); /* appends */
int atomic_file_write_at(struct atomic_file *file, uint64_t offset, const void *data, size_t bytes, struct error *err);

/* Syncs, renames, syncs the folder; frees. On failure the temporary is gone and the old file untouched. */
int atomic_file_commit(struct atomic_file *file, struct error *err);
void atomic_file_abandon(struct atomic_file *file); /* removes the temporary and frees; NULL is allowed */

/* Gives the file `path` the permissions of `like`, if that is there; its owner can read and write it in any case. */
void atomic_file_keep_mode_of(const char *path, const char *like);

/* The three calls in one, for small files. */
int atomic_file_replace(const char *path, const void *data, size_t bytes, struct error *err);

/* Reads a whole file, NUL-terminated for convenience, into malloc'd memory; bytes may be NULL. Over limit_bytes:
 * ERROR_FORMAT. */
char *atomic_file_read_all(const char *path, size_t limit_bytes, size_t *bytes, struct error *err);

#endif
