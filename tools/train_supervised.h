/* SPDX-License-Identifier: Apache-2.0 */
/* What `ringclr train` settles for --loss cross-entropy and --init. Each before the first step, in this order. */
#ifndef RINGCLR_TOOLS_TRAIN_SUPERVISED_H
#define RINGCLR_TOOLS_TRAIN_SUPERVISED_H

#include "tools/train_job.h"

/* Refuses options that have no meaning together, and puts the supervised defaults where the user gave nothing. */
int train_settle_loss(struct train_job *job, struct error *err);

/* --init of a run that begins: finds the file, and takes model, width, stem and size from it where the user gave none.
 * ERROR_MISMATCH where he gave others (size may differ). Without --init nothing. */
int train_start_open(struct train_job *job, struct error *err);

/* Cross-entropy: the images of --label-fraction into job->subset; ERROR_MISMATCH naming the shard when an image that
 * would be trained on has no label. */
int train_draw_labelled(struct train_job *job, struct error *err);

/* Kind of head and width of its output. */
void train_choose_head(const struct train_job *job, struct net_config *net);

/* --init's weights, after net_init(). */
int train_start_load(struct train_job *job, struct error *err);

#endif
