/* SPDX-License-Identifier: Apache-2.0 */
/* A walk through an archive's members, front to back: tar or zip, compressed in any way that libarchive reads. */
#ifndef RINGCLR_TOOLS_PACK_WALK_H
#define RINGCLR_TOOLS_PACK_WALK_H

#include <archive.h>
#include <archive_entry.h>
#include <stddef.h>
#include <stdint.h>

#include "pipeline/error.h"

struct pack_walk {
	struct archive *archive;
	struct archive_entry *member;
	const char *path; /* the archive's, the caller's string */
	uint64_t ordinal; /* of the next member */
};

int pack_walk_open(struct pack_walk *walk, const char *path, struct error *err);
void pack_walk_close(struct pack_walk *walk);

/* 1: walk->member is the next one; 0: the end. */
int pack_walk_next(struct pack_walk *walk, struct error *err);

/* The member's name; NULL where it has none that can be said. */
const char *pack_walk_name(const struct pack_walk *walk);

/* Reads up to `capacity` bytes of the member; fewer at its end. */
int pack_walk_read(struct pack_walk *walk, unsigned char *data, size_t capacity, size_t *bytes, struct error *err);

#endif
