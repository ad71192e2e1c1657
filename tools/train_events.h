/* SPDX-License-Identifier: Apache-2.0 */
/* ringclr train --tensorboard: what of a run's reports goes into its event file. */
#ifndef RINGCLR_TOOLS_TRAIN_EVENTS_H
#define RINGCLR_TOOLS_TRAIN_EVENTS_H

#include "tools/train_job.h"

struct train_events;

/* Opens RUN's event file, cut to the checkpoint's step, and becomes an observer of the report stage. */
int train_events_create(struct train_job *job, struct error *err);
/* Closes it; says on stderr when something could not be written. events NULL: nothing. */
void train_events_end(const struct train_job *job);

#endif
