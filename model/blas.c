/* SPDX-License-Identifier: Apache-2.0 */
/*
 * OpenBLAS built without threads (Debian's serial build, 0.3.21) hands the same work buffer to two callers now and
 * then, and their products are silently wrong: about 4 in 1,000 small ones with two threads. The builds with threads
 * lock it properly; told to use one thread, they start none of their own.
 */
#include "model/blas.h"

#include <cblas.h>
#include <stddef.h>

/* OpenBLAS's own, in no header of it. */
extern int blas_thread_shutdown_(void) __attribute__((weak));

void blas_end_threads(void)
{
	openblas_set_num_threads(1); /* first: it starts threads where none are */
	if (blas_thread_shutdown_ != NULL)
		blas_thread_shutdown_();
}

int blas_prepare(struct error *err)
{
	if (openblas_get_parallel() == 0)
		return error_set(err, ERROR_UNSUPPORTED,
			"OpenBLAS here is the serial build, which several threads may not call at once: install "
			"libopenblas0-pthread and choose "
			"it (update-alternatives --config libopenblas.so.0-x86_64-linux-gnu)");
	openblas_set_num_threads(1);
	return 0;
}
