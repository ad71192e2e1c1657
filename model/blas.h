/* SPDX-License-Identifier: Apache-2.0 */
/* OpenBLAS inside the team: every task may call it, one thread each. */
#ifndef RINGCLR_MODEL_BLAS_H
#define RINGCLR_MODEL_BLAS_H

#include "pipeline/error.h"

/* Called by whoever is about to multiply. ERROR_UNSUPPORTED with a library that several threads may not call at once.
 */
int blas_prepare(struct error *err);

#endif
