/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Softmax regression with a ridge, to its minimum, by liblbfgs: history 10, More and Thuente's line search (strong
 * Wolfe conditions), until |gradient| < 1e-5 max(1, |weights|).
 *
 * At weak ridges the optimum is far and flat: fits end by their number of iterations, or when a line search can no
 * longer tell two values apart. Both leave the best point so far, which is the answer.
 */
#include "model/probe_internal.h"

#include <lbfgs.h>
#include <math.h>
#include <string.h>

enum { MAX_ITERATIONS = 200, HISTORY = 10 };

_Static_assert(sizeof(lbfgsfloatval_t) == sizeof(double), "liblbfgs is built for float64");

struct objective {
	struct softmax *softmax;
	struct team *team;
	const struct probe_data *data;
	double ridge;
	size_t count;	    /* of all weights */
	size_t ridged;	    /* of those the ridge is on: all but the bias, which come first */
	lbfgsfloatval_t *x; /* [count], liblbfgs's own alignment and padding */
};

static lbfgsfloatval_t evaluate(
	void *ctx, const lbfgsfloatval_t *x, lbfgsfloatval_t *gradient, const int n, const lbfgsfloatval_t step)
{
	struct objective *objective = ctx;
	(void)n; /* rounded up by liblbfgs; x and gradient stay 0 there */
	(void)step;
	double loss = softmax_gradient(objective->softmax, objective->team, objective->data, x, gradient);
	double squares = 0;
	for (size_t i = 0; i < objective->ridged; i++) {
		squares += x[i] * x[i];
		gradient[i] += 2 * objective->ridge * x[i];
	}
	return loss + objective->ridge * squares;
}

static int run(struct objective *objective, struct error *err)
{
	lbfgs_parameter_t parameters;
	lbfgs_parameter_init(&parameters);
	parameters.m = HISTORY;
	parameters.epsilon = 1e-5;
	parameters.max_iterations = MAX_ITERATIONS;
	parameters.linesearch = LBFGS_LINESEARCH_MORETHUENTE;
	int code = lbfgs((int)objective->count, objective->x, NULL, evaluate, NULL, objective, &parameters);
	switch (code) {
	case LBFGS_SUCCESS:
	case LBFGS_STOP:
	case LBFGS_ALREADY_MINIMIZED:
	case LBFGSERR_OUTOFINTERVAL:
	case LBFGSERR_INCORRECT_TMINMAX:
	case LBFGSERR_ROUNDING_ERROR:
	case LBFGSERR_MINIMUMSTEP:
	case LBFGSERR_MAXIMUMSTEP:
	case LBFGSERR_MAXIMUMLINESEARCH:
	case LBFGSERR_MAXIMUMITERATION:
	case LBFGSERR_WIDTHTOOSMALL:
	case LBFGSERR_INCREASEGRADIENT:
		break;
	case LBFGSERR_OUTOFMEMORY:
		return error_set(err, ERROR_MEMORY, "probe: no memory for L-BFGS over %zu weights", objective->count);
	default:
		return error_set(
			err, ERROR_NUMERIC, "probe: L-BFGS ended with code %d at ridge %g", code, objective->ridge);
	}
	for (size_t i = 0; i < objective->count; i++)
		if (!isfinite(objective->x[i]))
			return error_set(err, ERROR_NUMERIC,
				"probe: the regression diverged at ridge %g; are the features finite?",
				objective->ridge);
	return 0;
}

int softmax_minimise(struct softmax *softmax, struct team *team, const struct probe_data *data, double ridge,
	double *weights, struct error *err)
{
	struct objective objective = {.softmax = softmax,
		.team = team,
		.data = data,
		.ridge = ridge,
		.count = softmax_weight_count(softmax),
		.ridged = softmax_ridged_count(softmax)};
	objective.x = lbfgs_malloc((int)objective.count);
	if (!objective.x)
		return error_set(err, ERROR_MEMORY, "probe: no memory for L-BFGS over %zu weights", objective.count);
	memcpy(objective.x, weights, objective.count * sizeof *weights);
	int code = run(&objective, err);
	memcpy(weights, objective.x, objective.count * sizeof *weights);
	lbfgs_free(objective.x);
	return code;
}
