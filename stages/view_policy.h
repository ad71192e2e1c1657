/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Augmentation policies as text: operations in order, as `ringclr train --views` takes them.
 *
 *	crop(0.08,1) flip color(0.8,0.2) gray blur        two views of this policy (where two is the default)
 *	1x crop flip cutout(0.25)@0.5                     one view; the cut-out in half of the views
 *	simclr | simclr solarize                          two views, each with a policy of its own
 *
 * view_policy.c has the table of operations, and the grammar.
 */
#ifndef RINGCLR_STAGES_VIEW_POLICY_H
#define RINGCLR_STAGES_VIEW_POLICY_H

#include "pipeline/error.h"
#include "stages/views.h"

/* What holds where the text says nothing. */
struct view_defaults {
	uint32_t size;	/* output side in pixels; also decides about simclr's blur and the share that center keeps */
	unsigned views; /* of a text without count and without | */
	float strength; /* s of SimCLR's colour jitter */
	float area_min; /* of crop: 0.08 */
};

/* The paper's for views of that side: strength 0.5 up to 32 pixels, else 1. */
struct view_defaults view_defaults_of(uint32_t size, unsigned views);

/* ERROR_USAGE with a message that begins with `what` ("--views") and points at the mistake. */
int view_policies_parse(struct view_policies *policies, const char *text, const struct view_defaults *defaults,
	const char *what, struct error *err);

/* The policies in the form that spells every argument out; parsing it gives the same policies whatever the defaults. */
enum { VIEW_POLICIES_TEXT_BYTES = 32768 };
void view_policies_print(const struct view_policies *policies, char text[VIEW_POLICIES_TEXT_BYTES]);
/* One view's, without a count. */
void view_policy_print(const struct view_policy *policy, char text[VIEW_POLICIES_TEXT_BYTES]);

bool view_policy_same(const struct view_policy *a, const struct view_policy *b);

/* What operation `number` does, how it is written, and its probability, for --help; NULL: there are no more. */
const char *view_operation_help(unsigned number, const char **usage, double *probability);

/* The named policies. */
enum view_policy_kind {
	VIEW_SIMCLR,	/* the paper's recipe (blur off at <= 32 pixels) */
	VIEW_CROP_FLIP, /* random resized crop and flip: linear evaluation, fine-tuning */
	VIEW_CENTER, /* evaluation: the centre 87.5% of the short side, resized; at size <= 32 an image of exactly that
			size as it is (others: the whole centre square, resized) */
};
void view_policy_init(struct view_policy *policy, enum view_policy_kind kind, uint32_t size, float strength);
void view_policies_init(
	struct view_policies *policies, unsigned views, enum view_policy_kind kind, uint32_t size, float strength);

#endif
