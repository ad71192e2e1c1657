/* SPDX-License-Identifier: Apache-2.0 */
#include "model/schedule.h"

#include <math.h>
#include <string.h>

static const double pi = 3.14159265358979323846;

/* Python's a // b on floats, for a >= 0 and b > 0: exact where floor(a / b) would round up to the next integer. */
static uint64_t floor_divide(double a, double b)
{
	return (uint64_t)round((a - fmod(a, b)) / b);
}

void schedule_init(struct schedule *schedule, double rate, enum schedule_scaling scaling, uint64_t batch,
	uint64_t images, double epochs, double warmup_epochs)
{
	double rows = (double)batch, n = (double)images;
	schedule->peak = scaling == SCHEDULE_LINEAR ? rate * rows / 256
			 : scaling == SCHEDULE_SQRT ? rate * sqrt(rows)
						    : rate;
	schedule->warmup_steps = floor_divide(warmup_epochs * n, rows);
	schedule->total_steps = floor_divide(n * epochs, rows) + 1;
}

double schedule_rate(const struct schedule *schedule, uint64_t step)
{
	if (step < schedule->warmup_steps)
		return schedule->peak * (double)step / (double)schedule->warmup_steps;
	/* Past the end, which no run of T - 1 steps reaches: not the cosine's way up again. */
	if (step >= schedule->total_steps)
		return 0;
	double done = (double)(step - schedule->warmup_steps);
	double all = (double)(schedule->total_steps - schedule->warmup_steps);
	return schedule->peak * 0.5 * (1 + cos(pi * done / all));
}

int schedule_parse_scaling(const char *text, enum schedule_scaling *scaling, struct error *err)
{
	if (strcmp(text, "linear") == 0)
		*scaling = SCHEDULE_LINEAR;
	else if (strcmp(text, "sqrt") == 0)
		*scaling = SCHEDULE_SQRT;
	else if (strcmp(text, "constant") == 0)
		*scaling = SCHEDULE_CONSTANT;
	else
		return error_set(err, ERROR_USAGE, "learning rate scaling '%s': use linear, sqrt or constant", text);
	return 0;
}
