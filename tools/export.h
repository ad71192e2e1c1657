/* SPDX-License-Identifier: Apache-2.0 */
/* What the formats of `ringclr export` share. All write into one folder, which appears whole or not at all. */
#ifndef RINGCLR_TOOLS_EXPORT_H
#define RINGCLR_TOOLS_EXPORT_H

#include "io/atomic_folder.h"
#include "tools/output_image.h"
#include "tools/record_filter.h"

struct export_job {
	struct input_sets *sets;
	const struct record_selection *selection;
	struct atomic_folder *folder;
	const char *prefix; /* of WebDataset's tars */
	enum output_raw raw_as;
	uint64_t shard_bytes;
	int zstd_level; /* of MDS; 0: not compressed */
	/* What came of it. */
	uint64_t shards, bytes; /* of images */
	double seconds;
};

/* The name of a record in a format; false when its class makes none. */
typedef bool (*export_name)(const struct export_job *job, const struct input_record *record, struct output_path *path);

struct export_format {
	export_name name;   /* NULL: the format has no names of files */
	const char *beside; /* suffix of a file that every record has beside its image; NULL: none */
	int (*run)(struct export_job *job, struct error *err);
};

bool export_webdataset_name(const struct export_job *job, const struct input_record *record, struct output_path *path);
int export_webdataset(struct export_job *job, struct error *err);
int export_mds(struct export_job *job, struct error *err);

#endif
