/* SPDX-License-Identifier: Apache-2.0 */
/* What every command that runs the pipeline shares: options for threads, reading and memory, and the objects made from
 * them. */
#ifndef RINGCLR_TOOLS_RUNTIME_H
#define RINGCLR_TOOLS_RUNTIME_H

#include "pipeline/arena.h"
#include "pipeline/cpu.h"
#include "pipeline/placement.h"
#include "pipeline/team.h"
#include "stages/loader.h"
#include "tools/options.h"

struct runtime_options {
	uint64_t threads, loader_threads, unpackers, depth, batch_slots, mem;
	unsigned io;	 /* enum engine_kind */
	unsigned bad;	 /* enum decode_bad */
	unsigned cache;	 /* enum cache_kind */
	unsigned decode; /* enum decode_mode */
	const char *pin, *isa;
	bool direct, check_hashes, autotune;
};

/* For the commands that can: see autotune.h. */
#define AUTOTUNE_OPTION(S, m)                                                                                          \
	OPTION_FLAG(S, m.autotune, "autotune", "no",                                                                   \
		"choose --loader-threads, --unpack-threads, --depth and --batch-slots from a second's measured "       \
		"loading, and say why. It replaces what those options say, and looks at the loader alone; not with "   \
		"--dry-run",                                                                                           \
		.incidental = true)

/* Entries for an option table whose struct S has a `struct runtime_options` member m. None of them changes a result,
 * except isa (the last bits), decode (of large JPEGs), bad, and mem where the order of images is left to be chosen
 * (runtime_choose_order()). */
#define RUNTIME_OPTIONS(S, m)                                                                                          \
	OPTION_GROUP("Threads, reading, memory"),                                                                      \
		OPTION_U64(S, m.threads, "threads", "N", "0", 0, 1024, "compute threads; 0: one per processor",        \
			.incidental = true),                                                                           \
		OPTION_U64(S, m.loader_threads, "loader-threads", "N", "0", 0, 200,                                    \
			"threads that decode and augment; 0: one per two processors", .incidental = true),             \
		OPTION_U64(S, m.unpackers, "unpack-threads", "N", "1", 1, 32,                                          \
			"threads that check and decompress blocks", .incidental = true),                               \
		OPTION_CHOICE(S, m.io, "io", "auto|uring|pread", "auto",                                               \
			"how to read: io_uring, pread, or io_uring where the kernel allows it", .incidental = true),   \
		OPTION_FLAG(                                                                                           \
			S, m.direct, "direct", "no", "read with O_DIRECT, past the page cache", .incidental = true),   \
		OPTION_U64(S, m.depth, "depth", "N", "32", 1, 4096, "reads in flight", .incidental = true),            \
		OPTION_U64(S, m.batch_slots, "batch-slots", "N", "3", 2, 64, "batches made ahead of training",         \
			.incidental = true),                                                                           \
		OPTION_CHOICE(S, m.cache, "cache", "auto|none|packed|decoded", "auto",                                 \
			"what stays in memory once it was read: images as stored but decompressed (packed), and "      \
			"their pixels "                                                                                \
			"too (decoded); auto: decoded where all of it fits, else packed, as much as fits. It takes "   \
			"what "                                                                                        \
			"--mem leaves over, or half the memory available. eval (but for --solver sgd) and embed read " \
			"images "                                                                                      \
			"once and keep nothing",                                                                       \
			.incidental = true),                                                                           \
		OPTION_FLAG(S, m.check_hashes, "check-hashes", "yes", "check every block's hash as it is read",        \
			.incidental = true),                                                                           \
		OPTION_CHOICE(S, m.bad, "bad", "fail|skip", "fail",                                                    \
			"an image that is damaged: fail, or put the next good one in its place and list it"),          \
		OPTION_CHOICE(S, m.decode, "decode", "needed|full", "needed",                                          \
			"needed: the part of an image that its crops need, a JPEG at 1/2, 1/4 or 1/8 of its size "     \
			"where the smallest crop still has a pixel for each of the view's; full: all of it at full "   \
			"size. Pixels differ only where a JPEG is scaled"),                                            \
		OPTION_STRING(S, m.pin, "pin", "auto|none|LIST", "auto",                                               \
			"processors to pin threads to, e.g. 0,2,4-7; compute threads come first", .incidental = true), \
		OPTION_STRING(S, m.isa, "isa", "NAME", "auto", "kernels: auto, portable, avx2, avx512 or avx512bf16"), \
		OPTION_SIZE(S, m.mem, "mem", "0", 0, UINT64_MAX,                                                       \
			"refuse to start when the plan needs more; 0: no limit", .incidental = true)

struct runtime {
	struct runtime_options options;
	unsigned loader_threads;
	enum cpu_isa isa;
	struct placement *placement;
	struct team *team;
	struct arena *arena;
};

int runtime_start(struct runtime *runtime, const struct runtime_options *options, struct error *err);
void runtime_stop(
	struct runtime *runtime); /* also after a failed start; frees the arena with all that was drawn from it */

/* The loader's configuration, but for set, plan, policy, views and batch. */
struct loader_config runtime_loader_config(const struct runtime *runtime);

/* loader_choose_order() with --mem. */
enum epoch_order runtime_choose_order(
	const struct runtime_options *options, const struct shard_set *set, const char **reason);

/* Gives the loader the cache of --cache, with what limit_bytes (--mem; 0: none) leaves over. The last thing to draw. */
int runtime_add_cache(struct runtime *runtime, struct loader *loader, uint64_t limit_bytes, struct error *err);
/* "packed, 151.2 MiB, 50 of 50 blocks" */
void runtime_describe_cache(const struct loader *loader, char *text, size_t capacity);

/* Opens the shards named on a command line; the caller closes them. */
struct shard_set *runtime_open_shards(
	const struct runtime *runtime, const char *const *paths, unsigned count, struct error *err);

#endif
