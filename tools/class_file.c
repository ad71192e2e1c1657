/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/class_file.h"

#include <stdlib.h>
#include <string.h>

#include "io/atomic_file.h"
#include "io/shard.h"

static int add_name(struct class_file *classes, const char *path, const char *name, struct error *err)
{
	if (classes->count >= SHARD_MAX_CLASSES)
		return error_set(err, ERROR_UNSUPPORTED, "%s: more than %d classes", path, SHARD_MAX_CLASSES);
	/* Doubled whenever the count is a power of two. */
	if ((classes->count & (classes->count - 1)) == 0) {
		size_t capacity = classes->count > 0 ? 2 * (size_t)classes->count : 1;
		char **more = realloc(classes->names, capacity * sizeof(*more));
		if (more == NULL)
			return error_set(err, ERROR_MEMORY, "%s: out of memory for its class names", path);
		classes->names = more;
	}
	classes->names[classes->count] = strdup(name);
	if (classes->names[classes->count] == NULL)
		return error_set(err, ERROR_MEMORY, "%s: out of memory for its class names", path);
	classes->count++;
	return 0;
}

int class_file_read(struct class_file *classes, const char *path, struct error *err)
{
	*classes = (struct class_file){0};
	size_t bytes;
	char *text = atomic_file_read_all(path, 64 << 20, &bytes, err);
	int rc = text == NULL ? err->code : 0;
	char *rest = text;
	for (char *line; rc == 0 && (line = strsep(&rest, "\n")) != NULL;) {
		line[strcspn(line, "\r")] = '\0';
		if (*line != '\0')
			rc = add_name(classes, path, line, err);
	}
	if (rc == 0 && classes->count == 0)
		rc = error_set(err, ERROR_FORMAT, "%s: names no class", path);
	free(text);
	if (rc < 0)
		class_file_free(classes);
	return rc;
}

void class_file_free(struct class_file *classes)
{
	for (uint32_t i = 0; i < classes->count; i++)
		free(classes->names[i]);
	free(classes->names);
	*classes = (struct class_file){0};
}
