/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goes through one epoch of shards with ringclr's loader, and prints how many images a second came and how many there
 * are of each class.
 *
 *	cc -o count_labels count_labels.c $(pkg-config --cflags --libs ringclr)
 *	./count_labels train.ring
 */
#include <inttypes.h>
#include <ringclr.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static double now(void)
{
	struct timespec time;
	timespec_get(&time, TIME_UTC);
	return (double)time.tv_sec + (double)time.tv_nsec * 1e-9;
}

/* Counts the images of each label; those without one come last. Returns what ringclr_next() ended with. */
static int count_labels(struct ringclr *loader, uint64_t *counts, uint64_t *images)
{
	const uint32_t classes = ringclr_get_info(loader)->classes;
	const struct ringclr_batch *batch;
	int got;
	while ((got = ringclr_next(loader, &batch)) == 1) {
		/* Here batch->data would go into a model. */
		for (uint32_t i = 0; i < batch->images; i++)
			counts[batch->labels[i] < 0 ? classes : (uint32_t)batch->labels[i]]++;
		*images += batch->images;
		ringclr_release(loader, batch);
	}
	return got;
}

int main(int argc, char **argv)
{
	char message[512];
	struct ringclr_options options;
	ringclr_options_init(&options, sizeof options);
	options.views = "2x crop flip color(0.5,0.1) gray";
	options.batch = 64;
	options.epochs = 1;
	options.short_last = 1;
	struct ringclr *loader =
		ringclr_open((const char *const *)(argv + 1), (unsigned)(argc - 1), &options, message, sizeof message);
	if (!loader) {
		fprintf(stderr, "count_labels: %s\n", message);
		return 1;
	}
	const struct ringclr_info *info = ringclr_get_info(loader);
	uint64_t images = 0, *counts = (uint64_t *)calloc((size_t)info->classes + 1, sizeof *counts);
	const double start = now();
	const int got = counts ? count_labels(loader, counts, &images) : RINGCLR_MEMORY;
	const double seconds = now() - start;
	if (got == 0) {
		printf("%" PRIu64 " images, %u views of %ux%u each: %.0f images/s\n", images, info->views, info->size,
			info->size, (double)images / seconds);
		for (uint32_t label = 0; label < info->classes; label++)
			printf("%8" PRIu64 "  %s\n", counts[label], ringclr_class_name(loader, (int32_t)label));
		printf("%8" PRIu64 "  without a label\n", counts[info->classes]);
	} else {
		fprintf(stderr, "count_labels: %s\n", ringclr_error(loader));
	}
	free(counts);
	ringclr_close(loader);
	return got == 0 ? 0 : 1;
}
