/* SPDX-License-Identifier: Apache-2.0 */
/* Pictures of the generated data set: ten classes told apart by shape alone, under random colour, place, scale,
 * rotation, background and light. */
#ifndef RINGCLR_TOOLS_SYNTH_DRAW_H
#define RINGCLR_TOOLS_SYNTH_DRAW_H

#include <stdint.h>

enum { SYNTH_CLASSES = 10, SYNTH_MIN_SIZE = 16, SYNTH_MAX_SIZE = 1024 };
enum synth_split { SYNTH_TRAIN = 0, SYNTH_TEST = 1 };

/* "disc", "ring"...; label < SYNTH_CLASSES. */
const char *synth_class_name(unsigned label);

/* Draws image number `index` of a split to rgb [size][size][3]. The class is index % SYNTH_CLASSES. A pure function of
 * its arguments: the same bytes in any order, on any thread. scratch: size * size * 3 floats. */
void synth_draw(uint64_t seed, enum synth_split split, uint64_t index, uint32_t size, float *scratch, uint8_t *rgb);

/* Signed distance from (x, y) to the outline of a class's shape of extent 1 around the origin; negative inside. */
float synth_shape_distance(unsigned label, float x, float y);

#endif
