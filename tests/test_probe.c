/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The linear probes against float64 references, conditions of optimality, and chance; the team's size for all probes.
 *
 * test_probe --dump DIR writes for test_torch_loss.py: probe.train, probe.test (float32 [count][DIM]), probe.labels,
 * probe.test_labels (int32) and probe.scores (float64: top-1 and top-5 of kNN; the minimum of softmax_minimise() on the
 * raw features at ridge 0.01; top-1 of the regression at ridges 0.001 and 0.01).
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "model/probe_internal.h"
#include "tests/helper_train.h"

enum { DIM = 24, CLASSES = 7, TRAIN = 1500, TEST = 700 };

static void test_chance(void **state)
{
	(void)state;
	struct helper_data train = helper_data_create(2000, DIM, 10, 0, 1),
			   test = helper_data_create(2000, DIM, 10, 0, 2);
	struct team *team = helper_team(2);
	struct probe_score score;
	struct error err = {0};
	/* Deviation of 2000 draws at 10%: 0.67 points; at 50%: 1.12. Four of each. */
	static const double ridges[] = {1e-3, 1e-1};
	assert_int_equal(
		probe_logistic_lbfgs(team, &train.probe, NULL, &test.probe, DIM, 10, ridges, 2, &score, &err), 0);
	assert_true(fabs(score.top1 - 10) < 2.7 && fabs(score.top5 - 50) < 4.5);
	team_destroy(team);
	helper_data_destroy(&train);
	helper_data_destroy(&test);
}

/* Mean cross-entropy + ridge |W|^2 and its gradient by the definition, in float64. */
static double objective(
	const struct probe_data *data, unsigned dim, unsigned classes, double ridge, const double *x, double *gradient)
{
	double loss = 0, logits[64], *bias = gradient + (size_t)classes * dim;
	memset(gradient, 0, (size_t)classes * (dim + 1) * sizeof *gradient);
	for (size_t i = 0; i < data->count; i++) {
		double largest = -INFINITY, sum = 0;
		for (unsigned k = 0; k < classes; k++) {
			logits[k] = x[(size_t)classes * dim + k];
			for (unsigned c = 0; c < dim; c++)
				logits[k] += x[(size_t)k * dim + c] * (double)data->features[i * dim + c];
			largest = fmax(largest, logits[k]);
		}
		for (unsigned k = 0; k < classes; k++)
			sum += exp(logits[k] - largest);
		/* cppcheck-suppress invalidFunctionArg ; a sum of exponentials is positive */
		loss += largest + log(sum) - logits[data->labels[i]];
		for (unsigned k = 0; k < classes; k++) {
			double d = exp(logits[k] - largest) / sum - (k == (unsigned)data->labels[i]);
			bias[k] += d / (double)data->count;
			for (unsigned c = 0; c < dim; c++)
				gradient[(size_t)k * dim + c] +=
					d * (double)data->features[i * dim + c] / (double)data->count;
		}
	}
	loss /= (double)data->count;
	for (size_t i = 0; i < (size_t)classes * dim; i++) {
		loss += ridge * x[i] * x[i];
		gradient[i] += 2 * ridge * x[i];
	}
	return loss;
}

static double norm_of(const double *x, size_t count)
{
	double sum = 0;
	for (size_t i = 0; i < count; i++)
		sum += x[i] * x[i];
	return sqrt(sum);
}

static void test_softmax_gradient(void **state)
{
	(void)state;
	static const size_t rows[] = {1, 127, 128, 129, 300, 2500};
	enum { COUNT = CLASSES * (DIM + 1) };
	double want[COUNT], got[COUNT], x[COUNT];
	float weights[COUNT];
	struct error err = {0};
	struct team *team = helper_team(2);
	struct softmax *softmax = softmax_create(DIM, CLASSES, &err);
	assert_non_null(softmax);
	helper_fill(weights, COUNT, 3);
	for (size_t i = 0; i < COUNT; i++)
		x[i] = (double)weights[i];
	for (size_t r = 0; r < sizeof rows / sizeof *rows; r++) {
		struct helper_data data = helper_data_create(rows[r], DIM, CLASSES, 0.5, r);
		double loss = softmax_gradient(softmax, team, &data.probe, x, got);
		assert_true(fabs(loss - objective(&data.probe, DIM, CLASSES, 0, x, want)) < 1e-12);
		for (size_t i = 0; i < COUNT; i++)
			assert_true(fabs(got[i] - want[i]) < 1e-12);
		helper_data_destroy(&data);
	}
	softmax_destroy(softmax);
	team_destroy(team);
}

/* The gradient, computed independently, vanishes where L-BFGS ends. */
static void test_minimum(void **state)
{
	(void)state;
	static const double ridges[] = {100, 1, 1e-1, 1e-2, 1e-3, 1e-5};
	enum { COUNT = CLASSES * (DIM + 1) };
	double x[COUNT], start[COUNT] = {0}, gradient[COUNT];
	struct error err = {0};
	struct team *team = helper_team(2);
	struct softmax *softmax = softmax_create(DIM, CLASSES, &err);
	assert_non_null(softmax);
	struct helper_data data = helper_data_create(TRAIN, DIM, CLASSES, 0.5, 1);
	objective(&data.probe, DIM, CLASSES, 0, start, gradient);
	double at_start = norm_of(gradient, COUNT);
	for (size_t r = 0; r < sizeof ridges / sizeof *ridges; r++) {
		memset(x, 0, sizeof x);
		assert_int_equal(softmax_minimise(softmax, team, &data.probe, ridges[r], x, &err), 0);
		objective(&data.probe, DIM, CLASSES, ridges[r], x, gradient);
		double left = norm_of(gradient, COUNT);
		if (!(left < 1.01e-5 * fmax(1, norm_of(x, COUNT))) || !(left < 1e-3 * at_start))
			fail_msg("ridge %g: gradient %.3g of %.3g, |x| %.3g", ridges[r], left, at_start,
				norm_of(x, COUNT));
	}
	softmax_destroy(softmax);
	team_destroy(team);
	helper_data_destroy(&data);
}

/* Accuracy of x on data, and how near the nearest decision is: no float32 result may differ by more than such ties. */
static double accuracy(const struct probe_data *data, const double *x)
{
	size_t hits = 0;
	for (size_t i = 0; i < data->count; i++) {
		unsigned best = 0;
		double largest = -INFINITY;
		for (unsigned k = 0; k < CLASSES; k++) {
			double logit = x[(size_t)CLASSES * DIM + k];
			for (unsigned c = 0; c < DIM; c++)
				logit += x[(size_t)k * DIM + c] * (double)data->features[i * DIM + c];
			if (logit > largest) {
				largest = logit;
				best = k;
			}
		}
		hits += best == (unsigned)data->labels[i];
	}
	return 100 * (double)hits / (double)data->count;
}

static void standardise(struct helper_data *data, const struct helper_data *by)
{
	for (unsigned c = 0; c < DIM; c++) {
		double mean = 0, square = 0;
		for (size_t i = 0; i < by->probe.count; i++)
			mean += (double)by->features[i * DIM + c] / (double)by->probe.count;
		for (size_t i = 0; i < by->probe.count; i++)
			square += pow((double)by->features[i * DIM + c] - mean, 2);
		double deviation = sqrt(square / (double)(by->probe.count - 1)) + 1e-6;
		for (size_t i = 0; i < data->probe.count; i++) {
			float *f = &data->features[i * DIM + c];
			*f = (float)(((double)*f - mean) / deviation);
		}
	}
}

/* Plain gradient descent in float64 on the same standardised problem reaches the same accuracy. */
static double check_logistic_accuracy(size_t rows)
{
	enum { COUNT = CLASSES * (DIM + 1) };
	static const double ridge = 0.05;
	struct team *team = helper_team(2);
	struct probe_score score;
	struct error err = {0};
	struct helper_data train = helper_data_create(rows, DIM, CLASSES, 0.5, 1),
			   test = helper_data_create(TEST, DIM, CLASSES, 0.5, 2);
	for (size_t i = 0; i < rows * DIM; i++) /* columns of very different scale and place */
		train.features[i] = train.features[i] * (float)(1 + i % DIM) + (float)(i % DIM * 10);
	for (size_t i = 0; i < TEST * DIM; i++)
		test.features[i] = test.features[i] * (float)(1 + i % DIM) + (float)(i % DIM * 10);
	assert_int_equal(
		probe_logistic_lbfgs(team, &train.probe, NULL, &test.probe, DIM, CLASSES, &ridge, 1, &score, &err), 0);
	assert_true(score.ridge == ridge);
	struct helper_data copy = helper_data_create(rows, DIM, CLASSES, 0.5, 1);
	memcpy(copy.features, train.features, rows * DIM * sizeof(float));
	standardise(&test, &copy);
	standardise(&train, &copy);
	double x[COUNT] = {0}, gradient[COUNT];
	for (int step = 0; step < 1600; step++) {
		objective(&train.probe, DIM, CLASSES, ridge, x, gradient);
		for (size_t i = 0; i < COUNT; i++)
			x[i] -= 0.5 * gradient[i];
	}
	assert_true(norm_of(gradient, COUNT) < 1e-6);
	assert_true(fabs(score.top1 - accuracy(&test.probe, x)) < 1e-9);
	team_destroy(team);
	helper_data_destroy(&train);
	helper_data_destroy(&test);
	helper_data_destroy(&copy);
	return score.top1;
}

static void test_logistic_accuracy(void **state)
{
	(void)state;
	double top1 = check_logistic_accuracy(600);
	assert_true(top1 > 50 && top1 < 95); /* a problem with something to get wrong */
	/* So few rows that the deviation's n - 1 shows. */
	check_logistic_accuracy(40);
}

static void test_logistic_separable(void **state)
{
	(void)state;
	double ridges[45];
	probe_ridge_grid(ridges);
	struct team *team = helper_team(2);
	struct probe_score score;
	struct error err = {0};
	struct helper_data train = helper_data_create(400, DIM, CLASSES, 5, 1),
			   test = helper_data_create(400, DIM, CLASSES, 5, 2);
	assert_int_equal(
		probe_logistic_lbfgs(team, &train.probe, NULL, &test.probe, DIM, CLASSES, ridges, 45, &score, &err), 0);
	assert_true(score.top1 == 100 && score.top5 == 100);
	/* Of equally good ridges the strongest, wherever it stands. */
	static const double equal[] = {1e-3, 1e-1, 1e-2};
	assert_int_equal(
		probe_logistic_lbfgs(team, &train.probe, NULL, &test.probe, DIM, CLASSES, equal, 3, &score, &err), 0);
	assert_true(score.top1 == 100 && score.ridge == 1e-1);
	/* No ridge at all on separable data: no minimum to reach, and no error. */
	static const double none = 0;
	assert_int_equal(
		probe_logistic_lbfgs(team, &train.probe, NULL, &test.probe, DIM, CLASSES, &none, 1, &score, &err), 0);
	assert_true(score.top1 == 100);
	team_destroy(team);
	helper_data_destroy(&train);
	helper_data_destroy(&test);
}

/* The choice: each ridge fitted alone on the nine tenths and judged on the tenth; the best, refitted on all. */
static void test_ridge_choice(void **state)
{
	(void)state;
	static const double ridges[] = {1e-5, 1, 0.01, 0.1, 30};
	struct team *team = helper_team(2);
	struct error err = {0};
	struct probe_score score, again, alone;
	/* Few rows for many columns, so that the ridge matters. */
	struct helper_data train = helper_data_create(160, DIM, CLASSES, 0.4, 1),
			   test = helper_data_create(TEST, DIM, CLASSES, 0.4, 2);
	struct helper_data kept = helper_data_create(160, DIM, CLASSES, 0.4, 1),
			   held = helper_data_create(160, DIM, CLASSES, 0.4, 1);
	kept.probe.count = held.probe.count = 0;
	for (size_t i = 0; i < 160; i++) {
		struct helper_data *to = i % 10 == 9 ? &held : &kept;
		size_t at = to->probe.count++;
		memcpy(to->features + at * DIM, train.features + i * DIM, DIM * sizeof(float));
		to->labels[at] = train.labels[i];
	}
	assert_int_equal(
		probe_logistic_lbfgs(team, &train.probe, NULL, &test.probe, DIM, CLASSES, ridges, 5, &score, &err), 0);
	/* The same split given as a validation set, and the ridges in another order. */
	static const double turned[] = {30, 0.1, 1e-5, 1, 0.01};
	assert_int_equal(probe_logistic_lbfgs(
				 team, &kept.probe, &held.probe, &test.probe, DIM, CLASSES, turned, 5, &again, &err),
		0);
	assert_true(score.ridge == again.ridge && score.top1 == again.top1 && score.top5 == again.top5);
	assert_int_equal(probe_logistic_lbfgs(
				 team, &train.probe, NULL, &test.probe, DIM, CLASSES, &score.ridge, 1, &alone, &err),
		0);
	assert_true(fabs(score.top1 - alone.top1) < 0.2); /* the refit is the same problem, its rows in another order */
	/* By hand, with the statistics of all. */
	struct helper_data all = helper_data_create(160, DIM, CLASSES, 0.4, 1);
	standardise(&kept, &all);
	standardise(&held, &all);
	struct softmax *softmax = softmax_create(DIM, CLASSES, &err);
	assert_non_null(softmax);
	double best = -1, chosen = 0, worst = 101;
	static const double sorted[] = {30, 1, 0.1, 0.01, 1e-5};
	for (size_t r = 0; r < 5; r++) {
		double x[CLASSES * (DIM + 1)] = {0};
		assert_int_equal(softmax_minimise(softmax, team, &kept.probe, sorted[r], x, &err), 0);
		double hits = accuracy(&held.probe, x);
		if (hits > best) {
			best = hits;
			chosen = sorted[r];
		}
		worst = fmin(worst, hits);
	}
	assert_true(score.ridge == chosen);
	assert_true(worst < best);
	softmax_destroy(softmax);
	team_destroy(team);
	helper_data_destroy(&train);
	helper_data_destroy(&test);
	helper_data_destroy(&kept);
	helper_data_destroy(&held);
	helper_data_destroy(&all);
}

static void test_ridge_grid(void **state)
{
	(void)state;
	double ridges[45];
	probe_ridge_grid(ridges);
	assert_true(fabs(ridges[0] - 1e-6) < 1e-18 && fabs(ridges[44] - 1e5) < 1e-7);
	for (int i = 1; i < 45; i++)
		assert_true(fabs(ridges[i] / ridges[i - 1] - pow(1e11, 1.0 / 44)) < 1e-12);
}

/* Three steps of Nesterov by the formula, in float64. */
static void test_sgd(void **state)
{
	(void)state;
	enum { COUNT = CLASSES * (DIM + 1), ROWS = 200 };
	struct error err = {0};
	struct team *team = helper_team(2);
	struct helper_data train = helper_data_create(ROWS * 3, DIM, CLASSES, 0.5, 1),
			   test = helper_data_create(TEST, DIM, CLASSES, 0.5, 2);
	struct probe_sgd *probe = probe_sgd_create(NULL, DIM, CLASSES, &err);
	assert_non_null(probe);
	double x[COUNT] = {0}, velocity[COUNT] = {0}, gradient[COUNT];
	struct probe_score score;
	for (size_t step = 0; step < 3; step++) {
		struct probe_data batch = {.features = train.features + step * ROWS * DIM,
			.labels = train.labels + step * ROWS,
			.count = ROWS};
		double rate = 0.3 / (double)(1 + step), want = objective(&batch, DIM, CLASSES, 0, x, gradient);
		for (size_t i = 0; i < COUNT; i++) {
			velocity[i] = 0.9 * velocity[i] + gradient[i];
			x[i] -= rate * (gradient[i] + 0.9 * velocity[i]);
		}
		double loss = probe_sgd_step(probe, team, &batch, rate);
		assert_true(fabs(loss - want) < 1e-6);
		if (step == 0)
			assert_true(fabs(loss - log(CLASSES)) < 1e-6);
		probe_sgd_score(probe, team, &test.probe, &score);
		assert_true(fabs(score.top1 - accuracy(&test.probe, x)) < 1e-9);
	}
	const struct probe_data first = {.features = train.features, .labels = train.labels, .count = ROWS};
	for (size_t step = 0; step < 60; step++)
		probe_sgd_step(probe, team, &first, 0.05);
	probe_sgd_score(probe, team, &test.probe, &score);
	assert_true(score.top1 > 50 && score.top5 > score.top1);
	probe_sgd_destroy(probe);
	team_destroy(team);
	helper_data_destroy(&train);
	helper_data_destroy(&test);
}

/* Zero weights tie every class: the lower ones are ahead. */
static void test_sgd_ties(void **state)
{
	(void)state;
	struct error err = {0};
	struct team *team = helper_team(1);
	struct helper_data test = helper_data_create(TEST, DIM, CLASSES, 0.5, 2);
	struct probe_sgd *probe = probe_sgd_create(NULL, DIM, CLASSES, &err);
	assert_non_null(probe);
	struct probe_score score;
	double first = 0, first5 = 0;
	for (size_t i = 0; i < TEST; i++) {
		first += test.labels[i] == 0;
		first5 += test.labels[i] < 5;
	}
	probe_sgd_score(probe, team, &test.probe, &score);
	assert_true(fabs(score.top1 - 100 * first / TEST) < 1e-9 && fabs(score.top5 - 100 * first5 / TEST) < 1e-9);
	probe_sgd_destroy(probe);
	team_destroy(team);
	helper_data_destroy(&test);
}

static void test_team_invariance(void **state)
{
	(void)state;
	enum { COUNT = CLASSES * (DIM + 1) };
	static const unsigned threads[] = {1, 2, 3, 8};
	static const double ridges[] = {1e-3, 1};
	struct helper_data train = helper_data_create(TRAIN, DIM, CLASSES, 0.5, 1),
			   test = helper_data_create(TEST, DIM, CLASSES, 0.5, 2);
	double first[COUNT];
	struct probe_score knn0 = {0}, logistic0 = {0};
	for (size_t t = 0; t < 4; t++) {
		struct error err = {0};
		struct team *team = helper_team(threads[t]);
		struct softmax *softmax = softmax_create(DIM, CLASSES, &err);
		struct probe_score knn, logistic;
		double x[COUNT] = {0};
		assert_non_null(softmax);
		assert_int_equal(softmax_minimise(softmax, team, &train.probe, 0.01, x, &err), 0);
		assert_int_equal(probe_knn(team, &train.probe, &test.probe, DIM, CLASSES, 200, 0.1, &knn, &err), 0);
		assert_int_equal(probe_logistic_lbfgs(team, &train.probe, NULL, &test.probe, DIM, CLASSES, ridges, 2,
					 &logistic, &err),
			0);
		if (t == 0) {
			memcpy(first, x, sizeof x);
			knn0 = knn;
			logistic0 = logistic;
		}
		assert_memory_equal(first, x, sizeof x);
		assert_true(knn.top1 == knn0.top1 && knn.top5 == knn0.top5);
		assert_true(logistic.top1 == logistic0.top1 && logistic.top5 == logistic0.top5);
		assert_true(logistic.ridge == logistic0.ridge);
		softmax_destroy(softmax);
		team_destroy(team);
	}
	helper_data_destroy(&train);
	helper_data_destroy(&test);
}

/* A constant column (a dead feature) and one that is huge do no harm. */
static void test_degenerate_columns(void **state)
{
	(void)state;
	struct error err = {0};
	struct team *team = helper_team(1);
	struct probe_score score;
	static const double ridges[] = {1e-6, 1e-2};
	struct helper_data train = helper_data_create(300, DIM, CLASSES, 2, 1),
			   test = helper_data_create(200, DIM, CLASSES, 2, 2);
	for (size_t i = 0; i < 300; i++) {
		train.features[i * DIM] = 0;
		train.features[i * DIM + 1] *= 1e20f;
	}
	for (size_t i = 0; i < 200; i++) {
		test.features[i * DIM] = 0;
		test.features[i * DIM + 1] *= 1e20f;
	}
	assert_int_equal(
		probe_logistic_lbfgs(team, &train.probe, NULL, &test.probe, DIM, CLASSES, ridges, 2, &score, &err), 0);
	assert_true(score.top1 > 95);
	team_destroy(team);
	helper_data_destroy(&train);
	helper_data_destroy(&test);
}

/* What is said to be foremost is what top-1 counts. */
static void test_predictions(void **state)
{
	(void)state;
	enum { TEST_ROWS = 203 };
	static const double ridge = 1e-2;
	struct error err = {0};
	struct team *team = helper_team(2);
	struct helper_data train = helper_data_create(300, DIM, CLASSES, 0.3, 1),
			   test = helper_data_create(TEST_ROWS, DIM, CLASSES, 0.3, 2);
	int32_t predicted[TEST_ROWS];
	struct probe_score score;
	struct probe_sgd *sgd = probe_sgd_create(NULL, DIM, CLASSES, &err);
	assert_non_null(sgd);
	probe_sgd_step(sgd, team, &train.probe, 0.1);
	test.probe.predicted = predicted;
	for (int method = 0; method < 3; method++) {
		memset(predicted, 0x7f, sizeof predicted);
		if (method == 0)
			probe_knn(team, &train.probe, &test.probe, DIM, CLASSES, 20, 0.1, &score, &err);
		else if (method == 1)
			probe_logistic_lbfgs(
				team, &train.probe, NULL, &test.probe, DIM, CLASSES, &ridge, 1, &score, &err);
		else
			probe_sgd_score(sgd, team, &test.probe, &score);
		size_t hits = 0;
		for (size_t i = 0; i < TEST_ROWS; i++) {
			assert_in_range(predicted[i], 0, CLASSES - 1);
			hits += predicted[i] == test.labels[i];
		}
		assert_true(score.top1 == 100 * (double)hits / TEST_ROWS);
		assert_true(hits > TEST_ROWS / CLASSES && hits < TEST_ROWS);
	}
	probe_sgd_destroy(sgd);
	team_destroy(team);
	helper_data_destroy(&train);
	helper_data_destroy(&test);
}

static void test_errors(void **state)
{
	(void)state;
	static const double ridges[] = {1, 2}, negative = -1;
	struct team *team = helper_team(1);
	struct helper_data train = helper_data_create(30, DIM, CLASSES, 1, 1),
			   test = helper_data_create(20, DIM, CLASSES, 1, 2);
	struct probe_data none = {0}, few = train.probe;
	struct probe_score score;
	few.count = 9;
#define expect(want, text, call)                                                                                       \
	do {                                                                                                           \
		struct error err = {0};                                                                                \
		assert_int_equal(call, want);                                                                          \
		assert_int_equal(err.code, want);                                                                      \
		assert_non_null(strstr(err.message, text));                                                            \
	} while (0)
	expect(ERROR_USAGE, "test set is empty",
		probe_logistic_lbfgs(team, &train.probe, NULL, &none, DIM, CLASSES, ridges, 2, &score, &err));
	expect(ERROR_USAGE, "10 are needed",
		probe_logistic_lbfgs(team, &few, NULL, &test.probe, DIM, CLASSES, ridges, 2, &score, &err));
	expect(ERROR_USAGE, "ridge weight -1",
		probe_logistic_lbfgs(team, &train.probe, NULL, &test.probe, DIM, CLASSES, &negative, 1, &score, &err));
	train.labels[3] = CLASSES;
	expect(ERROR_USAGE, "record 3 of the validation set",
		probe_logistic_lbfgs(
			team, &test.probe, &train.probe, &test.probe, DIM, CLASSES, ridges, 2, &score, &err));
	train.labels[3] = 0;
	train.features[5 * DIM + 2] = NAN;
	expect(ERROR_NUMERIC, "column 2",
		probe_logistic_lbfgs(team, &train.probe, NULL, &test.probe, DIM, CLASSES, ridges, 2, &score, &err));
#undef expect
	team_destroy(team);
	helper_data_destroy(&train);
	helper_data_destroy(&test);
}

static int dump(const char *dir)
{
	enum { COUNT = CLASSES * (DIM + 1) };
	static const double ridges[] = {0.001, 0.01};
	struct error err = {0};
	struct helper_data train = helper_data_create(TRAIN, DIM, CLASSES, 0.5, 1),
			   test = helper_data_create(TEST, DIM, CLASSES, 0.5, 2);
	struct team *team = helper_team(2);
	struct softmax *softmax = softmax_create(DIM, CLASSES, &err);
	struct probe_score knn, logistic[2];
	double x[COUNT] = {0}, gradient[COUNT];
	int code = softmax_minimise(softmax, team, &train.probe, 0.01, x, &err);
	if (code == 0)
		code = probe_knn(team, &train.probe, &test.probe, DIM, CLASSES, 200, 0.1, &knn, &err);
	for (int r = 0; r < 2 && code == 0; r++)
		code = probe_logistic_lbfgs(
			team, &train.probe, NULL, &test.probe, DIM, CLASSES, &ridges[r], 1, &logistic[r], &err);
	if (code == 0) {
		double scores[] = {knn.top1, knn.top5, objective(&train.probe, DIM, CLASSES, 0.01, x, gradient),
			logistic[0].top1, logistic[1].top1};
		helper_dump(dir, "probe.train", train.features, TRAIN * DIM * sizeof(float));
		helper_dump(dir, "probe.test", test.features, TEST * DIM * sizeof(float));
		helper_dump(dir, "probe.labels", train.labels, TRAIN * sizeof(int32_t));
		helper_dump(dir, "probe.test_labels", test.labels, TEST * sizeof(int32_t));
		helper_dump(dir, "probe.scores", scores, sizeof scores);
	}
	softmax_destroy(softmax);
	team_destroy(team);
	helper_data_destroy(&train);
	helper_data_destroy(&test);
	return code != 0;
}

int main(int argc, char **argv)
{
	if (argc == 3 && strcmp(argv[1], "--dump") == 0)
		return dump(argv[2]);
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_chance),
		cmocka_unit_test(test_softmax_gradient),
		cmocka_unit_test(test_minimum),
		cmocka_unit_test(test_logistic_accuracy),
		cmocka_unit_test(test_logistic_separable),
		cmocka_unit_test(test_ridge_choice),
		cmocka_unit_test(test_ridge_grid),
		cmocka_unit_test(test_sgd),
		cmocka_unit_test(test_sgd_ties),
		cmocka_unit_test(test_team_invariance),
		cmocka_unit_test(test_degenerate_columns),
		cmocka_unit_test(test_predictions),
		cmocka_unit_test(test_errors),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
