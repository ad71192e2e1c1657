/* SPDX-License-Identifier: Apache-2.0 */
/* Temporary folders and whole files, for tests. */
#ifndef RINGCLR_TESTS_HELPER_FILES_H
#define RINGCLR_TESTS_HELPER_FILES_H

#include <stddef.h>

/* A new folder, absolute path, malloc'd. Aborts the test when there is none to be had. */
char *helper_folder_make(void);
void helper_folder_remove(char *folder); /* with all that is in it; frees the name */
unsigned helper_folder_entries(const char *folder);

/* folder/name, malloc'd. */
char *helper_path(const char *folder, const char *name);

/* Set-up and tear-down of a cmocka test: a folder, and the path of a file in it that is not there yet. */
struct helper_place {
	char *folder, *path;
};
int helper_place_make(void **state);
int helper_place_remove(void **state);

/* Whole files; abort the test on any failure. */
unsigned char *helper_file_read(const char *path, size_t *bytes);
void helper_file_write(const char *path, const void *data, size_t bytes);

/* What `body` prints on stderr, malloc'd. */
char *helper_stderr_of(void (*body)(void *ctx), void *ctx);

#endif
