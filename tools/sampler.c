/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/sampler.h"

#include <signal.h>
#include <time.h>

#include "pipeline/meter.h"

static void look(struct sampler *sampler, uint64_t start_ns)
{
	uint64_t now_ns = meter_now_ns();
	struct ring_stats stats;
	struct sampler_point *point = &sampler->points[sampler->count++];
	point->seconds = (float)((double)(now_ns - start_ns) * 1e-9);
	ring_stats(sampler->counted, &stats);
	point->items = stats.side[RING_CONSUMER].ops;
	for (unsigned i = 0; i < sampler->ring_count; i++)
		point->full[i] = ring_full(sampler->rings[i]);
	sampler->looks++;
	sampler->looking_ns += meter_now_ns() - now_ns;
}

static void *sample(void *argument)
{
	struct sampler *sampler = argument;
	uint64_t start_ns = meter_now_ns();
	unsigned skip = 1; /* looks due for one that is kept */
	for (unsigned due = 0; !atomic_load_explicit(&sampler->stop, memory_order_relaxed); due++) {
		if (due % skip == 0)
			look(sampler, start_ns);
		if (sampler->count == SAMPLER_POINTS) {
			for (unsigned i = 0; i < SAMPLER_POINTS / 2; i++)
				sampler->points[i] = sampler->points[(size_t)2 * i];
			sampler->count = SAMPLER_POINTS / 2;
			skip *= 2;
		}
		/* Short naps, so that the thread ends soon when it is told to. */
		nanosleep(&(struct timespec){.tv_nsec = SAMPLER_INTERVAL_NS}, NULL);
	}
	look(sampler, start_ns);
	return NULL;
}

int sampler_start(struct sampler *sampler, struct error *err)
{
	/* SIGINT and SIGTERM are for the thread that called. */
	sigset_t all, before;
	sigfillset(&all);
	pthread_sigmask(SIG_BLOCK, &all, &before);
	int failed = pthread_create(&sampler->thread, NULL, sample, sampler);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (failed)
		return error_set_errno(err, ERROR_SYSTEM, failed, "cannot start the thread that looks at the rings");
	sampler->running = true;
	return 0;
}

void sampler_stop(struct sampler *sampler)
{
	if (!sampler->running)
		return;
	atomic_store_explicit(&sampler->stop, true, memory_order_relaxed);
	pthread_join(sampler->thread, NULL);
	sampler->running = false;
}
