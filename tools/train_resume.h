/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RINGCLR_TOOLS_TRAIN_RESUME_H
#define RINGCLR_TOOLS_TRAIN_RESUME_H

#include "tools/train_job.h"

/* The record says what `auto` came to, so that a run goes on as it began. */
int train_settle_precision(struct train_options *options, struct error *err);

/* Options that the command line leaves open, from the record. ERROR_MISMATCH when one that is given would change the
 * results. */
int train_resume_options(struct train_job *job, struct error *err);

#endif
