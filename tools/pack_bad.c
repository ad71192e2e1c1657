/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Images that do not decode: the end of the run, or left out, or their bytes put aside in a folder under their keys.
 *
 * A key comes from an archive and may be anything. It is followed component by component from the folder's descriptor:
 * no link is followed, and ".." becomes "__", so that nothing is written outside the folder. A file gets its name when
 * it is whole.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "io/atomic_file.h"
#include "pipeline/escape.h"
#include "tools/command.h"
#include "tools/pack.h"

enum { TOLD = 100 /* notes on stderr, at most */ };

struct pack_bad {
	enum pack_bad_policy policy;
	const char *quarantine;
	int folder; /* of the quarantine; -1: none */
	struct atomic_file *report;
	cJSON *list;
	uint64_t count;
};

struct pack_bad *pack_bad_create(
	enum pack_bad_policy policy, const char *quarantine, const char *report, struct error *err)
{
	static const char head[] = "key\tinput\treason\n";
	struct pack_bad *bad = calloc(1, sizeof(*bad));
	if (bad == NULL) {
		pack_out_of_memory(err);
		return NULL;
	}
	*bad = (struct pack_bad){.policy = policy, .quarantine = quarantine, .folder = -1, .list = cJSON_CreateArray()};
	int rc = bad->list == NULL ? pack_out_of_memory(err) : 0;
	if (rc == 0 && quarantine != NULL) {
		mkdir(quarantine, 0777); /* its failure is one of open() */
		bad->folder = open(quarantine, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (bad->folder < 0)
			rc = error_set_errno(
				err, ERROR_IO, errno, "cannot use the folder %s of --quarantine", quarantine);
	}
	if (rc == 0 && report != NULL) {
		bad->report = atomic_file_create(report, err);
		rc = bad->report == NULL ? err->code : atomic_file_write(bad->report, head, sizeof(head) - 1, err);
	}
	if (rc == 0)
		return bad;
	pack_bad_destroy(bad);
	return NULL;
}

void pack_bad_destroy(struct pack_bad *bad)
{
	if (bad == NULL)
		return;
	atomic_file_abandon(bad->report);
	if (bad->folder >= 0)
		close(bad->folder);
	cJSON_Delete(bad->list);
	free(bad);
}

uint64_t pack_bad_count(const struct pack_bad *bad)
{
	return bad->count;
}

const cJSON *pack_bad_list(const struct pack_bad *bad)
{
	return bad->list;
}

int pack_bad_finish(struct pack_bad *bad, struct error *err)
{
	int rc = bad->report != NULL ? atomic_file_commit(bad->report, err) : 0;
	bad->report = NULL;
	/* The names: of folders at any depth, so all of the file system at once. */
	if (rc == 0 && bad->folder >= 0 && syncfs(bad->folder) != 0)
		rc = error_set_errno(
			err, ERROR_IO, errno, "cannot write the folder %s of --quarantine", bad->quarantine);
	return rc;
}

/* A column of the report. */
static void print_column(FILE *out, const char *text, char end)
{
	escape_print(out, text);
	fputc(end, out);
}

static int report_line(struct pack_bad *bad, const char *input, const char *key, const char *reason, struct error *err)
{
	char *line = NULL;
	size_t bytes = 0;
	FILE *out = open_memstream(&line, &bytes);
	if (out == NULL)
		return pack_out_of_memory(err);
	print_column(out, key, '\t');
	print_column(out, input, '\t');
	print_column(out, reason, '\n');
	int rc = fclose(out) != 0 ? pack_out_of_memory(err) : atomic_file_write(bad->report, line, bytes, err);
	free(line);
	return rc;
}

/* Makes and opens the folders of a key. Returns a descriptor that is the caller's, *name is what is left. Or -1 with
 * errno. */
static int open_parent(int root, char *key, const char **name)
{
	int folder = dup(root);
	char *rest = key;
	for (char *part = strsep(&rest, "/"); folder >= 0; part = strsep(&rest, "/")) {
		if (strcmp(part, "..") == 0)
			memset(part, '_', 2);
		*name = part;
		if (rest == NULL)
			break;
		mkdirat(folder, part, 0777); /* its failure is one of openat() */
		int next = openat(folder, part, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		int error = errno;
		close(folder);
		errno = error;
		folder = next;
	}
	return folder;
}

static int write_whole(int fd, const unsigned char *data, size_t bytes)
{
	while (bytes > 0) {
		ssize_t done = write(fd, data, bytes);
		if (done < 0 && errno != EINTR)
			return -1;
		data += done > 0 ? done : 0;
		bytes -= done > 0 ? (size_t)done : 0;
	}
	return 0;
}

static int put_aside(struct pack_bad *bad, const char *key, const void *data, size_t bytes, struct error *err)
{
	static const char partial[] = ".ringclr-partial"; /* one run, one file at a time */
	char *copy = strdup(key);
	const char *name = "";
	if (copy == NULL)
		return pack_out_of_memory(err);
	int folder = open_parent(bad->folder, copy, &name), rc = 0;
	if (folder >= 0)
		unlinkat(folder, partial, 0);
	int fd = folder < 0 ? -1 : openat(folder, partial, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
	/* A name must not come to the disk before what it names. */
	bool failed = fd < 0 || write_whole(fd, data, bytes) != 0 || fsync(fd) != 0;
	int error = errno;
	if (fd >= 0 && close(fd) != 0 && !failed) {
		failed = true;
		error = errno;
	}
	if (!failed && renameat(folder, partial, folder, name) != 0) {
		failed = true;
		error = errno;
	}
	if (failed)
		rc = error_set_errno(err, ERROR_IO, error, "cannot put %s aside in %s", key, bad->quarantine);
	if (failed && fd >= 0)
		unlinkat(folder, partial, 0);
	if (folder >= 0)
		close(folder);
	free(copy);
	return rc;
}

int pack_bad_take(struct pack_bad *bad, const char *input, const char *key, const void *data, size_t bytes,
	const char *reason, struct error *err)
{
	if (bad->policy == PACK_BAD_FAIL)
		return error_set(err, ERROR_DECODE,
			"%s in %s: %s; nothing was written (--bad skip leaves such images out, --bad quarantine also "
			"keeps their bytes)",
			key, input, reason);
	bad->count++;
	if (bad->count <= TOLD)
		command_note("pack", "skipped %s in %s: %s", key, input, reason);
	else if (bad->count == TOLD + 1)
		command_note("pack", "further bad images are told by --bad-report only");
	if (bad->count <= PACK_LISTED) {
		cJSON *skip = cJSON_CreateObject();
		cJSON_AddStringToObject(skip, "key", key);
		cJSON_AddStringToObject(skip, "reason", reason);
		cJSON_AddItemToArray(bad->list, skip);
	}
	int rc = bad->report != NULL ? report_line(bad, input, key, reason, err) : 0;
	if (rc == 0 && bad->folder >= 0 && data != NULL)
		rc = put_aside(bad, key, data, bytes, err);
	return rc;
}
