/* SPDX-License-Identifier: Apache-2.0 */
/* Safetensors: written and read back, and every way a file can be wrong. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "io/safetensors.h"
#include "pipeline/philox.h"
#include "tests/helper_files.h"

static const float floats[6] = {1, -2, 3.5f, 1e-30f, 1e30f, 0};
static const double doubles[2] = {3.141592653589793, -0.0};
static const int64_t longs[2] = {INT64_MIN, INT64_MAX};
static const unsigned char bytes[3] = {1, 255, 0};
static const uint16_t halves[4] = {0x3c00, 0xbf80, 1, 2};

/* Every type, a scalar, an empty tensor, names that JSON must escape. An odd size stands before a float. */
static const struct safetensor samples[] = {
	{"encoder.conv1.weight", SAFETENSORS_F32, 4, {1, 2, 3, 1}, floats, 24},
	{"u8", SAFETENSORS_U8, 1, {3}, bytes, 3},
	{"f64 \"quoted\" \\ \n\t \xc3\xa9", SAFETENSORS_F64, 1, {2}, doubles, 16},
	{"scalar", SAFETENSORS_F32, 0, {0}, floats + 2, 4},
	{"empty", SAFETENSORS_F32, 2, {0, 7}, NULL, 0},
	{"i64", SAFETENSORS_I64, 2, {2, 1}, longs, 16},
	{"i32", SAFETENSORS_I32, 1, {4}, longs, 16},
	{"f16", SAFETENSORS_F16, 1, {4}, halves, 8},
	{"bf16", SAFETENSORS_BF16, 2, {2, 2}, halves, 8},
	{"bool", SAFETENSORS_BOOL, 1, {2}, bytes, 2},
	{"eight", SAFETENSORS_U8, 8, {1, 1, 1, 3, 1, 1, 1, 1}, bytes, 3},
};
enum { SAMPLES = sizeof samples / sizeof *samples };
static const struct safetensors_pair pairs[] = {{"format", "pt"}, {"ringclr.step", "12 \"x\""}, {"empty", ""}};

static void test_round_trip(void **state)
{
	struct helper_place *place = *state;
	struct error err = {0};
	assert_int_equal(safetensors_write(place->path, samples, SAMPLES, pairs, 3, &err), 0);
	struct safetensors *file = safetensors_open(place->path, &err);
	if (file == NULL)
		fail_msg("%s", err.message);
	assert_int_equal(safetensors_count(file), SAMPLES);
	for (size_t i = 0; i < SAMPLES; i++) {
		const struct safetensor *got = safetensors_at(file, i), *put = &samples[i];
		assert_string_equal(got->name, put->name);
		assert_ptr_equal(safetensors_find(file, put->name), got);
		assert_int_equal(got->type, put->type);
		assert_int_equal(got->dims, put->dims);
		for (unsigned d = 0; d < put->dims; d++)
			assert_int_equal(got->shape[d], put->shape[d]);
		assert_int_equal(got->bytes, put->bytes);
		if (put->bytes > 0)
			assert_memory_equal(got->data, put->data, put->bytes);
		assert_int_equal((uintptr_t)got->data % 64, 0);
	}
	assert_null(safetensors_find(file, "SCALAR"));
	assert_string_equal(safetensors_metadata(file, "format"), "pt");
	assert_string_equal(safetensors_metadata(file, "ringclr.step"), "12 \"x\"");
	assert_string_equal(safetensors_metadata(file, "empty"), "");
	assert_null(safetensors_metadata(file, "Format"));
	assert_string_equal(safetensors_metadata_at(file, 1).value,
		safetensors_metadata(file, safetensors_metadata_at(file, 1).key));
	assert_string_equal(safetensors_metadata_at(file, 2).key, "empty");
	assert_null(safetensors_metadata_at(file, 3).key);
	safetensors_close(file);
	safetensors_close(NULL);
}

static void test_nothing_in_it(void **state)
{
	struct helper_place *place = *state;
	struct error err = {0};
	assert_int_equal(safetensors_write(place->path, NULL, 0, NULL, 0, &err), 0);
	struct safetensors *file = safetensors_open(place->path, &err);
	assert_non_null(file);
	assert_int_equal(safetensors_count(file), 0);
	assert_null(safetensors_metadata_at(file, 0).key);
	assert_null(safetensors_metadata(file, "format"));
	safetensors_close(file);
}

/* The exact bytes: the specification's layout, tensors at a multiple of 64, and again the same. */
static void test_bytes(void **state)
{
	struct helper_place *place = *state;
	struct error err = {0};
	size_t size = 0, again = 0;
	static const char text[] = "{\"__metadata__\":{\"format\":\"pt\"},"
				   "\"u8\":{\"dtype\":\"U8\",\"shape\":[3],\"data_offsets\":[0,3]},"
				   "\"scalar\":{\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[3,7]}}";
	const struct safetensor two[] = {samples[1], samples[3]};
	assert_int_equal(safetensors_write(place->path, two, 2, pairs, 1, &err), 0);
	unsigned char *file = helper_file_read(place->path, &size);
	uint64_t header;
	memcpy(&header, file, 8);
	assert_int_equal((header + 8) % 64, 0);
	assert_true(header >= sizeof text - 1 && header < sizeof text + 64);
	assert_memory_equal(file + 8, text, sizeof text - 1);
	for (size_t i = sizeof text - 1; i < header; i++)
		assert_int_equal(file[8 + i], ' ');
	assert_int_equal(size, 8 + header + 7);
	assert_memory_equal(file + 8 + header, bytes, 3);
	assert_memory_equal(file + 8 + header + 3, floats + 2, 4);
	assert_int_equal(safetensors_write(place->path, two, 2, pairs, 1, &err), 0);
	unsigned char *second = helper_file_read(place->path, &again);
	assert_int_equal(size, again);
	assert_memory_equal(file, second, size);
	free(file);
	free(second);
}

static void test_write_refused(void **state)
{
	struct helper_place *place = *state;
	struct safetensor wrong[] = {
		{"size", SAFETENSORS_F32, 1, {2}, floats, 7},
		{"overflow", SAFETENSORS_F32, 2, {UINT64_C(1) << 33, UINT64_C(1) << 33}, floats, 0},
		{"huge", SAFETENSORS_F32, 2, {UINT64_C(1) << 60, 0}, floats, 0},
		{"type", (enum safetensors_type)8, 1, {2}, floats, 8},
		{"dims", SAFETENSORS_F32, 9, {1}, floats, 4},
		{"__metadata__", SAFETENSORS_F32, 1, {1}, floats, 4},
	};
	for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
		struct error err = {0};
		assert_int_equal(safetensors_write(place->path, &wrong[i], 1, NULL, 0, &err), ERROR_USAGE);
		assert_non_null(strstr(err.message, wrong[i].name));
	}
	struct error err = {0};
	const struct safetensor twice[] = {samples[0], samples[1], samples[0]};
	assert_int_equal(safetensors_write(place->path, twice, 3, NULL, 0, &err), ERROR_USAGE);
	assert_non_null(strstr(err.message, "encoder.conv1.weight"));
	const struct safetensors_pair same[] = {{"a", "1"}, {"a", "2"}};
	assert_int_equal(safetensors_write(place->path, samples, 1, same, 2, NULL), ERROR_USAGE);
	err = (struct error){0};
	char *missing = helper_path(place->folder, "missing/file");
	assert_int_equal(safetensors_write(missing, samples, 1, NULL, 0, &err), ERROR_IO);
	free(missing);
	assert_int_equal(helper_folder_entries(place->folder), 0);
}

/* A file with this header and so many bytes of data. */
static void file_make(const char *path, const char *header, size_t header_bytes, size_t data_bytes)
{
	unsigned char *file = calloc(1, 8 + header_bytes + data_bytes);
	uint64_t length = header_bytes;
	memcpy(file, &length, 8);
	memcpy(file + 8, header, header_bytes);
	helper_file_write(path, file, 8 + header_bytes + data_bytes);
	free(file);
}

#define TENSOR(name, type, shape, begin, end)                                                                          \
	"\"" name "\":{\"dtype\":\"" type "\",\"shape\":" shape ",\"data_offsets\":[" begin "," end "]}"

static void test_read_refused(void **state)
{
	struct helper_place *place = *state;
	static const struct {
		const char *header, *why;
	} cases[] = {
		/* of 16 bytes of data */
		{"{" TENSOR("a", "F32", "[4]", "0", "16") "}", NULL},
		{"{" TENSOR("a", "F32", "[2]", "8", "16") "," TENSOR("b", "F32", "[2]", "0", "8") "}", NULL},
		{"{" TENSOR("a", "F32", "[4]", "0", "16") "," TENSOR("b", "F32", "[0]", "16", "16") "}", NULL},
		{"{" TENSOR("a", "F32", "[4]", "0", "16") "}   ", NULL},
		{"{" TENSOR("a", "F32", "[3]", "0", "12") "}", "belong to no tensor"},
		{"{" TENSOR("a", "F32", "[3]", "4", "16") "}", "'a' begins behind a hole"},
		{"{" TENSOR("a", "F32", "[2]", "0", "8") "," TENSOR("b", "F32", "[1]", "12", "16") "}",
			"'b' begins behind"},
		{"{" TENSOR("a", "F32", "[3]", "0", "12") "," TENSOR("b", "F32", "[2]", "8", "16") "}", "overlaps"},
		{"{" TENSOR("a", "F32", "[4]", "0", "16") "," TENSOR("b", "F32", "[4]", "0", "16") "}", "overlaps"},
		{"{" TENSOR("a", "F32", "[2]", "0", "8") "," TENSOR("a", "F32", "[2]", "8", "16") "}",
			"'a' stands there twice"},
		{"{" TENSOR("a", "F32", "[5]", "0", "20") "}", "inside the file"},
		{"{" TENSOR("a", "F32", "[4]", "16", "0") "}", "inside the file"},
		{"{" TENSOR("a", "F32", "[4]", "0", "1e300") "}", "offsets"},
		{"{" TENSOR("a", "F32", "[4]", "-1", "16") "}", "offsets"},
		{"{" TENSOR("a", "F32", "[4]", "0.5", "16") "}", "offsets"},
		{"{" TENSOR("a", "F32", "[3]", "0", "16") "}", "number of bytes"},
		{"{" TENSOR("a", "F32", "[4294967296,4294967296,4]", "0", "16") "}", "number of bytes"},
		{"{" TENSOR("a", "F32", "[-4]", "0", "16") "}", "shape"},
		{"{" TENSOR("a", "F32", "[\"4\"]", "0", "16") "}", "shape"},
		{"{" TENSOR("a", "F32", "4", "0", "16") "}", "shape"},
		{"{" TENSOR("a", "F32", "[1,1,1,1,1,1,1,1,4]", "0", "16") "}", "8 dimensions"},
		{"{" TENSOR("a", "F33", "[4]", "0", "16") "}", "type"},
		{"{\"a\":{\"shape\":[4],\"data_offsets\":[0,16]}}", "type"},
		{"{\"a\":{\"dtype\":\"F32\",\"shape\":[4]}}", "offsets"},
		{"{\"a\":{\"dtype\":\"F32\",\"shape\":[4],\"data_offsets\":[0]}}", "offsets"},
		{"{\"a\":7}", "object"},
		{"{\"a\":{\"dtype\":\"F32\"", "no JSON"},
		{"[1,2]", "no JSON object"},
		{" {}", "no JSON object"},
		{"{}", "belong to no tensor"},
		{"{" TENSOR("a", "F32", "[4]", "0", "16") "} x", "behind the JSON"},
		{"{\"__metadata__\":3," TENSOR("a", "F32", "[4]", "0", "16") "}", "metadata"},
		{"{\"__metadata__\":{\"k\":3}," TENSOR("a", "F32", "[4]", "0", "16") "}", "metadata 'k'"},
		{"{\"__metadata__\":{\"k\":\"\",\"k\":\"\"}," TENSOR("a", "F32", "[4]", "0", "16") "}",
			"'k' stands there twice"},
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct error err = {0};
		file_make(place->path, cases[i].header, strlen(cases[i].header), 16);
		struct safetensors *file = safetensors_open(place->path, &err);
		if ((file != NULL) != (cases[i].why == NULL))
			fail_msg("%s: %s", cases[i].header, err.message);
		safetensors_close(file);
		if (cases[i].why == NULL)
			continue;
		assert_int_equal(err.code, ERROR_FORMAT);
		if (strstr(err.message, cases[i].why) == NULL || strstr(err.message, place->path) == NULL)
			fail_msg("%s: %s", cases[i].header, err.message);
	}
}

static void test_lengths(void **state)
{
	struct helper_place *place = *state;
	static const uint64_t lengths[] = {0, 3, 9, 1 << 20, UINT64_MAX, UINT64_MAX - 7, UINT64_C(1) << 63};
	for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
		struct error err = {0};
		unsigned char file[16] = "........{}      ";
		memcpy(file, &lengths[i], 8);
		helper_file_write(place->path, file, sizeof file);
		assert_null(safetensors_open(place->path, &err));
		assert_int_equal(err.code, ERROR_FORMAT);
	}
	for (size_t size = 0; size < 8; size++) {
		struct error err = {0};
		helper_file_write(place->path, "\0\0\0\0\0\0\0", size);
		assert_null(safetensors_open(place->path, &err));
		assert_int_equal(err.code, ERROR_FORMAT);
	}
	struct error err = {0};
	assert_null(safetensors_open(place->folder, &err));
	assert_int_equal(err.code, ERROR_IO);
}

/* What was read goes here, so that no compiler leaves the reading out. */
static volatile size_t sink;

/* Cut off at any byte: refused. Changed at any byte or anyhow: no crash. */
static void test_damage(void **state)
{
	struct helper_place *place = *state;
	struct error err = {0};
	size_t size = 0;
	assert_int_equal(safetensors_write(place->path, samples, SAMPLES, pairs, 3, &err), 0);
	unsigned char *file = helper_file_read(place->path, &size), *changed = malloc(size);
	for (size_t length = 0; length < size; length++) {
		err = (struct error){0};
		helper_file_write(place->path, file, length);
		assert_null(safetensors_open(place->path, &err));
		assert_int_equal(err.code, ERROR_FORMAT);
	}
	size_t opened = 0;
	for (uint32_t seed = 0; seed < 4000; seed++) {
		struct philox random = philox_stream(seed, 0, 0, 0, PHILOX_TEST);
		memcpy(changed, file, size);
		for (uint32_t n = 1 + philox_below(&random, 3); n > 0; n--) {
			static const char symbols[] = "{}[],:\"\\0123456789-eE.u ntf";
			size_t at = philox_below(&random, (uint32_t)size);
			if (philox_below(&random, 2) == 0)
				changed[at] = (unsigned char)symbols[philox_below(&random, sizeof symbols - 1)];
			else
				changed[at] ^= (unsigned char)(1u << philox_below(&random, 8));
		}
		helper_file_write(place->path, changed, size);
		struct safetensors *got = safetensors_open(place->path, NULL);
		for (size_t i = 0; got != NULL && i < safetensors_count(got); i++) {
			const struct safetensor *tensor = safetensors_at(got, i);
			sink += strlen(tensor->name);
			if (tensor->bytes > 0)
				sink += ((const unsigned char *)tensor->data)[tensor->bytes - 1];
		}
		opened += got != NULL;
		safetensors_close(got);
	}
	assert_true(opened > 100 && opened < 3900);
	free(changed);
	free(file);
}

/* Halves, bfloats and doubles as floats: the edges of each; all others stay, and so do shapes and places. */
static void test_to_f32(void **state)
{
	struct helper_place *place = *state;
	static const uint16_t half[] = {
		0x0000, 0x8000, 0x3c00, 0xc000, 0x0001, 0x03ff, 0x0400, 0x7bff, 0xfbff, 0x7c00, 0xfc00, 0x3555};
	static const float half_is[] = {
		0, -0.0F, 1, -2, 0x1p-24F, 1023 * 0x1p-24F, 0x1p-14F, 65504, -65504, INFINITY, -INFINITY, 0x1.554p-2F};
	static const uint16_t bfloat[] = {
		0x0000, 0x8000, 0x3f80, 0xc000, 0x0001, 0x7f7f, 0x7f80, 0xff80, 0x3eab, 0x7fc0};
	static const float bfloat_is[] = {
		0, -0.0F, 1, -2, 0x1p-133F, 0x1.fep127F, INFINITY, -INFINITY, 0x1.56p-2F, NAN};
	static const double wide[] = {0.1, -1e-320, 1e300, 3};
	static const float wide_is[] = {0.1F, -0.0F, INFINITY, 3};
	const struct safetensor put[] = {{"half", SAFETENSORS_F16, 2, {3, 4}, half, sizeof half}, samples[0],
		{"bfloat", SAFETENSORS_BF16, 1, {10}, bfloat, sizeof bfloat}, samples[5],
		{"wide", SAFETENSORS_F64, 2, {4, 1}, wide, sizeof wide}, {"none", SAFETENSORS_F16, 1, {0}, NULL, 0}};
	const float *const expected[] = {half_is, floats, bfloat_is, NULL, wide_is, NULL};
	struct error err = {0};
	size_t converted = 99;
	assert_int_equal(safetensors_write(place->path, put, 6, NULL, 0, &err), 0);
	struct safetensors *file = safetensors_open(place->path, &err);
	assert_non_null(file);
	assert_int_equal(safetensors_to_f32(file, &converted, &err), 0);
	assert_int_equal(converted, 4);
	for (size_t i = 0; i < 6; i++) {
		const struct safetensor *got = safetensors_at(file, i);
		assert_string_equal(got->name, put[i].name);
		assert_int_equal(got->type, i == 3 ? SAFETENSORS_I64 : SAFETENSORS_F32);
		assert_int_equal(got->dims, put[i].dims);
		assert_int_equal(got->shape[0], put[i].shape[0]);
		for (size_t k = 0; expected[i] != NULL && k < got->bytes / sizeof(float); k++) {
			float value = ((const float *)got->data)[k];
			if (isnan(expected[i][k]))
				assert_true(isnan(value));
			else
				assert_memory_equal(&value, &expected[i][k], sizeof value);
		}
	}
	assert_int_equal(safetensors_at(file, 0)->bytes, 48);
	assert_int_equal(safetensors_at(file, 5)->bytes, 0);
	assert_int_equal(safetensors_to_f32(file, &converted, &err), 0);
	assert_int_equal(converted, 0);
	safetensors_close(file);
}

/* NaN of either kind stays one. */
static void test_half_nan(void **state)
{
	struct helper_place *place = *state;
	static const uint16_t nans[] = {0x7e00, 0x7c01, 0xffff};
	const struct safetensor put = {"a", SAFETENSORS_F16, 1, {3}, nans, sizeof nans};
	size_t converted;
	assert_int_equal(safetensors_write(place->path, &put, 1, NULL, 0, NULL), 0);
	struct safetensors *file = safetensors_open(place->path, NULL);
	assert_non_null(file);
	assert_int_equal(safetensors_to_f32(file, &converted, NULL), 0);
	for (size_t k = 0; k < 3; k++)
		assert_true(isnan(((const float *)safetensors_at(file, 0)->data)[k]));
	safetensors_close(file);
}

static void test_strip(void **state)
{
	struct helper_place *place = *state;
	struct safetensor put[] = {samples[1], samples[3], samples[1], samples[3]};
	static const char *const names[] = {"module.a", "module.b.c", "a", "modul"};
	for (size_t i = 0; i < 4; i++)
		put[i].name = names[i];
	assert_int_equal(safetensors_write(place->path, put, 4, pairs, 3, NULL), 0);
	struct safetensors *file = safetensors_open(place->path, NULL);
	assert_non_null(file);
	assert_int_equal(safetensors_strip(file, ""), 4);
	assert_int_equal(safetensors_strip(file, "module."), 2);
	assert_int_equal(safetensors_count(file), 2);
	assert_ptr_equal(safetensors_find(file, "a"), safetensors_at(file, 0));
	assert_memory_equal(safetensors_find(file, "b.c")->data, floats + 2, 4);
	assert_null(safetensors_find(file, "module.a"));
	assert_string_equal(safetensors_metadata(file, "format"), "pt");
	assert_int_equal(safetensors_strip(file, "z"), 0);
	assert_null(safetensors_find(file, "a"));
	safetensors_close(file);
}

/* What torch.save() makes, new and old, is named with the way to convert it. */
static void test_pickle_named(void **state)
{
	struct helper_place *place = *state;
	static const char zip[] = "PK\3\4\0\0\x08\x08archive/data.pkl", old[] = "\x80\2\x8a\nl\xfc\x9c"
										"F\xf9 j\xa8P\x19.";
	const struct {
		const char *bytes;
		size_t count;
	} cases[] = {{zip, sizeof zip}, {old, sizeof old}};
	for (size_t i = 0; i < 2; i++) {
		struct error err = {0};
		helper_file_write(place->path, cases[i].bytes, cases[i].count);
		assert_null(safetensors_open(place->path, &err));
		assert_int_equal(err.code, ERROR_FORMAT);
		assert_non_null(strstr(err.message, "torch.save()"));
		assert_non_null(strstr(err.message, "save_file"));
	}
}

/* ---- for tests of other readers and writers ---- */

static void hex_print(const void *data, size_t size)
{
	for (size_t i = 0; i < size; i++)
		printf("%02x", ((const unsigned char *)data)[i]);
}

/* A line for each tensor: name in hexadecimal, number of the type, shape, bytes in hexadecimal. */
static int tensors_print(const char *path)
{
	struct error err = {0};
	struct safetensors *file = safetensors_open(path, &err);
	if (file == NULL) {
		fprintf(stderr, "%s\n", err.message);
		return 1;
	}
	for (size_t i = 0; i < safetensors_count(file); i++) {
		const struct safetensor *tensor = safetensors_at(file, i);
		hex_print(tensor->name, strlen(tensor->name));
		printf(" %d [", (int)tensor->type);
		for (unsigned d = 0; d < tensor->dims; d++)
			printf("%s%llu", d == 0 ? "" : ",", (unsigned long long)tensor->shape[d]);
		printf("] ");
		hex_print(tensor->data, tensor->bytes);
		printf("\n");
	}
	const char *metadata = safetensors_metadata(file, "key");
	printf("key=%s\n", metadata == NULL ? "" : metadata);
	safetensors_close(file);
	return 0;
}

/* test_safetensors --write FILE: the samples above; test_safetensors --print FILE: what is in it. */
int main(int argc, char **argv)
{
	if (argc == 3 && strcmp(argv[1], "--write") == 0)
		return safetensors_write(argv[2], samples, SAMPLES, pairs, 3, NULL) == 0 ? 0 : 1;
	if (argc == 3 && strcmp(argv[1], "--print") == 0)
		return tensors_print(argv[2]);
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_round_trip, helper_place_make, helper_place_remove),
		cmocka_unit_test_setup_teardown(test_nothing_in_it, helper_place_make, helper_place_remove),
		cmocka_unit_test_setup_teardown(test_bytes, helper_place_make, helper_place_remove),
		cmocka_unit_test_setup_teardown(test_write_refused, helper_place_make, helper_place_remove),
		cmocka_unit_test_setup_teardown(test_read_refused, helper_place_make, helper_place_remove),
		cmocka_unit_test_setup_teardown(test_to_f32, helper_place_make, helper_place_remove),
		cmocka_unit_test_setup_teardown(test_half_nan, helper_place_make, helper_place_remove),
		cmocka_unit_test_setup_teardown(test_strip, helper_place_make, helper_place_remove),
		cmocka_unit_test_setup_teardown(test_pickle_named, helper_place_make, helper_place_remove),
		cmocka_unit_test_setup_teardown(test_lengths, helper_place_make, helper_place_remove),
		cmocka_unit_test_setup_teardown(test_damage, helper_place_make, helper_place_remove),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
