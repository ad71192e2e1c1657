/* SPDX-License-Identifier: Apache-2.0 */
/* The options of `ringclr pack` and `append`, and their last words. */
#ifndef RINGCLR_TOOLS_PACK_OPTIONS_H
#define RINGCLR_TOOLS_PACK_OPTIONS_H

#include "tools/options.h"
#include "tools/pack.h"

enum { PACK_EXIF_IGNORE, PACK_EXIF_APPLY };
enum { PACK_EXISTING_FAIL, PACK_EXISTING_SKIP };

struct pack_options {
	const char *output, *root, *classes, *label_regex, *meta;
	const char *quarantine, *bad_report;
	const char *validation_output, *validation_match, *validation_classes;
	uint64_t quality, resize_short, max_pixels, zstd, block, dictionary, jobs, split_seed, shard_size;
	double validation, label_fraction;
	const char *shuffle;
	unsigned codec, bad, dedupe, exif, existing;
	bool append; /* to output; not an option but a command */
	bool json, no_meta, allow_truncated, dry_run, resume;
};

/* What the table cannot say. ERROR_USAGE. */
int pack_options_check(const struct options *options, const struct pack_options *pack, struct error *err);

/* One line of provenance: what changes the files' contents, so that the same input gives the same bytes. malloc'd. */
char *pack_options_origin(const struct options *options, const struct pack_options *pack);

/* A hash of the options and of the plan: of another identity a run cannot be taken up. */
uint64_t pack_options_identity(
	const struct options *options, const struct pack_options *pack, const struct pack_plan *plan);

/* ---- pack_summary.c ---- */

/* Counts of a plan, on stdout. */
int pack_summarize_plan(const struct pack_options *pack, const struct pack_plan *plan, struct error *err);

/* What was made, for people on stderr, or as JSON on stdout. Opening the new files also checks their indexes. */
int pack_summarize(const struct pack_options *pack, const struct pack_plan *plan, const struct pack_result *result,
	const struct pack_bad *bad, const struct shard_set_result *made, struct error *err);

#endif
