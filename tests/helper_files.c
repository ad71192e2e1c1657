/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/helper_files.h"

#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void need(int condition, const char *what)
{
	if (condition)
		return;
	perror(what);
	abort();
}

char *helper_folder_make(void)
{
	const char *base = getenv("TMPDIR");
	char *folder = NULL;
	need(asprintf(&folder, "%s/ringclr-test.XXXXXX", base == NULL ? "/tmp" : base) > 0, "asprintf");
	need(mkdtemp(folder) != NULL, folder);
	return folder;
}

static int entry_remove(const char *path, const struct stat *status, int type, struct FTW *where)
{
	(void)status;
	(void)type;
	(void)where;
	return remove(path);
}

void helper_folder_remove(char *folder)
{
	need(nftw(folder, entry_remove, 16, FTW_DEPTH | FTW_PHYS) == 0, folder);
	free(folder);
}

static int no_dots(const struct dirent *entry)
{
	return strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0;
}

unsigned helper_folder_entries(const char *folder)
{
	struct dirent **list = NULL;
	int count = scandir(folder, &list, no_dots, alphasort);
	need(count >= 0, folder);
	for (int i = 0; i < count; i++)
		free(list[i]);
	free(list);
	return (unsigned)count;
}

int helper_place_make(void **state)
{
	struct helper_place *place = malloc(sizeof *place);
	need(place != NULL, "malloc");
	place->folder = helper_folder_make();
	place->path = helper_path(place->folder, "file");
	*state = place;
	return 0;
}

int helper_place_remove(void **state)
{
	struct helper_place *place = *state;
	helper_folder_remove(place->folder);
	free(place->path);
	free(place);
	return 0;
}

char *helper_path(const char *folder, const char *name)
{
	char *path = NULL;
	need(asprintf(&path, "%s/%s", folder, name) > 0, "asprintf");
	return path;
}

unsigned char *helper_file_read(const char *path, size_t *bytes)
{
	struct stat status;
	FILE *file = fopen(path, "rb");
	need(file != NULL && fstat(fileno(file), &status) == 0, path);
	*bytes = (size_t)status.st_size;
	unsigned char *data = malloc(*bytes + 1);
	need(data != NULL && fread(data, 1, *bytes, file) == *bytes, path);
	fclose(file);
	return data;
}

/* Overwrites in place: a truncated file that is written anew is flushed to the disk by ext4, which takes its time. */
void helper_file_write(const char *path, const void *data, size_t bytes)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	need(fd >= 0 && write(fd, data, bytes) == (ssize_t)bytes && ftruncate(fd, (off_t)bytes) == 0, path);
	need(close(fd) == 0, path);
}

char *helper_stderr_of(void (*body)(void *ctx), void *ctx)
{
	char *folder = helper_folder_make(), *path = helper_path(folder, "stderr");
	size_t bytes = 0;
	fflush(stderr);
	int saved = dup(STDERR_FILENO), file = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	need(saved >= 0 && file >= 0 && dup2(file, STDERR_FILENO) >= 0, path);
	body(ctx);
	fflush(stderr);
	need(dup2(saved, STDERR_FILENO) >= 0, "dup2");
	close(saved);
	close(file);
	char *text = (char *)helper_file_read(path, &bytes);
	text[bytes] = '\0';
	free(path);
	helper_folder_remove(folder);
	return text;
}
