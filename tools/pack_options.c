/* SPDX-License-Identifier: Apache-2.0 */
/* The options of `ringclr pack`. */
#include "tools/pack_options.h"

#include <errno.h>
#include <inttypes.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include "tools/command.h"

/* What pack and append have in common. */
#define INPUT_OPTIONS                                                                                                  \
	OPTION_STRING(struct pack_options, label_regex, "label-regex", "REGEX", NULL,                                  \
		"POSIX extended regular expression; what its first group finds in a key is the class, whatever "       \
		"folders "                                                                                             \
		"and files say. Keys that it does not match get label -1"),                                            \
		OPTION_STRING(struct pack_options, meta, "meta", "FILE", NULL,                                         \
			"metadata to keep with the records: JSON objects, one a line, each with the \"key\" of its "   \
			"image. They "                                                                                 \
			"take the place of those in the input, which are .json files beside images in archives "       \
			"(WebDataset) "                                                                                \
			"and "                                                                                         \
			"the further columns of lists"),                                                               \
		OPTION_FLAG(struct pack_options, no_meta, "no-meta", NULL, "keep no metadata")
#define BAD_OPTIONS                                                                                                    \
	OPTION_GROUP("Bad images"),                                                                                    \
		OPTION_CHOICE(struct pack_options, bad, "bad", "fail|skip|quarantine", "fail",                         \
			"an image that does not decode: stop and write nothing, leave it out and say so, or leave it " \
			"out and "                                                                                     \
			"put its bytes into --quarantine. Every image is checked"),                                    \
		OPTION_STRING(struct pack_options, quarantine, "quarantine", "DIR", NULL,                              \
			"where the bytes of bad images go, each under its key. Made if need be"),                      \
		OPTION_STRING(struct pack_options, bad_report, "bad-report", "FILE", NULL,                             \
			"table of bad images to write: key, input and reason, separated by tabs"),                     \
		OPTION_FLAG(struct pack_options, allow_truncated, "allow-truncated", NULL,                             \
			"take JPEGs that are cut short: what is missing becomes gray. --codec keep writes them anew "  \
			"without "                                                                                     \
			"loss, as whole files"),                                                                       \
		OPTION_SIZE(struct pack_options, max_pixels, "max-pixels", "256M", 1,                                  \
			(uint64_t)SHARD_MAX_SIDE *SHARD_MAX_SIDE,                                                      \
			"an image with more pixels is bad, by its header alone, before memory is taken. Decoding "     \
			"needs 3 bytes "                                                                               \
			"a "                                                                                           \
			"pixel for each of --jobs, turning 3 more, shrinking up to 12 more")
#define IMAGE_OPTIONS                                                                                                  \
	OPTION_GROUP("Images"),                                                                                        \
		OPTION_CHOICE(struct pack_options, codec, "codec", "keep|raw|webp|webp-lossless|jpeg", "keep",         \
			"how images are stored: the file's own bytes, RGB pixels, or encoded again"),                  \
		OPTION_U64(struct pack_options, quality, "quality", "N", "90", 0, 100, "of --codec webp and jpeg"),    \
		OPTION_U64(struct pack_options, resize_short, "resize-short", "PIXELS", "0", 0, SHARD_MAX_SIDE,        \
			"shrink larger images so that the short side has this many pixels (bicubic, antialiased); 0: " \
			"as they "                                                                                     \
			"are. Needs a --codec other than keep"),                                                       \
		OPTION_CHOICE(struct pack_options, exif, "exif", "ignore|apply", "ignore",                             \
			"the orientation that cameras write into their files: pixels as stored, or turned the right "  \
			"way up. "                                                                                     \
			"--codec keep turns JPEGs without loss where their size allows it, and encodes the others "    \
			"again at "                                                                                    \
			"quality 95 (WebP: without loss)")
#define COMPRESSION_OPTIONS                                                                                            \
	OPTION_U64(struct pack_options, zstd, "zstd", "LEVEL", "auto", 0, 19,                                          \
		"compression of blocks; 0 stores them. Pays for small images, whose headers repeat. A block that "     \
		"gains "                                                                                               \
		"less than 3%, as of photos, is stored as it is, whatever the level. auto: the lowest of 3, 6 and 9 "  \
		"whose file is at most 1% larger than the smallest of them",                                           \
		.choices = "auto"),                                                                                    \
		OPTION_SIZE(struct pack_options, block, "block", "auto", 4096, 1 << 30,                                \
			"images gather in blocks of this size, the unit of reading and compression. auto: the "        \
			"smallest of 16K, "                                                                            \
			"32K and 64K whose file is at most 3% larger than the smallest of them, each block closed "    \
			"where its "                                                                                   \
			"pages are full",                                                                              \
			.choices = "auto"),                                                                            \
		OPTION_SIZE(struct pack_options, dictionary, "dictionary", "auto", SHARD_DICTIONARY_MIN, 1 << 20,      \
			"what images have in common, for zstd to start from in each block; trained on the first "      \
			"images. auto: "                                                                               \
			"where they are small, and it makes the file 3% smaller or allows smaller blocks in a file "   \
			"at most 1% "                                                                                  \
			"larger",                                                                                      \
			.choices = "auto|none")
#define LAST_OPTIONS                                                                                                   \
	OPTION_FLAG(struct pack_options, dry_run, "dry-run", NULL,                                                     \
		"only list the inputs, and print how many images of each class would go where", .incidental = true),   \
		OPTION_FLAG(struct pack_options, json, "json", NULL, "print a summary as one JSON object",             \
			.incidental = true),                                                                           \
		OPTION_GROUP("Speed"),                                                                                 \
		OPTION_U64(struct pack_options, jobs, "jobs", "N", "0", 0, 240,                                        \
			"threads that decode and encode; 0: one per processor. The file is the same for any number",   \
			.incidental = true)

#define INPUT_HELP                                                                                                     \
	"a folder of images; a .tar (also .gz, .zst, .xz, .bz2) or .zip, also of WebDataset, where key.cls is "        \
	"the label of key.jpg and key.json its metadata ('train-{000000..000146}.tar' names them all); a "             \
	"CIFAR-10 "                                                                                                    \
	"or CIFAR-100 binary batch (.bin); a folder of MDS shards (index.json; raw or zstd); a NumPy array of "        \
	"uint8 (.npy: [N,H,W,3], [N,3,H,W], [N,H,W]), or several with labels (.npz); a list (.tsv, .txt) of "          \
	"paths "                                                                                                       \
	"from the list's folder, one a line, after tabs a label and metadata, whose names a first line "               \
	"'path<TAB>label<TAB>camera' gives; -, a list on standard input of paths from here, also of find "             \
	"-print0"

static const struct option_spec spec[] = {
	OPTION_GROUP("Input"),
	OPTION_STRING(struct pack_options, root, "root", "DIR", NULL,
		"take only what lies below this folder of the input; classes are the folders below it"),
	OPTION_STRING(struct pack_options, classes, "classes", "FILE", NULL,
		"class names, one a line, in the order of their labels; default: the names found, in order of their "
		"bytes. Give the same file for a data set's other parts, so that labels agree"),
	INPUT_OPTIONS,
	BAD_OPTIONS,
	OPTION_CHOICE(struct pack_options, dedupe, "dedupe", "keep|report|drop", "keep",
		"images whose stored bytes are equal (by XXH3-64: among 100 million different images the chance of any "
		"mistake is 1 in 3700): not looked for, listed on standard output with the first of their kind, or all "
		"but the first left out, of training and validation together"),
	IMAGE_OPTIONS,
	OPTION_GROUP("Choice of records"),
	OPTION_STRING(struct pack_options, shuffle, "shuffle", "SEED", NULL,
		"records in a random order, the same for the same number. Of archives, which are read from front to "
		"back, the images lie in a temporary file beside the output meanwhile"),
	OPTION_DOUBLE(struct pack_options, validation, "validation", "F", "0", 0, 0.999,
		"fraction of every class that goes to a second output instead, drawn by --split-seed and key: images "
		"that join the data set move few others from one part to the other"),
	OPTION_STRING(struct pack_options, validation_match, "validation-match", "REGEX", NULL,
		"the same with the images whose key this POSIX extended regular expression matches"),
	OPTION_STRING(struct pack_options, validation_classes, "validation-classes", "NAMES", NULL,
		"the same with whole classes, their names separated by commas"),
	OPTION_STRING(struct pack_options, validation_output, "validation-output", "FILE", NULL,
		"the second output; default: --output with -validation before .ring"),
	OPTION_DOUBLE(struct pack_options, label_fraction, "label-fraction", "F", "1", 0, 1,
		"keep this fraction of the labelled images, as many of every class (or all, if it has fewer), drawn by "
		"--split-seed and key; images without a label are left out. 0.01 and 0.1 are SimCLR's semi-supervised "
		"subsets. A validation part stays whole"),
	OPTION_U64(struct pack_options, split_seed, "split-seed", "N", "0", 0, UINT64_MAX,
		"another number draws other images"),
	OPTION_GROUP("Output"),
	OPTION_STRING(struct pack_options, output, "output", "FILE", NULL,
		"the shard to write, usually named .ring; appears whole or not at all", .letter = 'o',
		.required = true),
	OPTION_SIZE(struct pack_options, shard_size, "shard-size", "0", 0, UINT64_C(1) << 50,
		"several shards, each of about this size: train-00000-of-00012.ring and so on beside a manifest "
		"train.json, which other commands take for the whole set; 0: one shard",
		.choices = NULL),
	OPTION_FLAG(struct pack_options, resume, "resume", NULL,
		"go on where an earlier run of the same command was killed, with the same result; start anew where "
		"there is nothing to go on with",
		.incidental = true),
	COMPRESSION_OPTIONS,
	LAST_OPTIONS,
};

const struct option_table command_pack_table = {
	.command = "pack",
	.spec = spec,
	.count = sizeof(spec) / sizeof(spec[0]),
	.about = "Packs images into a shard, the file that training reads. Every image is decoded once to check it. "
		 "Records come in order of their paths (folders) or as they lie in the archive; a record's key is its "
		 "path in the input. Its class is the first folder of that path, or the text of key.cls beside key.jpg "
		 "(WebDataset), or the label in a CIFAR batch; images in no folder get label -1. JPEG, PNG, WebP, "
		 "PPM and PGM are packed (the last two as pixels), other files ignored and counted. At most 64 bytes "
		 "of memory are taken for an image of the "
		 "inputs, beside the outputs' indexes.",
	.operands = "IN",
	.operand_help = INPUT_HELP,
	.operand_min = 1,
	.operand_max = OPTIONS_ANY,
	.examples =
		"ringclr pack photos/ -o photos.ring\n"
		"ringclr pack photos/ -o photos.ring --bad quarantine --quarantine bad/ --bad-report bad.tsv\n"
		"ringclr pack photos/ -o train.ring --validation 0.1 --shuffle 1 --shard-size 1G\n"
		"ringclr pack cifar10.tar.zst --root train -o train.ring\n"
		"ringclr pack imagenet/train -o train256.ring --codec webp --quality 90 --resize-short 256 --zstd 0\n"
		"ringclr pack imagenet/train -o onepercent.ring --label-fraction 0.01\n"
		"ringclr pack flowers.tar -o flowers.ring --label-regex '_([a-z]+)[0-9]*\\.jpg$'\n"
		"ringclr pack tiles/ -o tiles.ring --block 64K --zstd 3 --dictionary none\n"
		"ringclr pack 'shards/train-{000000..000146}.tar' -o train.ring\n"
		"find photos -name '*.jpg' | ringclr pack - -o photos.ring\n"
		"ringclr pack labels.tsv -o photos.ring\n"
		"ringclr pack cifar-10-batches-bin/data_batch_*.bin -o train.ring --codec webp-lossless\n",
};

static const struct option_spec append_spec[] = {
	OPTION_GROUP("Input"),
	OPTION_STRING(struct pack_options, root, "root", "DIR", NULL,
		"take only what lies below this folder of the input; classes are the folders below it"),
	INPUT_OPTIONS,
	OPTION_CHOICE(struct pack_options, existing, "existing", "fail|skip", "fail",
		"an image whose key the set has already: stop and change nothing, or leave it out. With skip, after "
		"images have come to a folder, only those are added"),
	BAD_OPTIONS,
	OPTION_CHOICE(struct pack_options, dedupe, "dedupe", "keep|report|drop", "keep",
		"images whose stored bytes are equal (by XXH3-64: among 100 million different images the chance of any "
		"mistake is 1 in 3700): not looked for, listed on standard output with the first of their kind, or all "
		"but the first left out, among those that are added"),
	IMAGE_OPTIONS,
	OPTION_GROUP("Output"),
	OPTION_SIZE(struct pack_options, shard_size, "shard-size", "0", 0, UINT64_C(1) << 50,
		"size of the shards that are added to a manifest's set; 0: one shard", .choices = NULL),
	COMPRESSION_OPTIONS,
	LAST_OPTIONS,
};

const struct option_table command_append_table = {
	.command = "append",
	.spec = append_spec,
	.count = sizeof(append_spec) / sizeof(append_spec[0]),
	.about =
		"Adds images to a data set that stands, which then appears with them in one step: to the manifest of a "
		"set "
		"as further shards, to a single shard in its file, whose blocks are copied, not made again. The "
		"classes "
		"are the set's; an image of another class is refused. In a single shard blocks are as large as they "
		"are "
		"and compressed with its dictionary, whatever --block and --dictionary say, and it takes metadata only "
		"if it has some. Inputs and keys are as of 'ringclr pack'.",
	.operands = "SHARD IN",
	.operand_help = "first the data set, a shard or a manifest (.json); then inputs: " INPUT_HELP,
	.operand_min = 2,
	.operand_max = OPTIONS_ANY,
	.examples = "ringclr append photos.ring 2024/ --existing skip\n"
		    "ringclr append train.json more.tar --shard-size 1G\n",
};

/* Finds out early that nothing could be written: the first pass over a large archive takes minutes. */
static int check_output(const char *option, const char *output, struct error *err)
{
	struct stat status;
	/* A rename would put the shard in the place of /dev/null. */
	if (stat(output, &status) == 0 && !S_ISREG(status.st_mode))
		return error_set(err, ERROR_IO, "%s %s: must be a file; it is a %s", option, output,
			S_ISDIR(status.st_mode) ? "folder" : "device, pipe or socket");
	char *copy = strdup(output);
	if (copy == NULL)
		return pack_out_of_memory(err);
	const char *folder = dirname(copy);
	int rc = access(folder, W_OK | X_OK) == 0 ? 0
						  : error_set_errno(err, ERROR_IO, errno,
							    "cannot write into the folder %s of %s", folder, option);
	free(copy);
	return rc;
}

static int check_outputs(const struct options *options, const struct pack_options *pack, struct error *err)
{
	const struct command_output outputs[] = {{pack->append ? "the set" : "--output", pack->output},
		{"--validation-output", pack->validation_output}, {"--bad-report", pack->bad_report}};
	for (size_t i = 0; i < sizeof(outputs) / sizeof(outputs[0]); i++) {
		if (outputs[i].path == NULL)
			continue;
		for (unsigned in = 0; in < options->operand_count; in++) {
			if (command_same_file(options->operands[in], outputs[i].path))
				return error_set(
					err, ERROR_USAGE, "%s %s is also an input", outputs[i].option, outputs[i].path);
		}
		for (size_t other = 0; other < i; other++) {
			if (outputs[other].path != NULL && command_same_file(outputs[i].path, outputs[other].path))
				return error_set(err, ERROR_USAGE, "%s and %s are the same file, %s",
					outputs[other].option, outputs[i].option, outputs[i].path);
		}
		int rc = pack->dry_run ? 0 : check_output(outputs[i].option, outputs[i].path, err);
		if (rc < 0)
			return rc;
	}
	return 0;
}

int pack_options_check(const struct options *options, const struct pack_options *pack, struct error *err)
{
	int splits = (pack->validation > 0) + (pack->validation_match != NULL) + (pack->validation_classes != NULL);
	char *end = NULL;
	if (pack->resize_short > 0 && pack->codec == PACK_KEEP)
		return error_set(err, ERROR_USAGE,
			"--resize-short makes new images, which --codec keep cannot store: add --codec jpeg, webp, "
			"webp-lossless or raw");
	if (options_given(options, "quality") && pack->codec != PACK_WEBP && pack->codec != PACK_JPEG)
		return error_set(err, ERROR_USAGE, "--quality is for --codec webp and jpeg");
	if (pack->codec == PACK_JPEG && pack->quality == 0)
		return error_set(err, ERROR_USAGE, "--quality of --codec jpeg is 1 to 100");
	if ((pack->bad == PACK_BAD_QUARANTINE) != (pack->quarantine != NULL))
		return error_set(err, ERROR_USAGE, "--bad quarantine and --quarantine DIR go together");
	if (pack->bad_report != NULL && pack->bad == PACK_BAD_FAIL)
		return error_set(
			err, ERROR_USAGE, "--bad-report needs --bad skip or quarantine: fail stops at the first");
	if (pack->meta != NULL && pack->no_meta)
		return error_set(err, ERROR_USAGE, "--meta and --no-meta exclude each other");
	if (splits > 1)
		return error_set(err, ERROR_USAGE,
			"--validation, --validation-match and --validation-classes exclude each other");
	if (splits == 0 && options_given(options, "validation-output"))
		return error_set(err, ERROR_USAGE, "--validation-output needs --validation or one of its kind");
	if (!pack->append && pack->label_fraction <= 0)
		return error_set(err, ERROR_USAGE, "--label-fraction must be more than 0");
	if (pack->shuffle != NULL &&
		(*pack->shuffle < '0' || *pack->shuffle > '9' || (strtoull(pack->shuffle, &end, 10), *end != '\0')))
		return error_set(err, ERROR_USAGE, "--shuffle %s: must be a number, the seed", pack->shuffle);
	return check_outputs(options, pack, err);
}

char *pack_options_origin(const struct options *options, const struct pack_options *pack)
{
	static const char *const codecs[] = {"keep", "raw", "webp", "webp-lossless", "jpeg"};
	char *text = NULL;
	size_t bytes = 0;
	FILE *out = open_memstream(&text, &bytes);
	if (out == NULL)
		return NULL;
	fprintf(out, "ringclr %s pack --codec %s", RINGCLR_VERSION, codecs[pack->codec]);
	if (pack->codec == PACK_WEBP || pack->codec == PACK_JPEG)
		fprintf(out, " --quality %" PRIu64, pack->quality);
	if (pack->resize_short != 0)
		fprintf(out, " --resize-short %" PRIu64, pack->resize_short);
	if (pack->root != NULL)
		fprintf(out, " --root %s", pack->root);
	if (pack->label_regex != NULL)
		fprintf(out, " --label-regex %s", pack->label_regex);
	if (pack->exif == PACK_EXIF_APPLY)
		fprintf(out, " --exif apply");
	if (pack->allow_truncated)
		fprintf(out, " --allow-truncated");
	if (pack->dedupe == PACK_DEDUPE_DROP)
		fprintf(out, " --dedupe drop");
	if (pack->validation > 0)
		fprintf(out, " --validation %g", pack->validation);
	if (pack->validation_match != NULL)
		fprintf(out, " --validation-match %s", pack->validation_match);
	if (pack->validation_classes != NULL)
		fprintf(out, " --validation-classes %s", pack->validation_classes);
	if (pack->label_fraction < 1)
		fprintf(out, " --label-fraction %g", pack->label_fraction);
	if (pack->split_seed != 0)
		fprintf(out, " --split-seed %" PRIu64, pack->split_seed);
	if (pack->shuffle != NULL)
		fprintf(out, " --shuffle %s", pack->shuffle);
	for (unsigned i = 0; i < options->operand_count; i++) {
		char *copy = strdup(options->operands[i]);
		fprintf(out, " %s", copy != NULL ? basename(copy) : "");
		free(copy);
	}
	return fclose(out) == 0 ? text : NULL;
}

static void hash_text(XXH3_state_t *state, const char *text)
{
	XXH3_64bits_update(state, text != NULL ? text : "", text != NULL ? strlen(text) + 1 : 1);
}

/* The files' contents are not looked at: the ones that have been written are not read again. */
uint64_t pack_options_identity(
	const struct options *options, const struct pack_options *pack, const struct pack_plan *plan)
{
	XXH3_state_t *state = XXH3_createState();
	if (state == NULL)
		return 0;
	XXH3_64bits_reset(state);
	char *origin = pack_options_origin(options, pack);
	hash_text(state, origin);
	free(origin);
	const uint64_t numbers[] = {pack->max_pixels, pack->zstd, pack->block, pack->dictionary, pack->shard_size,
		plan->count, plan->class_count};
	XXH3_64bits_update(state, numbers, sizeof(numbers));
	for (uint32_t i = 0; i < plan->class_count; i++)
		hash_text(state, plan->classes[i]);
	for (size_t i = 0; i < plan->count; i++) {
		const struct pack_entry *entry = &plan->entries[i];
		const uint32_t fields[] = {entry->bytes, (uint32_t)entry->label, entry->input,
			entry->flags & (PACK_VALIDATION | PACK_LEFT_OUT)};
		XXH3_64bits_update(state, fields, sizeof(fields));
		hash_text(state, pack_plan_key(plan, entry));
		hash_text(state, pack_plan_meta(plan, entry));
	}
	uint64_t identity = XXH3_64bits_digest(state);
	XXH3_freeState(state);
	return identity;
}
