/* SPDX-License-Identifier: Apache-2.0 */
/* Weighted k-nearest-neighbour vote by cosine similarity. */
#include "model/probe_internal.h"

#include <stdlib.h>

#include "model/neighbours.h"

struct call {
	const struct probe_data *bank, *test;
	unsigned classes, k;
	double temperature;
	double *votes;	      /* [threads][classes] */
	unsigned char *ahead; /* [test count], classes ahead of the true one, at most 255 */
};

static unsigned char classes_ahead(const double *votes, unsigned classes, unsigned label)
{
	if (votes[label] == 0)
		return UINT8_MAX;
	unsigned ahead = 0;
	for (unsigned c = 0; c < classes; c++)
		ahead += c < label ? votes[c] >= votes[label] : votes[c] > votes[label];
	return ahead < UINT8_MAX ? (unsigned char)ahead : UINT8_MAX;
}

static void vote(void *ctx, size_t query, const struct neighbour *nearest, unsigned thread)
{
	const struct call *call = ctx;
	double *votes = call->votes + (size_t)thread * call->classes;
	int32_t foremost =
		neighbours_vote(nearest, call->k, call->bank->labels, call->classes, call->temperature, votes);
	call->ahead[query] = classes_ahead(votes, call->classes, (unsigned)call->test->labels[query]);
	if (call->test->predicted)
		call->test->predicted[query] = foremost;
}

static int check(const struct probe_data *bank, const struct probe_data *test, unsigned dim, unsigned classes,
	unsigned k, double temperature, struct error *err)
{
	if (dim == 0 || classes == 0 || k == 0 || !(temperature > 0))
		return error_set(err, ERROR_USAGE,
			"knn: %u features, %u classes, k = %u, temperature %g: all must be above 0", dim, classes, k,
			temperature);
	int code = probe_check(bank, "train", classes, err);
	return code == 0 ? probe_check(test, "test", classes, err) : code;
}

int probe_knn(struct team *team, const struct probe_data *bank, const struct probe_data *test, unsigned dim,
	unsigned classes, unsigned k, double temperature, struct probe_score *score, struct error *err)
{
	int code = check(bank, test, dim, classes, k, temperature, err);
	if (code != 0)
		return code;
	struct call call = {.bank = bank, .test = test, .classes = classes, .temperature = temperature};
	call.k = k < bank->count ? k : (unsigned)bank->count;
	call.votes = calloc((size_t)team_threads(team) * classes, sizeof *call.votes);
	call.ahead = malloc(test->count);
	if (!call.votes || !call.ahead)
		code = error_set(err, ERROR_MEMORY, "knn: no memory for %zu answers", test->count);
	else
		code = neighbours_find(
			team, dim, bank->features, bank->count, test->features, test->count, call.k, vote, &call, err);
	size_t top1 = 0, top5 = 0;
	for (size_t i = 0; code == 0 && i < test->count; i++) {
		top1 += call.ahead[i] == 0;
		top5 += call.ahead[i] < 5;
	}
	if (code == 0)
		*score = (struct probe_score){.top1 = 100 * (double)top1 / (double)test->count,
			.top5 = classes <= 5 ? 100 : 100 * (double)top5 / (double)test->count};
	free(call.votes);
	free(call.ahead);
	return code;
}
