/* SPDX-License-Identifier: Apache-2.0 */
/* ringclr pack: images in, shard out. pack.h says how. */
#include "tools/pack.h"

#include <errno.h>
#include <inttypes.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "pipeline/cpu.h"
#include "tools/command.h"
#include "tools/json.h"
#include "tools/options.h"
#include "tools/pack_braces.h"

struct pack_options {
	const char *output, *root, *classes;
	uint64_t quality, resize_short, zstd, block, dictionary, jobs;
	unsigned codec, bad;
	bool json;
};

enum bad_policy { BAD_FAIL, BAD_SKIP };

static const struct option_spec spec[] = {
	OPTION_GROUP("Input"),
	OPTION_STRING(struct pack_options, root, "root", "DIR", NULL,
		"take only what lies below this folder of the input; classes are the folders below it"),
	OPTION_STRING(struct pack_options, classes, "classes", "FILE", NULL,
		"class names, one a line, in the order of their labels; default: the names found, in order of their "
		"bytes. Give the same file for a data set's other parts, so that labels agree"),
	OPTION_CHOICE(struct pack_options, bad, "bad", "fail|skip", "fail",
		"an image that does not decode: stop and write nothing, or leave it out and say so"),
	OPTION_GROUP("Images"),
	OPTION_CHOICE(struct pack_options, codec, "codec", "keep|raw|webp|webp-lossless", "keep",
		"how images are stored: the file's own bytes, RGB pixels, or encoded again as WebP"),
	OPTION_U64(struct pack_options, quality, "quality", "N", "90", 0, 100, "of --codec webp"),
	OPTION_U64(struct pack_options, resize_short, "resize-short", "PIXELS", "0", 0, SHARD_MAX_SIDE,
		"shrink larger images so that the short side has this many pixels (bicubic, antialiased); 0: as they "
		"are. "
		"Needs a --codec other than keep"),
	OPTION_GROUP("Output"),
	OPTION_STRING(struct pack_options, output, "output", "FILE", NULL,
		"the shard to write, usually named .ring; appears whole or not at all", .letter = 'o',
		.required = true),
	OPTION_U64(struct pack_options, zstd, "zstd", "LEVEL", "auto", 0, 19,
		"compression of blocks; 0 stores them. Pays for small images, whose headers repeat. A block that gains "
		"less than 3%, as of photos, is stored as it is, whatever the level. auto: the lowest of 3, 6 and 9 "
		"whose file is at most 1% larger than the smallest of them",
		.choices = "auto"),
	OPTION_SIZE(struct pack_options, block, "block", "auto", 4096, 1 << 30,
		"images gather in blocks of this size, the unit of reading and compression. auto: the smallest of 16K, "
		"32K and 64K whose file is at most 3% larger than the smallest of them, each block closed where its "
		"pages are full",
		.choices = "auto"),
	OPTION_SIZE(struct pack_options, dictionary, "dictionary", "auto", SHARD_DICTIONARY_MIN, 1 << 20,
		"what images have in common, for zstd to start from in each block; trained on the first images. auto: "
		"where they are small, and it makes the file 3% smaller or allows smaller blocks in a file at most 1% "
		"larger",
		.choices = "auto|none"),
	OPTION_FLAG(struct pack_options, json, "json", NULL, "print a summary as one JSON object", .incidental = true),
	OPTION_GROUP("Speed"),
	OPTION_U64(struct pack_options, jobs, "jobs", "N", "0", 0, 240,
		"threads that decode and encode; 0: one per processor. The file is the same for any number",
		.incidental = true),
};

static const struct option_table table = {
	.command = "pack",
	.spec = spec,
	.count = sizeof(spec) / sizeof(spec[0]),
	.about = "Packs images into a shard, the file that training reads. Every image is decoded once to check it. "
		 "Records come in order of their paths (folders) or as they lie in the archive; a record's key is its "
		 "path in the input. Its class is the first folder of that path, or the text of key.cls beside key.jpg "
		 "(WebDataset), or the label in a CIFAR batch; images in no folder get label -1. JPEG, PNG, WebP, PPM "
		 "and PGM "
		 "are packed (PPM and PGM as pixels), other files ignored and counted.",
	.operands = "IN",
	.operand_help =
		"a folder of images; a .tar (also .gz, .zst, .xz, .bz2) or .zip, and WebDataset's shards: key.cls is "
		"the "
		"label of key.jpg, key.json its metadata. train-{000000..000146}.tar, in quotes too, is all of them. A "
		"CIFAR-10 or CIFAR-100 binary batch (.bin). A folder of MosaicML's MDS shards (index.json; raw or "
		"zstd). A "
		"NumPy array of uint8 (.npy; [N,H,W,3], [N,3,H,W], [N,H,W]), or several with labels (.npz). A list "
		"(.tsv, "
		".txt): a path a line, after tabs its label and metadata; a first line 'path<TAB>label<TAB>camera' "
		"names the "
		"columns; paths start at the list's folder. - is a list on standard input, whose paths start here: "
		"find "
		"photos -name '*.jpg' | ringclr pack - -o photos.ring (also with -print0)",
	.operand_min = 1,
	.operand_max = OPTIONS_ANY,
	.examples =
		"ringclr pack photos/ -o photos.ring\n"
		"ringclr pack cifar10.tar.zst --root train -o train.ring\n"
		"ringclr pack imagenet/train -o train256.ring --codec webp --quality 90 --resize-short 256 --zstd 0\n"
		"ringclr pack tiles/ -o tiles.ring --block 64K --zstd 3 --dictionary none\n"
		"ringclr pack 'shards/train-{000000..000146}.tar' -o train.ring\n"
		"ringclr pack labels.tsv -o photos.ring\n"
		"ringclr pack cifar-10-batches-bin/data_batch_*.bin -o train.ring --codec webp-lossless\n",
};

/* Whether two names are one file. */
static bool same_file(const char *a, const char *b)
{
	struct stat first, second;
	return stat(a, &first) == 0 && stat(b, &second) == 0 && first.st_dev == second.st_dev &&
	       first.st_ino == second.st_ino;
}

/* Finds out early that nothing could be written: the first pass over a large archive takes minutes. */
static int check_output(const char *output, struct error *err)
{
	struct stat status;
	/* A rename would put the shard in the place of /dev/null. */
	if (stat(output, &status) == 0 && !S_ISREG(status.st_mode))
		return error_set(err, ERROR_IO, "--output %s: must be a file; it is a %s", output,
			S_ISDIR(status.st_mode) ? "folder" : "device, pipe or socket");
	char *copy = strdup(output);
	if (copy == NULL)
		return pack_out_of_memory(err);
	const char *folder = dirname(copy);
	int rc = access(folder, W_OK | X_OK) == 0
			 ? 0
			 : error_set_errno(err, ERROR_IO, errno, "cannot write into the folder %s of --output", folder);
	free(copy);
	return rc;
}

static const struct pack_source *find_by_probe(const char *path, const struct stat *status, struct error *err)
{
	/* The first that takes it: what is special comes first. */
	static const struct pack_source *const sources[] = {&pack_source_list, &pack_source_mds,
		&pack_source_mds_packed, &pack_source_folder, &pack_source_cifar, &pack_source_npy, &pack_source_npz,
		&pack_source_archive};
	for (size_t i = 0; i < sizeof(sources) / sizeof(sources[0]); i++) {
		if (sources[i]->probe(path, status))
			return sources[i];
	}
	error_set(err, ERROR_USAGE, "%s: must be a folder or a file, because it is read twice", path);
	return NULL;
}

static const struct pack_source *find_source(const char *path, struct error *err)
{
	struct stat status;
	if (strcmp(path, "-") == 0)
		return find_by_probe(path, NULL, err);
	if (stat(path, &status) != 0) {
		error_set_errno(err, ERROR_IO, errno, "cannot read %s", path);
		return NULL;
	}
	return find_by_probe(path, &status, err);
}

static int tick(struct pack_plan *plan, struct error *err)
{
	if (command_interrupted())
		return error_set(err, ERROR_INTERRUPTED, "interrupted; nothing was written");
	if (isatty(STDERR_FILENO) && plan->count % 1000 == 999)
		fprintf(stderr, "\rlisting: %zu images \033[K", plan->count);
	return 0;
}

static int make_plan(const struct options *options, const char *classes, const struct pack_source **sources,
	struct pack_plan *plan, struct error *err)
{
	int rc = 0;
	for (unsigned i = 0; i < options->operand_count && rc == 0; i++) {
		const char *path = options->operands[i];
		size_t before = plan->count;
		sources[i] = find_source(path, err);
		plan->take_meta = sources[i] != NULL && sources[i]->side_meta;
		rc = sources[i] == NULL ? err->code : sources[i]->scan(path, plan, err);
		if (rc == 0 && plan->count == before && *plan->root != '\0')
			rc = error_set(err, ERROR_FORMAT, "%s: no images below %s (--root)", path, plan->root);
		else if (rc == 0 && plan->count == before)
			rc = error_set(err, ERROR_FORMAT,
				"%s: no images in it (JPEG, PNG, WebP, PPM or PGM; %" PRIu64 " other files)", path,
				plan->ignored);
	}
	if (isatty(STDERR_FILENO))
		fputs("\r\033[K", stderr);
	if (rc == 0)
		rc = pack_plan_end(plan, classes, err);
	if (rc == 0 && plan->deep_key != NULL)
		command_note("pack",
			"note: classes are the first folders, but %s lies deeper; if the class is a later folder, name "
			"what "
			"is before it by --root",
			plan->deep_key);
	return rc;
}

/* Puts what brace ranges stand for in the operands' place. */
static int expand_operands(struct options *options, struct pack_inputs *inputs, struct error *err)
{
	int rc = 0;
	for (unsigned i = 0; i < options->operand_count && rc == 0; i++) {
		/* A file of that very name comes first. */
		bool exists = access(options->operands[i], F_OK) == 0;
		rc = exists ? pack_inputs_add(inputs, options->operands[i], err)
			    : pack_braces_expand(inputs, options->operands[i], err);
	}
	const char **operands = rc == 0 ? calloc(inputs->count, sizeof(*operands)) : NULL;
	if (operands == NULL)
		return rc < 0 ? rc : pack_out_of_memory(err);
	memcpy(operands, inputs->names, inputs->count * sizeof(*operands));
	free(options->operands);
	options->operands = operands;
	options->operand_count = (unsigned)inputs->count;
	return 0;
}

/* One line of provenance: what changes the file's contents, so that the same input gives the same bytes. */
static char *describe_origin(const struct options *options, const struct pack_options *pack)
{
	static const char *const codecs[] = {"keep", "raw", "webp", "webp-lossless"};
	char *text = NULL;
	size_t bytes = 0;
	FILE *out = open_memstream(&text, &bytes);
	if (out == NULL)
		return NULL;
	fprintf(out, "ringclr %s pack --codec %s", RINGCLR_VERSION, codecs[pack->codec]);
	if (pack->codec == PACK_WEBP)
		fprintf(out, " --quality %" PRIu64, pack->quality);
	if (pack->resize_short != 0)
		fprintf(out, " --resize-short %" PRIu64, pack->resize_short);
	if (pack->root != NULL)
		fprintf(out, " --root %s", pack->root);
	for (unsigned i = 0; i < options->operand_count; i++) {
		char *copy = strdup(options->operands[i]);
		fprintf(out, " %s", copy != NULL ? basename(copy) : "");
		free(copy);
	}
	return fclose(out) == 0 ? text : NULL;
}

static int write_shard(const struct options *options, const struct pack_options *pack,
	const struct pack_source *const *sources, const struct pack_plan *plan, struct pack_result *result,
	struct error *err)
{
	char *origin = describe_origin(options, pack);
	const bool tune_block = pack->block == OPTION_WORD(0), tune_level = pack->zstd == OPTION_WORD(0);
	const struct shard_tuner_config config = {.writer = {.path = pack->output,
							  .classes = (const char *const *)plan->classes,
							  .class_count = plan->class_count,
							  .block_bytes = tune_block ? 0 : pack->block,
							  .zstd_level = tune_level ? 3 : (int)pack->zstd,
							  .origin = origin,
							  .meta = plan->has_meta},
		.tune_block = tune_block,
		.tune_level = tune_level,
		.dictionary = pack->dictionary == OPTION_WORD(0)   ? SHARD_DICTIONARY_AUTO
			      : pack->dictionary == OPTION_WORD(1) ? SHARD_DICTIONARY_NONE
								   : pack->dictionary,
		.records = plan->count};
	const struct pack_settings settings = {.inputs = options->operands,
		.sources = sources,
		.codec = (enum pack_codec)pack->codec,
		.quality = (float)pack->quality,
		.resize_short = (uint32_t)pack->resize_short,
		.jobs = pack->jobs != 0 ? (unsigned)pack->jobs : cpu_allowed(),
		.skip_bad = pack->bad == BAD_SKIP,
		.show_progress = isatty(STDERR_FILENO) != 0};
	struct shard_tuner *writer = shard_tuner_create(&config, err);
	int rc = writer == NULL ? err->code : pack_run(&settings, plan, writer, result, err);
	if (rc == 0 && result->written == 0)
		rc = error_set(err, ERROR_DECODE,
			"not one image could be decoded (%" PRIu64 " were bad); nothing was written", result->skipped);
	if (rc == 0)
		rc = shard_tuner_finish(writer, &result->choice, err);
	else
		shard_tuner_abandon(writer);
	free(origin);
	return rc;
}

static void print_choice(const struct shard_choice *choice, uint64_t written)
{
	if (!choice->measured)
		return;
	fprintf(stderr, "chosen on the first %u images: blocks of %zu KiB, zstd level %d, ", choice->sample_records,
		choice->block_bytes >> 10, choice->zstd_level);
	if (choice->dictionary_bytes > 0)
		fprintf(stderr, "dictionary of %.1f KB", (double)choice->dictionary_bytes * 1e-3);
	else
		fprintf(stderr, "no dictionary");
	/* All images, or too few to go by: the line before says what became of them. */
	if (written > choice->sample_records) {
		fprintf(stderr, ": they take %.1f%% of their bytes", choice->share * 100);
		if (choice->dictionary_bytes > 0)
			fprintf(stderr, ", without dictionary %.1f%%", choice->share_without * 100);
	}
	fputc('\n', stderr);
}

/* The last word, for people on stderr, or as JSON on stdout. Opening the new file also checks its index. */
static int summarize(const struct pack_options *pack, const struct pack_plan *plan, const struct pack_result *result,
	struct error *err)
{
	struct shard *shard = shard_open(pack->output, false, err);
	if (shard == NULL)
		return err->code;
	uint64_t file_bytes = shard_file_bytes(shard), fingerprint = shard_fingerprint(shard);
	shard_close(shard);
	double rate = (double)result->written / (result->seconds + 1e-9);
	fprintf(stderr, "%s: %" PRIu64 " images, %u classes, %.1f MB of images in %.1f MB, %.1f s (%.0f images/s)\n",
		pack->output, result->written, plan->class_count, (double)result->image_bytes * 1e-6,
		(double)file_bytes * 1e-6, result->seconds, rate);
	print_choice(&result->choice, result->written);
	if (plan->ignored > 0)
		fprintf(stderr, "%" PRIu64 " other files were ignored\n", plan->ignored);
	if (result->skipped > 0)
		fprintf(stderr, "%" PRIu64 " bad images were left out\n", result->skipped);
	if (!pack->json)
		return 0;
	cJSON *object = cJSON_CreateObject();
	cJSON_AddStringToObject(object, "output", pack->output);
	cJSON_AddNumberToObject(object, "records", (double)result->written);
	cJSON_AddNumberToObject(object, "classes", plan->class_count);
	cJSON_AddNumberToObject(object, "skipped", (double)result->skipped);
	cJSON_AddItemToObject(object, "skips", cJSON_Duplicate(result->skips, true));
	cJSON_AddNumberToObject(object, "ignored", (double)plan->ignored);
	cJSON_AddNumberToObject(object, "source_bytes", (double)result->source_bytes);
	cJSON_AddNumberToObject(object, "image_bytes", (double)result->image_bytes);
	cJSON_AddNumberToObject(object, "file_bytes", (double)file_bytes);
	cJSON_AddNumberToObject(object, "block_bytes", (double)result->choice.block_bytes);
	cJSON_AddNumberToObject(object, "zstd_level", result->choice.zstd_level);
	cJSON_AddNumberToObject(object, "dictionary_bytes", (double)result->choice.dictionary_bytes);
	json_add_hash(object, "fingerprint", fingerprint);
	cJSON_AddNumberToObject(object, "seconds", result->seconds);
	cJSON_AddNumberToObject(object, "images_per_second", rate);
	return json_print(object) == EXIT_OK ? 0 : error_set(err, ERROR_MEMORY, "out of memory");
}

static int check_options(const struct options *options, const struct pack_options *pack, struct error *err)
{
	if (pack->resize_short > 0 && pack->codec == PACK_KEEP)
		return error_set(err, ERROR_USAGE,
			"--resize-short makes new images, which --codec keep cannot store (there is no JPEG encoder "
			"here): "
			"add --codec webp, webp-lossless or raw");
	if (options_given(options, "quality") && pack->codec != PACK_WEBP)
		return error_set(err, ERROR_USAGE, "--quality is for --codec webp only");
	for (unsigned i = 0; i < options->operand_count; i++) {
		if (same_file(options->operands[i], pack->output))
			return error_set(err, ERROR_USAGE, "--output %s is also an input", pack->output);
	}
	return check_output(pack->output, err);
}

/* --root without slashes at its ends; NULL when memory is out. */
static char *clean_root(const struct pack_options *pack)
{
	char *root = strdup(pack->root != NULL ? pack->root : "");
	if (root != NULL)
		pack_clean_path(root);
	return root;
}

int command_pack(int argc, char **argv)
{
	struct options options;
	struct pack_options pack;
	struct error err = {0};
	int status = options_parse(&options, &table, &pack, argc, argv);
	if (status != OPTIONS_GO)
		return status;
	command_catch_interrupts();
	struct pack_result result = {.skips = cJSON_CreateArray()};
	char *root = clean_root(&pack);
	struct pack_inputs inputs = {0};
	int rc = expand_operands(&options, &inputs, &err);
	const struct pack_source **sources = calloc(options.operand_count, sizeof(const struct pack_source *));
	struct pack_plan plan = {.root = root};
	if (rc == 0)
		rc = check_options(&options, &pack, &err);
	if (rc == 0)
		rc = pack_plan_create(&plan, root, pack.output, &err);
	plan.tick = tick;
	if (result.skips == NULL || root == NULL || sources == NULL)
		rc = pack_out_of_memory(&err);
	else if (rc == 0)
		rc = make_plan(&options, pack.classes, sources, &plan, &err);
	if (rc == 0)
		rc = write_shard(&options, &pack, sources, &plan, &result, &err);
	if (rc == 0)
		rc = summarize(&pack, &plan, &result, &err);
	pack_plan_free(&plan);
	free(sources);
	free(root);
	cJSON_Delete(result.skips);
	options_free(&options);
	pack_inputs_free(&inputs);
	return rc == 0 ? EXIT_OK : command_fail("pack", &err);
}
