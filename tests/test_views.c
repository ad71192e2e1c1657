/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pixel operations and whole views: by properties, and against results of torchvision (tests/golden/views.txt with
 * views.bin, made by tests/golden/make_views.py).
 *
 *	test_views --apply <requests
 *
 * runs operations on files instead of tests, for tests/test_torchvision_views.py. One request a line:
 *
 *	INPUT OUTPUT OP WIDTH HEIGHT ARGUMENTS...
 *
 * INPUT holds [HEIGHT][WIDTH][3] bytes for the operations crop and view, else floats; OUTPUT receives floats.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "stages/view_policy.h"

/* ---- requests: OP WIDTH HEIGHT ARGUMENTS... ---- */

enum { MAX_ARGUMENTS = 20 };

struct request {
	char op[16];
	uint32_t width, height;
	double arguments[MAX_ARGUMENTS];
	uint32_t out_width, out_height;
};

/* Not a byte more than asked for, so that AddressSanitizer sees the first one too many. */
static void *aligned(size_t bytes)
{
	void *memory = NULL;
	assert_int_equal(posix_memalign(&memory, 64, bytes), 0);
	return memory;
}

static bool takes_bytes(const struct request *request)
{
	return strcmp(request->op, "crop") == 0 || strcmp(request->op, "view") == 0;
}

static size_t input_bytes(const struct request *request)
{
	return (size_t)request->width * request->height * 3 * (takes_bytes(request) ? 1 : sizeof(float));
}

static size_t output_floats(const struct request *request)
{
	return (size_t)request->out_width * request->out_height * 3;
}

static bool parse_request(struct request *request, const char *text)
{
	int used = 0;
	*request = (struct request){0};
	if (sscanf(text, "%15s %u %u%n", request->op, &request->width, &request->height, &used) != 3)
		return false;
	text += used;
	for (unsigned i = 0; i < MAX_ARGUMENTS && sscanf(text, "%lf%n", &request->arguments[i], &used) == 1; i++)
		text += used;
	request->out_width = request->width;
	request->out_height = request->height;
	if (strcmp(request->op, "crop") == 0) {
		request->out_width = (uint32_t)request->arguments[4];
		request->out_height = (uint32_t)request->arguments[5];
	} else if (strcmp(request->op, "view") == 0) {
		request->out_width = request->out_height = (uint32_t)request->arguments[0];
	}
	return true;
}

static void add_drawn(struct view_params *params, enum view_op op, double value)
{
	params->drawn[params->count++] = (struct view_drawn){.op = op, .value = (float)value};
}

/* view: SIZE X Y WIDTH HEIGHT FLIP JITTER ORDER(4 numbers) FACTORS(4) GRAY SIGMA */
static void run_view(const struct request *request, const uint8_t *input, float *out)
{
	const double *a = request->arguments;
	struct view_policy policy;
	view_policy_init(&policy, VIEW_SIMCLR, (uint32_t)a[0], 1);
	policy.steps[4].op = VIEW_OP_BLUR; /* also where the recipe has none: scratch is for it */
	policy.count = 5;
	struct view_params params = {
		.x = (uint32_t)a[1], .y = (uint32_t)a[2], .width = (uint32_t)a[3], .height = (uint32_t)a[4]};
	if (a[5] > 0)
		add_drawn(&params, VIEW_OP_FLIP, 0);
	for (unsigned i = 0; i < 4 && a[6] > 0; i++) {
		const unsigned colour = (unsigned)a[7 + i];
		add_drawn(&params, (enum view_op)(VIEW_OP_BRIGHTNESS + colour), a[11 + colour]);
	}
	if (a[15] > 0)
		add_drawn(&params, VIEW_OP_GRAY, 0);
	if (a[16] > 0)
		add_drawn(&params, VIEW_OP_BLUR, a[16]);
	float *scratch = aligned(view_scratch_floats(&policy, request->width, request->height) * sizeof(float));
	view_apply(&policy, &params, input, request->width, request->height, scratch, out);
	free(scratch);
}

static void run_crop(const struct request *request, const uint8_t *input, float *out)
{
	uint32_t a[6];
	for (unsigned i = 0; i < 6; i++)
		a[i] = (uint32_t)request->arguments[i];
	float *scratch = aligned(pixels_resized_crop_scratch_floats(a[2], a[3], a[4], a[5]) * sizeof(float));
	pixels_resized_crop(input, request->width, request->height, a[0], a[1], a[2], a[3], a[4], a[5], scratch, out);
	free(scratch);
}

static void run_blur(float *image, uint32_t width, uint32_t height, uint32_t taps, float sigma)
{
	float *scratch = aligned(pixels_blur_scratch_floats(width, height, taps) * sizeof(float));
	pixels_blur(image, width, height, taps, sigma, scratch);
	free(scratch);
}

static void run_sobel(float *image, uint32_t width, uint32_t height)
{
	float *scratch = aligned((size_t)width * height * 3 * sizeof(float));
	pixels_sobel(image, width, height, scratch);
	free(scratch);
}

static bool run_request(const struct request *request, const void *input, float *out)
{
	const size_t pixels = (size_t)request->width * request->height;
	const float factor = (float)request->arguments[0];
	const char *op = request->op;
	uint32_t whole[4];
	for (unsigned i = 0; i < 4; i++)
		whole[i] = (uint32_t)request->arguments[i];
	if (!takes_bytes(request))
		memcpy(out, input, input_bytes(request));
	if (strcmp(op, "crop") == 0)
		run_crop(request, input, out);
	else if (strcmp(op, "view") == 0)
		run_view(request, input, out);
	else if (strcmp(op, "flip") == 0)
		pixels_flip(out, request->width, request->height);
	else if (strcmp(op, "brightness") == 0)
		pixels_brightness(out, pixels, factor);
	else if (strcmp(op, "contrast") == 0)
		pixels_contrast(out, pixels, factor);
	else if (strcmp(op, "saturation") == 0)
		pixels_saturation(out, pixels, factor);
	else if (strcmp(op, "hue") == 0)
		pixels_hue(out, pixels, factor);
	else if (strcmp(op, "gray") == 0)
		pixels_gray(out, pixels);
	else if (strcmp(op, "vflip") == 0)
		pixels_vflip(out, request->width, request->height);
	else if (strcmp(op, "rotate90") == 0)
		pixels_rotate90(out, request->width, (uint32_t)factor);
	else if (strcmp(op, "solarize") == 0)
		pixels_solarize(out, pixels, factor);
	else if (strcmp(op, "cutout") == 0)
		pixels_cutout(out, request->width, whole[0], whole[1], whole[2], whole[3]);
	else if (strcmp(op, "sobel") == 0)
		run_sobel(out, request->width, request->height);
	else if (strcmp(op, "noise") == 0)
		pixels_noise(out, pixels, factor, whole + 1);
	else if (strcmp(op, "blur") == 0)
		run_blur(out, request->width, request->height, (uint32_t)factor, (float)request->arguments[1]);
	else
		return false;
	return true;
}

static int apply_requests(void)
{
	char line[2048], input_path[512], output_path[512];
	while (fgets(line, sizeof line, stdin) != NULL) {
		struct request request;
		int used = 0;
		if (sscanf(line, "%511s %511s%n", input_path, output_path, &used) != 2 ||
			!parse_request(&request, line + used)) {
			fprintf(stderr, "not a request: %s", line);
			return 2;
		}
		FILE *file = fopen(input_path, "rb");
		void *input = aligned(input_bytes(&request));
		float *out = aligned(output_floats(&request) * sizeof(float));
		if (file == NULL || fread(input, 1, input_bytes(&request), file) != input_bytes(&request)) {
			fprintf(stderr, "cannot read %zu bytes of %s\n", input_bytes(&request), input_path);
			return 2;
		}
		fclose(file);
		if (!run_request(&request, input, out)) {
			fprintf(stderr, "no such operation: %s\n", request.op);
			return 2;
		}
		file = fopen(output_path, "wb");
		if (file == NULL || fwrite(out, sizeof *out, output_floats(&request), file) != output_floats(&request))
			return 2;
		fclose(file);
		free(out);
		free(input);
	}
	return 0;
}

/* ---- goldens ---- */

static void equals_torchvision(void **state)
{
	(void)state;
	FILE *list = fopen("tests/golden/views.txt", "r"), *data = fopen("tests/golden/views.bin", "rb");
	if (list == NULL || data == NULL)
		fail_msg("tests/golden/views.txt or views.bin is missing (run from the root of the checkout)");
	char line[512];
	unsigned cases = 0;
	for (; fgets(line, sizeof line, list) != NULL; cases++) {
		struct request request;
		double tolerance;
		int used;
		assert_int_equal(sscanf(line, "%lf%n", &tolerance, &used), 1);
		assert_true(parse_request(&request, line + used));
		const size_t floats = output_floats(&request);
		void *input = aligned(input_bytes(&request));
		float *expected = aligned(floats * sizeof(float)), *out = aligned(floats * sizeof(float));
		assert_int_equal(fread(input, 1, input_bytes(&request), data), input_bytes(&request));
		assert_int_equal(fread(expected, sizeof(float), floats, data), floats);
		assert_true(run_request(&request, input, out));
		for (size_t i = 0; i < floats; i++)
			if (!(fabs((double)out[i] - (double)expected[i]) <= tolerance))
				fail_msg("%s pixel %zu channel %zu: %.9g, torchvision %.9g", line, i / 3, i % 3,
					(double)out[i], (double)expected[i]);
		free(input);
		free(expected);
		free(out);
	}
	assert_int_equal(fgetc(data), EOF);
	assert_true(cases >= 20);
	fclose(list);
	fclose(data);
}

/* ---- properties ---- */

static uint32_t random_state = 1;

static float random_unit(void)
{
	random_state = random_state * 1664525 + 1013904223;
	return (float)(random_state >> 8) * 0x1p-24F;
}

static float *random_image(size_t pixels)
{
	float *image = aligned(pixels * 3 * sizeof(float));
	for (size_t i = 0; i < 3 * pixels; i++)
		image[i] = random_unit();
	return image;
}

static uint8_t *random_bytes(size_t pixels)
{
	uint8_t *rgb = aligned(pixels * 3);
	for (size_t i = 0; i < 3 * pixels; i++)
		rgb[i] = (uint8_t)(random_unit() * 256);
	return rgb;
}

static void assert_close(const float *a, const float *b, size_t floats, double tolerance, const char *what)
{
	for (size_t i = 0; i < floats; i++)
		if (!(fabs((double)a[i] - (double)b[i]) <= tolerance))
			fail_msg("%s: float %zu is %.9g, not %.9g", what, i, (double)a[i], (double)b[i]);
}

static void crop(const uint8_t *rgb, uint32_t image_width, uint32_t image_height, uint32_t x, uint32_t y,
	uint32_t width, uint32_t height, uint32_t out_width, uint32_t out_height, float *out)
{
	float *scratch =
		aligned(pixels_resized_crop_scratch_floats(width, height, out_width, out_height) * sizeof(float));
	pixels_resized_crop(rgb, image_width, image_height, x, y, width, height, out_width, out_height, scratch, out);
	free(scratch);
}

static void a_crop_of_the_same_size_is_a_copy(void **state)
{
	(void)state;
	enum { W = 41, H = 29, OW = 13, OH = 17, X = 28, Y = 12 };
	uint8_t *rgb = random_bytes(W * H);
	float *out = aligned(OW * OH * 3 * sizeof(float));
	crop(rgb, W, H, X, Y, OW, OH, OW, OH, out);
	for (size_t y = 0; y < OH; y++)
		for (size_t i = 0; i < OW * 3; i++)
			assert_true(out[y * OW * 3 + i] == (float)rgb[((Y + y) * W + X) * 3 + i] / 255.0F);
	free(rgb);
	free(out);
}

/* Weights sum to 1, so a flat image stays flat at any scale; and nothing outside the crop is read. */
static void a_flat_crop_stays_flat(void **state)
{
	(void)state;
	static const uint32_t sizes[][2] = {{1, 1}, {1, 50}, {50, 1}, {2, 3}, {7, 7}, {31, 33}, {64, 40}, {333, 100}};
	static const uint32_t outs[][2] = {{1, 1}, {32, 32}, {5, 90}};
	for (unsigned s = 0; s < sizeof sizes / sizeof *sizes; s++)
		for (unsigned o = 0; o < sizeof outs / sizeof *outs; o++) {
			const uint32_t w = sizes[s][0], h = sizes[s][1], image_w = w + 3, image_h = h + 4;
			const size_t floats = (size_t)outs[o][0] * outs[o][1] * 3;
			uint8_t *rgb = random_bytes((size_t)image_w * image_h);
			float *out = aligned(floats * sizeof(float));
			for (uint32_t y = 0; y < h; y++)
				for (uint32_t i = 0; i < 3 * w; i++)
					rgb[((y + 1) * image_w + 2) * 3 + i] = (uint8_t)(90 + 40 * (i % 3));
			crop(rgb, image_w, image_h, 2, 1, w, h, outs[o][0], outs[o][1], out);
			for (size_t i = 0; i < floats; i++)
				assert_true(fabsf(out[i] - (float)(90 + 40 * (i % 3)) / 255) < 1e-6F);
			free(rgb);
			free(out);
		}
}

/* A definition that shares nothing with the code: double precision, one output pixel at a time. */
static double cubic_weight(double x)
{
	x = fabs(x);
	return x < 1 ? 1.5 * x * x * x - 2.5 * x * x + 1 : x < 2 ? -0.5 * x * x * x + 2.5 * x * x - 4 * x + 2 : 0;
}

static double slow_resize(const uint8_t *rgb, uint32_t width, uint32_t height, double scale_x, double scale_y,
	uint32_t x, uint32_t y, int c)
{
	const double stretch_x = fmax(scale_x, 1), stretch_y = fmax(scale_y, 1);
	double sum = 0, weight_sum = 0;
	for (uint32_t j = 0; j < height; j++)
		for (uint32_t i = 0; i < width; i++) {
			const double weight = cubic_weight((i + 0.5 - (x + 0.5) * scale_x) / stretch_x) *
					      cubic_weight((j + 0.5 - (y + 0.5) * scale_y) / stretch_y);
			sum += weight * rgb[(j * width + i) * 3 + (uint32_t)c] / 255;
			weight_sum += weight;
		}
	return fmin(fmax(sum / weight_sum, 0), 1);
}

static void a_resize_is_the_cubic_sum(void **state)
{
	(void)state;
	static const uint32_t sizes[][4] = {
		{20, 30, 9, 11}, {9, 7, 23, 31}, {40, 5, 8, 16}, {1, 17, 4, 4}, {16, 16, 32, 8}, {3, 3, 3, 5}};
	for (unsigned s = 0; s < sizeof sizes / sizeof *sizes; s++) {
		const uint32_t w = sizes[s][0], h = sizes[s][1], ow = sizes[s][2], oh = sizes[s][3];
		uint8_t *rgb = random_bytes((size_t)w * h);
		float *out = aligned((size_t)ow * oh * 3 * sizeof(float));
		crop(rgb, w, h, 0, 0, w, h, ow, oh, out);
		for (uint32_t y = 0; y < oh; y++)
			for (uint32_t x = 0; x < ow; x++)
				for (int c = 0; c < 3; c++) {
					const double expected =
						slow_resize(rgb, w, h, (double)w / ow, (double)h / oh, x, y, c);
					const double found = (double)out[(y * ow + x) * 3 + (uint32_t)c];
					if (fabs(found - expected) > 1e-5)
						fail_msg("%ux%u to %ux%u at %u,%u: %g, not %g", w, h, ow, oh, x, y,
							found, expected);
				}
		free(rgb);
		free(out);
	}
}

static void flipping_twice_is_nothing(void **state)
{
	(void)state;
	for (uint32_t width = 1; width < 9; width++) {
		const uint32_t height = 3;
		float *image = random_image((size_t)width * height), *kept = aligned((size_t)width * height * 12);
		memcpy(kept, image, (size_t)width * height * 12);
		pixels_flip(image, width, height);
		for (uint32_t y = 0; y < height; y++)
			for (uint32_t x = 0; x < width; x++)
				assert_memory_equal(
					image + (y * width + x) * 3, kept + (y * width + width - 1 - x) * 3, 12);
		pixels_flip(image, width, height);
		assert_memory_equal(image, kept, (size_t)width * height * 12);
		free(image);
		free(kept);
	}
}

/* Every operation at its neutral parameter; sizes around the block that the code works in. */
static void neutral_factors_change_nothing(void **state)
{
	(void)state;
	static const size_t sizes[] = {1, 2, 63, 64, 65, 130, 1024};
	for (unsigned s = 0; s < sizeof sizes / sizeof *sizes; s++) {
		const size_t pixels = sizes[s];
		float *image = random_image(pixels), *kept = aligned(pixels * 12);
		memcpy(kept, image, pixels * 12);
		pixels_brightness(image, pixels, 1);
		assert_close(image, kept, pixels * 3, 0, "brightness 1");
		pixels_contrast(image, pixels, 1);
		assert_close(image, kept, pixels * 3, 0, "contrast 1");
		pixels_saturation(image, pixels, 1);
		assert_close(image, kept, pixels * 3, 0, "saturation 1");
		pixels_hue(image, pixels, 0);
		assert_close(image, kept, pixels * 3, 2e-6, "hue 0");
		pixels_hue(image, pixels, 0.5F);
		pixels_hue(image, pixels, -0.5F);
		assert_close(image, kept, pixels * 3, 4e-6, "hue there and back");
		free(image);
		free(kept);
	}
}

static void extreme_factors(void **state)
{
	(void)state;
	enum { PIXELS = 100 };
	float *image = random_image(PIXELS), *gray = aligned(PIXELS * 12);
	memcpy(gray, image, PIXELS * 12);
	pixels_gray(gray, PIXELS);
	double mean = 0;
	for (size_t i = 0; i < PIXELS; i++) {
		const float *p = image + 3 * i;
		const double luma = 0.2989 * (double)p[0] + 0.587 * (double)p[1] + 0.114 * (double)p[2];
		assert_true(gray[3 * i] == gray[3 * i + 1] && gray[3 * i] == gray[3 * i + 2]);
		assert_true(fabs((double)gray[3 * i] - luma) < 1e-6);
		mean += luma / PIXELS;
	}
	float *copy = aligned(PIXELS * 12);
	memcpy(copy, image, PIXELS * 12);
	pixels_saturation(copy, PIXELS, 0);
	assert_close(copy, gray, PIXELS * 3, 1e-7, "saturation 0 is gray");
	memcpy(copy, image, PIXELS * 12);
	pixels_contrast(copy, PIXELS, 0);
	for (size_t i = 0; i < 3 * PIXELS; i++)
		assert_true(fabs((double)copy[i] - mean) < 1e-6);
	memcpy(copy, image, PIXELS * 12);
	pixels_brightness(copy, PIXELS, 3);
	for (size_t i = 0; i < 3 * PIXELS; i++)
		assert_true(copy[i] == (3 * image[i] > 1 ? 1 : 3 * image[i]));
	/* Pure red by a third of a turn is green, and a gray has no hue to turn. */
	float colours[6] = {1, 0, 0, 0.4F, 0.4F, 0.4F};
	const float turned[6] = {0, 1, 0, 0.4F, 0.4F, 0.4F};
	pixels_hue(colours, 2, 1.0F / 3);
	assert_close(colours, turned, 6, 1e-6, "red to green");
	/* A hue that rounds to a whole turn. */
	float red[3] = {1, 0, 0};
	const float still_red[3] = {1, 0, 0};
	pixels_hue(red, 1, -1e-9F);
	assert_close(red, still_red, 3, 1e-6, "a whole turn");
	free(image);
	free(gray);
	free(copy);
}

static void blur_keeps_flat_and_spreads_a_dot(void **state)
{
	(void)state;
	enum { W = 31, H = 27, TAPS = 9 };
	float *image = aligned(W * H * 3 * sizeof(float));
	for (size_t i = 0; i < W * H * 3; i++)
		image[i] = 0.25F * (float)(1 + i % 3);
	run_blur(image, W, H, TAPS, 1.7F);
	for (size_t i = 0; i < W * H * 3; i++)
		assert_true(fabsf(image[i] - 0.25F * (float)(1 + i % 3)) < 1e-6F);
	memset(image, 0, W * H * 3 * sizeof(float));
	image[(13 * W + 15) * 3 + 1] = 1;
	run_blur(image, W, H, TAPS, 1.7F);
	double sum = 0, normal = 0;
	for (int d = -4; d <= 4; d++)
		normal += exp(-d * d / (2 * 1.7 * 1.7));
	for (int y = 0; y < H; y++)
		for (int x = 0; x < W; x++) {
			const int dx = x - 15, dy = y - 13;
			const bool near = abs(dx) <= 4 && abs(dy) <= 4;
			const double expected =
				near ? exp(-(dx * dx + dy * dy) / (2 * 1.7 * 1.7)) / (normal * normal) : 0;
			const float *pixel = image + (y * W + x) * 3;
			assert_true(pixel[0] == 0 && pixel[2] == 0);
			assert_true(fabs((double)pixel[1] - expected) < 1e-7);
			sum += (double)pixel[1];
		}
	assert_true(fabs(sum - 1) < 1e-6);
	free(image);
}

/* The paper's 10% of the height, made odd; and a kernel that blurs at every size of a view. */
static void kernels_of_blur(void **state)
{
	(void)state;
	assert_int_equal(pixels_blur_taps(224), 23);
	assert_int_equal(pixels_blur_taps(32), 3);
	for (uint32_t size = 8; size <= 1024; size++)
		assert_true(pixels_blur_taps(size) >= 3 && pixels_blur_taps(size) % 2 == 1);
}

static void turning_and_mirroring(void **state)
{
	(void)state;
	for (uint32_t side = 1; side < 8; side++) {
		const size_t pixels = (size_t)side * side, bytes = pixels * 12;
		float *image = random_image(pixels), *kept = aligned(bytes);
		memcpy(kept, image, bytes);
		for (unsigned i = 0; i < 4; i++) {
			pixels_rotate90(image, side, 1);
			if (i == 0) /* the right column became the top row */
				for (size_t x = 0; x < side; x++)
					assert_memory_equal(image + x * 3, kept + (x * side + side - 1) * 3, 12);
		}
		assert_memory_equal(image, kept, bytes);
		pixels_rotate90(image, side, 3);
		pixels_rotate90(image, side, 1);
		assert_memory_equal(image, kept, bytes);
		pixels_rotate90(image, side, 2);
		pixels_flip(image, side, side);
		pixels_vflip(image, side, side);
		assert_memory_equal(image, kept, bytes);
		free(image);
		free(kept);
	}
}

/* Mean, deviation and shape of the noise, that channels and neighbours share nothing, and that 0 and 1 are kept. */
static void noise_is_normal(void **state)
{
	(void)state;
	enum { PIXELS = 40000, FLOATS = 3 * PIXELS };
	static const uint32_t key[2] = {12345, 678};
	float *image = aligned(FLOATS * sizeof(float)), *other = aligned(FLOATS * sizeof(float));
	for (size_t i = 0; i < FLOATS; i++)
		image[i] = other[i] = 0.5F;
	pixels_noise(image, PIXELS, 0.1F, key);
	pixels_noise(other, PIXELS - 7, 0.1F, key);
	assert_memory_equal(image, other, (FLOATS - 21) * sizeof(float)); /* a float's number is its own */
	assert_true(other[FLOATS - 21] == 0.5F);
	double sum = 0, squares = 0, fourth = 0, lags[6] = {0};
	for (size_t i = 0; i < FLOATS; i++) {
		const double z = ((double)image[i] - 0.5) / 0.1;
		sum += z;
		squares += z * z;
		fourth += z * z * z * z;
		for (size_t lag = 1; lag < 6 && lag <= i; lag++)
			lags[lag] += z * ((double)image[i - lag] - 0.5) / 0.1;
	}
	/* 3.29 standard deviations each; values beyond 5 of them are clipped, of which there is a share of 6e-7. */
	assert_true(fabs(sum / FLOATS) < 3.29 / sqrt(FLOATS));
	assert_true(fabs(squares / FLOATS - 1) < 3.29 * sqrt(2.0 / FLOATS));
	assert_true(fabs(fourth / FLOATS - 3) < 3.29 * sqrt(96.0 / FLOATS));
	for (size_t lag = 1; lag < 6; lag++)
		assert_true(fabs(lags[lag] / FLOATS) < 3.29 / sqrt(FLOATS));
	pixels_noise(image, PIXELS, 1, key);
	for (size_t i = 0; i < FLOATS; i++)
		assert_true(image[i] >= 0 && image[i] <= 1);
	free(image);
	free(other);
}

static void a_flat_image_has_no_edges(void **state)
{
	(void)state;
	static const uint32_t sizes[][2] = {{1, 1}, {1, 5}, {5, 1}, {2, 2}, {8, 5}};
	for (unsigned s = 0; s < sizeof sizes / sizeof *sizes; s++) {
		const size_t floats = (size_t)sizes[s][0] * sizes[s][1] * 3;
		float *image = aligned(floats * sizeof(float));
		for (size_t i = 0; i < floats; i++)
			image[i] = 0.3F;
		run_sobel(image, sizes[s][0], sizes[s][1]);
		for (size_t i = 0; i < floats; i++)
			assert_true(image[i] == 0);
		free(image);
	}
}

/* Random views of random sizes: no float outside [0,1], the same bytes again, exact scratch (AddressSanitizer). */
static void views_stay_in_range_and_repeat(void **state)
{
	(void)state;
	static const uint32_t sizes[] = {1, 8, 32, 48};
	for (uint32_t trial = 0; trial < 120; trial++) {
		struct view_policy policy;
		static const char *const texts[] = {"simclr", "center",
			"crop vflip rotate90 sobel noise(0.3) cutout(0.9) solarize@1",
			"whole cutout blur@1 color@1 cutout(0.001) sobel sobel hue brightness"};
		struct view_policies policies;
		const struct view_defaults defaults = {
			.size = sizes[trial % 4], .views = 1, .strength = 1, .area_min = 0.08F};
		assert_int_equal(view_policies_parse(&policies, texts[trial / 4 % 4], &defaults, "views", NULL), 0);
		policy = policies.view[0];
		const uint32_t width = 1 + (uint32_t)(random_unit() * 90), height = 1 + (uint32_t)(random_unit() * 90);
		struct philox stream = philox_stream(1, 2, trial, 0, PHILOX_TEST);
		struct view_params params;
		view_params_draw(&params, &policy, width, height, &stream);
		const size_t out_floats = (size_t)policy.size * policy.size * 3;
		const size_t scratch_bytes = view_scratch_floats(&policy, width, height) * sizeof(float);
		uint8_t *rgb = random_bytes((size_t)width * height);
		float *scratch = aligned(scratch_bytes), *first = aligned(out_floats * sizeof(float)),
		      *second = aligned(out_floats * sizeof(float));
		memset(scratch, 0xff, scratch_bytes);
		view_apply(&policy, &params, rgb, width, height, scratch, first);
		memset(scratch, 0x11, scratch_bytes);
		memset(second, 0xff, out_floats * sizeof(float));
		view_apply(&policy, &params, rgb, width, height, scratch, second);
		assert_memory_equal(first, second, out_floats * sizeof(float));
		for (size_t i = 0; i < out_floats; i++)
			assert_true(first[i] >= 0 && first[i] <= 1 + 1e-6F);
		free(rgb);
		free(scratch);
		free(first);
		free(second);
	}
}

int main(int argc, char **argv)
{
	if (argc == 2 && strcmp(argv[1], "--apply") == 0)
		return apply_requests();
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(equals_torchvision),
		cmocka_unit_test(a_crop_of_the_same_size_is_a_copy),
		cmocka_unit_test(a_flat_crop_stays_flat),
		cmocka_unit_test(a_resize_is_the_cubic_sum),
		cmocka_unit_test(flipping_twice_is_nothing),
		cmocka_unit_test(neutral_factors_change_nothing),
		cmocka_unit_test(extreme_factors),
		cmocka_unit_test(blur_keeps_flat_and_spreads_a_dot),
		cmocka_unit_test(kernels_of_blur),
		cmocka_unit_test(turning_and_mirroring),
		cmocka_unit_test(noise_is_normal),
		cmocka_unit_test(a_flat_image_has_no_edges),
		cmocka_unit_test(views_stay_in_range_and_repeat),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
