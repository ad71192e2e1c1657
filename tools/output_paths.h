/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names of files made from keys, which come from archives made by anyone. All of them are checked before the first is
 * written: a name that leads out of the folder or that no file can have, one that stands twice, one that is a file here
 * and a folder there.
 */
#ifndef RINGCLR_TOOLS_OUTPUT_PATHS_H
#define RINGCLR_TOOLS_OUTPUT_PATHS_H

#include <stdbool.h>
#include <stdint.h>

#include "io/atomic_folder.h"
#include "io/shard.h"

/* folder/key suffix, where of the key only key_bytes count. Strings belong to others. */
struct output_path {
	const char *key, *suffix;
	const char *folder; /* NULL: none */
	uint32_t key_bytes;
	bool no_dots; /* '.' in the key's last part becomes '_' */
};

/* How raw pixels are written. */
enum output_raw { OUTPUT_PNG, OUTPUT_PPM };

/* The key, with an extension behind it where its own is not of that codec. */
struct output_path output_path_of(const char *key, enum shard_codec codec, enum output_raw raw);
/* The key without the extension of an image, then that of the codec. */
struct output_path output_path_stem(const char *key, enum shard_codec codec, enum output_raw raw);
/* The same file's name with .json (or another suffix) in the place of its extension. */
struct output_path output_path_beside(const struct output_path *path, const char *suffix);

/* Writes the name; false when it does not fit ATOMIC_FOLDER_MAX_PATH. */
bool output_path_write(const struct output_path *path, char name[ATOMIC_FOLDER_MAX_PATH + 1]);

struct output_paths {
	struct output_path *paths; /* 32 bytes each */
	uint64_t count, capacity;
};

/* Checks the name alone. ERROR_FORMAT names the key. */
int output_paths_add(struct output_paths *paths, const struct output_path *path, struct error *err);
/* Checks them all together. */
int output_paths_check(struct output_paths *paths, struct error *err);
void output_paths_free(struct output_paths *paths);

#endif
