/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What lies in the slots of the loader's rings on an image's way from disk to batch.
 *
 *	block ring	bytes of one block as they are on disk, and which block it is; only which, when the cache has it
 *
 *	sample ring	encoded bytes of one image, or where in the cache they lie, and which record it is
 *
 *	batch ring	[views * images][size][size][3] floats, all first views before all second views
 */
#ifndef RINGCLR_STAGES_ITEMS_H
#define RINGCLR_STAGES_ITEMS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A block slot: `capacity` bytes aligned for O_DIRECT, then this. */
struct block_item {
	unsigned shard;
	uint32_t block;
	uint64_t read_ns;  /* from the read's start to its end, as the reading thread saw them */
	size_t disk_bytes; /* 0: not read, because the record cache has the block or will have it */
};

static inline struct block_item *block_item_of(void *memory, size_t capacity)
{
	return (struct block_item *)((char *)memory + capacity);
}

struct sample_item {
	uint64_t record; /* number in the shard set */
	uint32_t epoch;
	uint32_t bytes;
	/* The encoded image: in the record cache, where it stays, or in `data`, until the slot is released. */
	const unsigned char *data_at;
	bool cached;
	_Alignas(16) unsigned char data[];
};

/* Where the parts of a batch slot lie. Made from the slot's memory by batch_view(). */
struct batch {
	uint32_t images; /* rows of one view that are filled; less than `capacity` only at the end of an evaluation */
	uint32_t views;
	uint32_t capacity; /* rows from the first of one view to the first of the next */
	uint32_t size;	   /* side of a view in pixels */
	float *x;	   /* [views * capacity][size][size][3] */
	uint64_t *record;  /* [capacity] numbers in the shard set */
	int32_t *label;	   /* [capacity] */
};

#endif
