/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libFuzzer target: any text through view_policies_parse(). What it takes must survive being printed and parsed again,
 * and draw crops inside the image; what it refuses must come with a message.
 *
 *	make fuzz && mkdir -p corpus && echo 'crop(0.1,1) flip@0.3 | 2x simclr cutout' >corpus/one
 *	build/debug-fuzzer-no-link-address-undefined-clang-14/fuzz/fuzz_views -max_total_time=600 corpus
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "stages/view_policy.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static void check_draw(const struct view_policy *policy, uint64_t sample)
{
	const struct philox stream = philox_stream(1, 0, sample, 0, PHILOX_AUGMENT);
	const uint32_t width = 1 + (uint32_t)(sample * 37 % 500), height = 1 + (uint32_t)(sample * 91 % 500);
	struct view_params params;
	view_params_draw(&params, policy, width, height, &stream);
	if (params.width < 1 || params.height < 1 || params.width > width || params.height > height ||
		params.x > width - params.width || params.y > height - params.height)
		abort();
	for (uint32_t i = 0; i < params.count; i++) {
		const struct view_drawn *drawn = &params.drawn[i];
		if (drawn->op == VIEW_OP_CUTOUT && (drawn->hole.width < 1 || drawn->hole.height < 1 ||
							   drawn->hole.x + drawn->hole.width > policy->size ||
							   drawn->hole.y + drawn->hole.height > policy->size))
			abort();
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	static const struct view_defaults defaults = {.size = 48, .views = 2, .strength = 0.3F, .area_min = 0.08F};
	static char canonical[VIEW_POLICIES_TEXT_BYTES];
	struct view_policies policies, again;
	struct error err = {0};
	char *text = malloc(bytes + 1);
	if (text == NULL)
		abort();
	memcpy(text, data, bytes);
	text[bytes] = '\0';
	const int code = view_policies_parse(&policies, text, &defaults, "views", &err);
	free(text);
	if (code != 0) {
		if (err.message[0] == '\0')
			abort();
		return 0;
	}
	view_policies_print(&policies, canonical);
	if (view_policies_parse(&again, canonical, &defaults, "views", &err) != 0 || again.count != policies.count)
		abort();
	for (uint32_t view = 0; view < policies.count; view++) {
		if (!view_policy_same(&policies.view[view], &again.view[view]))
			abort();
		check_draw(&policies.view[view], bytes + view);
	}
	return 0;
}
