/* SPDX-License-Identifier: Apache-2.0 */
/* A file of class names (--classes): one a line, in the order of their labels; empty lines are passed over. */
#ifndef RINGCLR_TOOLS_CLASS_FILE_H
#define RINGCLR_TOOLS_CLASS_FILE_H

#include <stdint.h>

#include "pipeline/error.h"

struct class_file {
	char **names;
	uint32_t count;
};

/* ERROR_FORMAT for a file without a name, ERROR_UNSUPPORTED for more than a shard can have. */
int class_file_read(struct class_file *classes, const char *path, struct error *err);
void class_file_free(struct class_file *classes);

#endif
