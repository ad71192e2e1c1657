/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A list of files (pack_list.h): a .tsv or .txt file, whose paths start at its own folder, or the standard input, a
 * pipe, whose paths start at the working folder. It is read once: the plan's spill keeps each path as it is written, an
 * entry's ordinal is its place there. Keys are those paths cleaned: without "/" and "../" at their head, as tar has
 * them.
 *
 * What is listed is treated as in a folder, whose files `find` may have listed: .cls files are labels, what is no image
 * is ignored. But a file that is not there is an error, because somebody has named it.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tools/pack_file.h"
#include "tools/pack_list.h"

static bool is_list(const char *path, const struct stat *status)
{
	const char *dot = strrchr(path, '.');
	if (status == NULL || S_ISFIFO(status->st_mode))
		return true;
	return S_ISREG(status->st_mode) && dot != NULL && (strcmp(dot, ".tsv") == 0 || strcmp(dot, ".txt") == 0);
}

/* The folder that relative paths start from, with a slash behind it; "" for the working folder. Malloc'd. */
static char *start_folder(const char *path, struct error *err)
{
	struct stat status;
	const char *slash = strrchr(path, '/');
	bool pipe = strcmp(path, "-") == 0 || (stat(path, &status) == 0 && S_ISFIFO(status.st_mode));
	char *folder = pipe || slash == NULL ? strdup("") : strndup(path, (size_t)(slash - path) + 1);
	if (folder == NULL)
		pack_out_of_memory(err);
	return folder;
}

/* "../../a/b.jpg" -> "a/b.jpg" */
static const char *behind_dots(const char *path)
{
	const char *key = path;
	for (const char *at = path; *at != '\0'; at++) {
		if ((at == path || at[-1] == '/') && strncmp(at, "../", 3) == 0)
			key = at + 3;
	}
	return key;
}

struct scan {
	struct pack_plan *plan;
	const char *list, *folder;
};

static int add_image(struct scan *scan, const struct pack_list_line *line, const char *path, const char *key,
	uint64_t bytes, struct error *err)
{
	unsigned char head[PACK_HEAD_BYTES];
	if (!pack_is_image(key, head, pack_file_head(path, head))) {
		scan->plan->ignored++;
		return 0;
	}
	struct pack_known known = {.key = key,
		.class_name = line->label,
		.class_open = line->label == NULL,
		.meta = line->meta,
		.bytes = bytes};
	int rc = spill_append(scan->plan->spill, line->path, strlen(line->path) + 1, &known.ordinal, err);
	return rc == 0 ? pack_plan_add_known(scan->plan, &known, err) : rc;
}

static int scan_path(struct scan *scan, const struct pack_list_line *line, const char *path, struct error *err)
{
	struct stat status;
	char *key = NULL;
	int rc = pack_plan_offer(scan->plan, behind_dots(line->path), &key, err);
	if (rc == PACK_IGNORE || rc < 0)
		return rc;
	if (stat(path, &status) != 0)
		rc = error_set_errno(err, ERROR_IO, errno, "%s, line %llu: cannot read %s", scan->list,
			(unsigned long long)line->number, path);
	else if (S_ISREG(status.st_mode) && rc == PACK_LABEL)
		rc = pack_file_label(path, key, scan->plan, err);
	else if (S_ISREG(status.st_mode))
		rc = add_image(scan, line, path, key, (uint64_t)status.st_size, err);
	else {
		/* Folders are what `find` lists without -type f. */
		scan->plan->ignored += !S_ISDIR(status.st_mode);
		rc = 0;
	}
	free(key);
	return rc;
}

static int scan_line(struct scan *scan, const struct pack_list_line *line, struct error *err)
{
	char *path = NULL;
	if (asprintf(&path, "%s%s", line->path[0] == '/' ? "" : scan->folder, line->path) < 0)
		return pack_out_of_memory(err);
	struct error cause = {0};
	int rc = scan_path(scan, line, path, &cause);
	free(path);
	if (rc == 0 || cause.code == ERROR_MEMORY || cause.code == ERROR_INTERRUPTED)
		return error_copy(err, &cause);
	const char *where = strncmp(cause.message, scan->list, strlen(scan->list)) == 0 ? "" : scan->list;
	return error_set(err, cause.code, "%s%s%s", where, *where != '\0' ? ": " : "", cause.message);
}

static int scan_lines(FILE *in, struct scan *scan, struct error *err)
{
	struct pack_list *list = pack_list_create(in, scan->list, err);
	struct pack_list_line line;
	int rc = list == NULL ? err->code : 1;
	while (rc == 1) {
		rc = pack_list_next(list, &line, err);
		if (rc == 1)
			rc = scan_line(scan, &line, err) < 0 ? err->code : 1;
	}
	pack_list_destroy(list);
	return rc;
}

static int scan_list(const char *path, struct pack_plan *plan, struct error *err)
{
	bool standard = strcmp(path, "-") == 0;
	char *folder = start_folder(path, err);
	if (folder == NULL)
		return err->code;
	FILE *in = standard ? stdin : fopen(path, "rb");
	struct scan scan = {.plan = plan, .list = standard ? "standard input" : path, .folder = folder};
	int rc =
		in == NULL ? error_set_errno(err, ERROR_IO, errno, "cannot open %s", path) : scan_lines(in, &scan, err);
	if (in != NULL && !standard)
		fclose(in);
	free(folder);
	return rc == 0 ? pack_plan_end_input(plan, false, err) : rc;
}

struct start {
	int fd; /* the folder that paths start from */
};

static void *open_list(const char *path, struct error *err)
{
	char *folder = start_folder(path, err);
	if (folder == NULL)
		return NULL;
	struct start *start = malloc(sizeof(*start));
	if (start == NULL)
		pack_out_of_memory(err);
	else if ((start->fd = open(*folder != '\0' ? folder : ".", O_PATH | O_DIRECTORY | O_CLOEXEC)) < 0) {
		error_set_errno(err, ERROR_IO, errno, "cannot open the folder %s of %s", folder, path);
		free(start);
		start = NULL;
	}
	free(folder);
	return start;
}

static int read_listed(void *state, const struct pack_plan *plan, const struct pack_entry *entry,
	struct pack_contents *out, struct error *err)
{
	const struct start *start = state;
	return pack_file_read(start->fd, (const char *)plan->texts + entry->ordinal, out, err);
}

static void close_list(void *state)
{
	struct start *start = state;
	close(start->fd);
	free(start);
}

const struct pack_source pack_source_list = {.name = "list",
	.probe = is_list,
	.scan = scan_list,
	.open = open_list,
	.read = read_listed,
	.close = close_list,
	.any_order = true};
