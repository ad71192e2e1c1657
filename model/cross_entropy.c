/* SPDX-License-Identifier: Apache-2.0 */
/*
 * With l the logits of a row, y its label and P = softmax(l), the row's loss is log(sum_c exp(l_c)) - l_y and its
 * gradient (P_c - [c = y]) / rows. Both are taken about the row's largest logit, so that nothing overflows.
 *
 * Of the label's class P - 1 would lose every digit once the row is learned: it is minus the sum of the other classes'
 * P. For the same reason the loss of a row whose label is the largest is log1p of that sum over the label's own.
 *
 * Sums are float64, in the order of the classes. A task writes its own rows alone, and the losses are summed in row
 * order: the result does not depend on the team.
 */
#include "model/cross_entropy.h"

#include <math.h>
#include <stdbool.h>

enum { ROW_TILE = 32 };

struct cross_entropy {
	uint32_t max_rows;
	unsigned classes;
	double *row_loss; /* [max_rows] */
	bool *hit;	  /* [max_rows]: the classifier says the label */
};

struct call {
	struct cross_entropy *loss;
	const float *logits;
	const int32_t *labels;
	uint32_t rows;
	float *dlogits;
};

struct cross_entropy *cross_entropy_create(struct arena *arena, uint32_t max_rows, unsigned classes, struct error *err)
{
	static const char class_name[] = "loss";
	if (max_rows == 0 || classes == 0) {
		error_set(err, ERROR_USAGE, "cross-entropy: %u rows of %u classes: give at least one of each", max_rows,
			classes);
		return NULL;
	}
	struct cross_entropy *loss = arena_alloc(arena, class_name, 1, sizeof *loss, 0, err);
	if (!loss)
		return NULL;
	*loss = (struct cross_entropy){.max_rows = max_rows, .classes = classes};
	loss->row_loss = arena_alloc(arena, class_name, max_rows, sizeof *loss->row_loss, 0, err);
	loss->hit = arena_alloc(arena, class_name, max_rows, sizeof *loss->hit, 0, err);
	return loss->row_loss && loss->hit ? loss : NULL;
}

unsigned cross_entropy_choice(const float *logits, unsigned classes)
{
	unsigned best = 0;
	for (unsigned c = 1; c < classes; c++)
		if (logits[c] > logits[best])
			best = c;
	return best;
}

static void row(const struct call *call, uint32_t i)
{
	unsigned classes = call->loss->classes, label = (unsigned)call->labels[i];
	const float *logits = call->logits + (size_t)i * classes;
	float *dlogits = call->dlogits + (size_t)i * classes;
	unsigned choice = cross_entropy_choice(logits, classes);
	double largest = (double)logits[choice], others = 0;
	for (unsigned c = 0; c < classes; c++)
		if (c != label)
			others += exp((double)logits[c] - largest);
	double own = exp((double)logits[label] - largest), sum = own + others;
	double behind = largest - (double)logits[label];
	call->loss->row_loss[i] = !isfinite(sum) ? NAN : choice == label ? log1p(others) : behind + log(sum);
	call->loss->hit[i] = choice == label;
	for (unsigned c = 0; c < classes; c++) {
		double p = c == label ? -others : exp((double)logits[c] - largest);
		dlogits[c] = (float)(p / sum / (double)call->rows);
	}
}

static void task(void *ctx, size_t number, unsigned thread)
{
	const struct call *call = ctx;
	uint32_t first = (uint32_t)number * ROW_TILE;
	(void)thread;
	for (uint32_t i = first; i < call->rows && i < first + ROW_TILE; i++)
		row(call, i);
}

void cross_entropy_forward_backward(struct cross_entropy *loss, struct team *team, const float *logits,
	const int32_t *labels, uint32_t rows, float *dlogits, struct cross_entropy_result *result)
{
	struct call call = {.loss = loss, .logits = logits, .labels = labels, .rows = rows, .dlogits = dlogits};
	team_for(team, ((size_t)rows + ROW_TILE - 1) / ROW_TILE, task, &call);
	double sum = 0;
	uint32_t hits = 0;
	for (uint32_t i = 0; i < rows; i++) {
		sum += loss->row_loss[i];
		hits += loss->hit[i];
	}
	result->loss = sum / rows;
	result->accuracy = (double)hits / rows;
}
