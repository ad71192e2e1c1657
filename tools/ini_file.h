/* SPDX-License-Identifier: Apache-2.0 */
/* Files of "name = value" lines in [sections], '#' or ';' comments: those of --config, and studies. */
#ifndef RINGCLR_TOOLS_INI_FILE_H
#define RINGCLR_TOOLS_INI_FILE_H

#include "pipeline/error.h"

struct ini_handler {
	/* Called for each line, which is counted from 1. The strings live until it returns; section "": above the first
	 * one. A negative code ends the reading. */
	int (*line)(
		void *ctx, unsigned line, const char *section, const char *name, const char *value, struct error *err);
	void *ctx;
};

/* `what` stands before the path where the file cannot be opened or read: "the file of --config ". */
int ini_file_read(const char *path, const char *what, const struct ini_handler *handler, struct error *err);

#endif
