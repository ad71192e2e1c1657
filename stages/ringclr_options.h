/* SPDX-License-Identifier: Apache-2.0 */
/* The options of the C interface, checked, as the loader's parts take them. */
#ifndef RINGCLR_STAGES_RINGCLR_OPTIONS_H
#define RINGCLR_STAGES_RINGCLR_OPTIONS_H

#include "pipeline/error.h"
#include "stages/loader.h"
#include "stages/ringclr.h"

/* The program's options over the defaults, each in its range. given may be NULL. */
int ringclr_options_settle(struct ringclr_options *options, const struct ringclr_options *given, struct error *err);

/* All of the loader's configuration but set and plan, of settled options. */
int ringclr_options_loader(const struct ringclr_options *options, struct loader_config *config, struct error *err);

/* Of settled options; limit_images is checked against the set. */
int ringclr_options_plan(const struct ringclr_options *options, const struct shard_set *set,
	struct epoch_plan_config *config, struct error *err);

#endif
