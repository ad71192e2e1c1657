/* SPDX-License-Identifier: Apache-2.0 */
/* Picks the table of kernels and cuts matrices into the panels that its products want. */
#include "model/kernels.h"

const struct kernels *kernels_for(enum cpu_isa isa)
{
	switch (isa) {
	case CPU_AVX512BF16:
	case CPU_AVX512:
		return &kernels_avx512;
	case CPU_AVX2:
		return &kernels_avx2;
	case CPU_PORTABLE:
		break;
	}
	return &kernels_portable;
}

unsigned kernels_panel(const struct kernels *kernels, unsigned left)
{
	unsigned rounded = (left + kernels->lanes - 1) / kernels->lanes * kernels->lanes;
	for (unsigned i = 0; i < 3; i++) {
		if (kernels->panels[i] != 0 && kernels->panels[i] <= rounded)
			return kernels->panels[i];
	}
	return kernels->lanes;
}

size_t kernels_padded(const struct kernels *kernels, unsigned cols)
{
	return ((size_t)cols + kernels->lanes - 1) / kernels->lanes * kernels->lanes;
}
