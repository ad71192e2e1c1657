/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/progress.h"

#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#include "pipeline/meter.h"

void progress_start(struct progress *progress, const char *verb, uint64_t total)
{
	*progress = (struct progress){
		.verb = verb, .total = total, .started_ns = meter_now_ns(), .show = isatty(STDERR_FILENO) != 0};
}

void progress_draw(struct progress *progress, uint64_t done, uint64_t bytes)
{
	if (!progress->show)
		return;
	uint64_t now_ns = meter_now_ns();
	if (now_ns - progress->drawn_ns < 200000000)
		return;
	progress->drawn_ns = now_ns;
	double seconds = (double)(now_ns - progress->started_ns) * 1e-9 + 1e-9;
	double rate = (double)done / seconds;
	double left_s = rate > 0 ? (double)(progress->total - done) / rate : 0;
	fprintf(stderr, "\r%s: %" PRIu64 " of %" PRIu64 ", %.0f/s, %.1f MB/s, %.0f s left\033[K", progress->verb, done,
		progress->total, rate, (double)bytes * 1e-6 / seconds, left_s);
}

double progress_end(struct progress *progress)
{
	if (progress->show)
		fputs("\r\033[K", stderr);
	return (double)(meter_now_ns() - progress->started_ns) * 1e-9;
}
