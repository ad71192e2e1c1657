/* SPDX-License-Identifier: Apache-2.0 */
/* OpenBLAS inside the team: every task may call it, one thread each. */
#ifndef RINGCLR_MODEL_BLAS_H
#define RINGCLR_MODEL_BLAS_H

#include "pipeline/error.h"

/* Called by whoever is about to multiply. ERROR_UNSUPPORTED with a library that several threads may not call at once.
 */
int blas_prepare(struct error *err);

/* OpenBLAS starts a thread for each further processor when the program is loaded, and these spin for some 50 ms before
 * they sleep: a quarter of the time of a short command on two processors. Nobody here wants them. */
void blas_end_threads(void);

#endif
