/* SPDX-License-Identifier: Apache-2.0 */
/* The table that parser and printer of policies share. */
#ifndef RINGCLR_STAGES_VIEW_POLICY_INTERNAL_H
#define RINGCLR_STAGES_VIEW_POLICY_INTERNAL_H

#include "stages/view_policy.h"

struct view_argument {
	const char *name;
	double least, most, fallback; /* NAN: by the caller's defaults */
};

struct view_operation {
	const char *name, *usage;
	double probability; /* without @ */
	unsigned counts;    /* bit n: may have n arguments */
	struct view_argument arguments[VIEW_MAX_ARGS];
	const char *help;
};

extern const struct view_operation view_operations[VIEW_OPS];

enum { VIEW_SHORTHANDS = 2 };
extern const char *const view_shorthands[VIEW_SHORTHANDS]; /* by enum view_policy_kind */

/* The most arguments that it may have. */
unsigned view_operation_arguments(const struct view_operation *operation);
struct view_step view_step_default(enum view_op op, const struct view_defaults *defaults);
/* Returns the count of steps. */
unsigned view_shorthand_expand(
	struct view_step steps[VIEW_MAX_STEPS], enum view_policy_kind kind, const struct view_defaults *defaults);

#endif
