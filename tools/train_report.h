/* SPDX-License-Identifier: Apache-2.0 */
/* ringclr train --report: what a run is watched for, and the file that is written of it. */
#ifndef RINGCLR_TOOLS_TRAIN_REPORT_H
#define RINGCLR_TOOLS_TRAIN_REPORT_H

#include "tools/train_job.h"

/* Drawn from the run's arena: watching allocates nothing while the run goes on. */
struct train_watch;

int train_watch_create(struct train_job *job, struct error *err);    /* after the trainer is prepared */
int train_watch_start(struct train_watch *watch, struct error *err); /* watch NULL: nothing */

/* Ends watching and writes the report, also of a run that failed. */
int train_watch_end(struct train_job *job, struct error *err);

#endif
