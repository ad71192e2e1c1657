/* SPDX-License-Identifier: Apache-2.0 */
/* TensorBoard's event files: scalars over steps, as `ringclr train --tensorboard` writes them into the run's folder. */
#ifndef RINGCLR_TOOLS_EVENT_FILE_H
#define RINGCLR_TOOLS_EVENT_FILE_H

#include <stddef.h>
#include <stdint.h>

#include "pipeline/error.h"

/* The same for every start of a run, so that a resumed one goes on in it. TensorBoard looks for "tfevents". */
#define EVENT_FILE_NAME "events.out.tfevents.0.ringclr"

struct event_scalar {
	const char *tag;
	double value; /* NAN: is left out */
};

struct event_file;

/* Opens path for appending, cut to the whole events of steps up to `step` (0 empties it), and takes all the memory that
 * events of at most `scalars` scalars with tags of at most 31 bytes will need. */
struct event_file *event_file_open(const char *path, uint64_t step, size_t scalars, struct error *err);
void event_file_close(struct event_file *file); /* NULL is allowed */

/* Appends one event, of now. Allocates nothing. After a failure the file is left alone and every call says so again. */
int event_file_add(
	struct event_file *file, uint64_t step, const struct event_scalar *scalars, size_t count, struct error *err);
int event_file_sync(struct event_file *file, struct error *err);

/* CRC-32C (Castagnoli) of bytes, as TFRecord masks it: rotated right by 15 bits, plus 0xa282ead8. */
uint32_t event_masked_crc(const void *data, size_t bytes);

#endif
