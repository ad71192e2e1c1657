/* SPDX-License-Identifier: Apache-2.0 */
/* What commands have in common that write records into shards: options, the writer, the summary. Records are copied as
 * they are: images byte for byte, with their metadata. */
#ifndef RINGCLR_TOOLS_SET_OUTPUT_H
#define RINGCLR_TOOLS_SET_OUTPUT_H

#include "io/shard_set_writer.h"
#include "tools/input_sets.h"
#include "tools/options.h"

struct set_output_options {
	uint64_t shard_size, zstd, block, dictionary;
};

#define SET_OUTPUT_OPTIONS(S, field)                                                                                   \
	OPTION_SIZE(S, field.shard_size, "shard-size", "0", 0, UINT64_C(1) << 50,                                      \
		"several shards, each of about this size: out-00000-of-00012.ring and so on beside a manifest "        \
		"out.json, which other commands take for the whole set; 0: one shard"),                                \
		OPTION_U64(S, field.zstd, "zstd", "LEVEL", "auto", 0, 19,                                              \
			"compression of blocks; 0 stores them; auto: as `ringclr pack` chooses", .choices = "auto"),   \
		OPTION_SIZE(S, field.block, "block", "auto", 4096, 1 << 30,                                            \
			"size of blocks; auto: as `ringclr pack` chooses", .choices = "auto"),                         \
		OPTION_SIZE(S, field.dictionary, "dictionary", "auto", SHARD_DICTIONARY_MIN, 1 << 20,                  \
			"a dictionary for zstd of this size; auto: as `ringclr pack` chooses", .choices = "auto|none")

/* One line of provenance: "ringclr 1.0 merge a.ring b.ring", with what `settings` adds before the inputs; malloc'd.
 * NULL: out of memory, said in *err. */
char *set_output_origin(
	const char *command, const char *settings, const char *const *inputs, unsigned count, struct error *err);

/* A writer for `records` of the inputs' records; path and origin live until it is finished. */
struct shard_set_writer *set_output_create(const struct set_output_options *options, const char *path,
	const char *origin, const struct input_sets *sets, uint64_t records, struct error *err);

/* For people on stderr; path: what the user gets to open. */
void set_output_print(const struct shard_set_result *result, const char *path, double seconds);
cJSON *set_output_json(const struct shard_set_result *result, const char *path);

#endif
