/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Stage 3: sample ring -> batch ring. Decodes an image once, makes its views, and writes them into their rows of the
 * batch: the last image of a batch publishes it.
 */
#ifndef RINGCLR_STAGES_DECODE_H
#define RINGCLR_STAGES_DECODE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>

#include "io/shard.h"
#include "pipeline/graph.h"
#include "pipeline/ring.h"
#include "stages/augment.h"
#include "stages/codec.h"
#include "stages/items.h"
#include "stages/record_cache.h"
#include "stages/slow_list.h"
#include "stages/span.h"

enum decode_bad { DECODE_BAD_FAIL, DECODE_BAD_SKIP };
enum { DECODE_BAD_LISTED = 100 };

/* Phases of the stage's meters. */
enum { DECODE_PHASE_DECODE, DECODE_PHASE_AUGMENT };

/* Images that could not be used (policy skip). */
struct decode_bad_list {
	pthread_mutex_t lock; /* over the rest; taken only for bad images */
	uint64_t count;	      /* distinct records listed; when it reaches DECODE_BAD_LISTED later ones go unlisted */
	uint64_t record[DECODE_BAD_LISTED];
	_Atomic uint64_t replaced; /* images replaced so far, each time counted */
};

/* One worker's own memory. */
struct decode_bench {
	struct codec_context *codecs;
	struct view_params params[VIEW_MAX_VIEWS]; /* of the image at hand */
	struct codec_pixels image;
	uint8_t *pixels;	    /* [pixels_bytes] */
	float *scratch;		    /* view_render_scratch_floats() of the largest image */
	unsigned char *replacement; /* malloc'd: bytes of the record that last stood in for a bad one */
	struct slow_list slow;
};

struct decode_stage {
	const struct shard_set *set;
	const struct span *span;
	struct ring *samples; /* in */
	struct ring *batches; /* out; parts: augment.capacity */
	struct augment augment;
	enum decode_bad bad;
	struct decode_bad_list bad_list;
	struct record_cache *cache;   /* NULL: none */
	size_t pixels_bytes;	      /* codec_region_bytes() of the largest image */
	struct decode_bench *benches; /* [workers] */
};

int decode_run(void *ctx, struct worker *worker);

/* Where the parts of a batch slot lie; bytes of such a slot. */
struct batch batch_view(const struct augment *augment, const struct span *span, uint64_t seq, void *memory);
size_t batch_slot_bytes(const struct augment *augment);

#endif
