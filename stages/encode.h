/* SPDX-License-Identifier: Apache-2.0 */
/* Evaluation's last stage: batch ring -> features. The encoder's forward pass, BatchNorm in inference mode. */
#ifndef RINGCLR_STAGES_ENCODE_H
#define RINGCLR_STAGES_ENCODE_H

#include <stdint.h>

#include "model/net.h"
#include "pipeline/placement.h"
#include "stages/loader.h"

/* Called on the calling thread of encode_images() once for each view of a batch, view after view, in order: batch is
 * then that view's. features: [batch->images][dim], the encoder's h or what else is tapped or, without a net, the
 * pixels themselves; valid during the call. first: number of the batch's first image within the span. */
typedef int encode_sink(void *ctx, uint64_t first, const struct batch *batch, const float *features, struct error *err);

/* Runs the loader's span (at most max_rows images a batch) through the net. net NULL: features are the view's
 * pixels. */
int encode_images(struct loader *loader, struct net *net, struct team *team, struct placement *placement,
	encode_sink *sink, void *ctx, struct error *err);

/* The same with other features than h; the net must have them (net_tap_dim()). */
int encode_tap(struct loader *loader, struct net *net, enum net_tap tap, struct team *team, struct placement *placement,
	encode_sink *sink, void *ctx, struct error *err);

/* A sink that keeps features and labels in order. The caller provides the arrays. */
struct encode_table {
	float *features;   /* [capacity][dim] */
	int32_t *labels;   /* [capacity] */
	uint64_t *records; /* [capacity] numbers in the shard set; may be NULL */
	uint64_t count;	   /* rows filled */
	unsigned dim;
};
int encode_keep(void *ctx, uint64_t first, const struct batch *batch, const float *features, struct error *err);

#endif
