/* SPDX-License-Identifier: Apache-2.0 */
#include "stages/augment.h"

void augment_image(const struct augment *augment, const uint8_t *rgb, uint32_t width, uint32_t height, uint32_t epoch,
	uint64_t record, uint32_t row, float *scratch, float *x)
{
	size_t row_floats = (size_t)augment->policies.view[0].size * augment->policies.view[0].size * 3;
	for (uint32_t view = 0; view < augment->policies.count; view++) {
		const struct view_policy *policy = &augment->policies.view[view];
		struct philox stream = philox_stream(augment->seed, epoch, record, view, PHILOX_AUGMENT);
		struct view_params params;
		view_params_draw(&params, policy, width, height, &stream);
		size_t out_row = (size_t)view * augment->capacity + row;
		view_apply(policy, &params, rgb, width, height, scratch, x + out_row * row_floats);
	}
}
