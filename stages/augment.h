/* SPDX-License-Identifier: Apache-2.0 */
/* The second half of stage 3: one decoded image -> its rows of a batch, one a view. */
#ifndef RINGCLR_STAGES_AUGMENT_H
#define RINGCLR_STAGES_AUGMENT_H

#include <stdint.h>

#include "stages/views.h"

struct augment {
	struct view_policies policies;
	uint32_t capacity; /* images of a batch: view v of row i is row v * capacity + i */
	uint64_t seed;
};

/* rgb: [height][width][3] of record `record`; x: the batch, [views * capacity][size][size][3]; fills the image's
 * `views` rows. Parameters depend on (seed, epoch, record, view) alone. */
void augment_image(const struct augment *augment, const uint8_t *rgb, uint32_t width, uint32_t height, uint32_t epoch,
	uint64_t record, uint32_t row, float *scratch, float *x);

#endif
