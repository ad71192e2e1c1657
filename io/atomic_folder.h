/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A folder of many files that appears whole or not at all: written as "<path>.partial", synced, renamed. What is left
 * of a run that was killed is removed by the next one; two runs at once do not disturb each other. A folder of that
 * name that no run has made, which is told by a mark in it, is refused.
 *
 * Names of files may come from strangers: nothing is ever written outside the folder, whatever they are.
 */
#ifndef RINGCLR_IO_ATOMIC_FOLDER_H
#define RINGCLR_IO_ATOMIC_FOLDER_H

#include <stdbool.h>
#include <stddef.h>

#include "pipeline/error.h"

enum { ATOMIC_FOLDER_MAX_DEPTH = 64, ATOMIC_FOLDER_MAX_PATH = 4095, ATOMIC_FOLDER_MAX_NAME = 255 };

/* A file in the partial folder. No other may be called so. */
#define ATOMIC_FOLDER_MARK ".ringclr-unfinished"

/* Whether the open folder is still the one of that name: between opening and locking one, another program may have
 * finished it, and a lock would be on nothing that is looked for there. */
bool atomic_folder_still(const char *path, int fd);

/* NULL if a file of that name may lie in a folder, else what is wrong with it: "is absolute", "has '..' in it". */
const char *atomic_folder_fault(const char *name);

struct atomic_folder;

/* The folder must not exist yet, or be empty. */
struct atomic_folder *atomic_folder_create(const char *path, struct error *err);

/* "<path>.partial", for those who make files in it by other means; its top folder has no links that they could follow.
 */
const char *atomic_folder_partial(const struct atomic_folder *folder);

/* A new file "a/b/name" for writing, in folders that are made where they are missing. Returns its descriptor, which is
 * the caller's, or a negative code; a name that stands already is an error. */
int atomic_folder_open(struct atomic_folder *folder, const char *name, struct error *err);

/* Writes all of it to a descriptor of the above; `name` is for the message. */
int atomic_folder_write(
	struct atomic_folder *folder, int fd, const char *name, const void *data, size_t bytes, struct error *err);

/* The three in one, for a file that is in memory. */
int atomic_folder_add(
	struct atomic_folder *folder, const char *name, const void *data, size_t bytes, struct error *err);

/* Syncs, renames, syncs; frees, whatever the result. After a failure nothing is left. */
int atomic_folder_commit(struct atomic_folder *folder, struct error *err);
void atomic_folder_abandon(struct atomic_folder *folder); /* NULL is allowed */

#endif
