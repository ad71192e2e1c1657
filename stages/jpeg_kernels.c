/* SPDX-License-Identifier: Apache-2.0 */
#include "stages/jpeg_kernels.h"

extern const struct jpeg_kernels jpeg_kernels_portable, jpeg_kernels_avx2, jpeg_kernels_avx512, jpeg_kernels_avx512bf16;

const struct jpeg_kernels *jpeg_kernels_for(enum cpu_isa isa)
{
	switch (isa) {
	case CPU_AVX512BF16:
		return &jpeg_kernels_avx512bf16;
	case CPU_AVX512:
		return &jpeg_kernels_avx512;
	case CPU_AVX2:
		return &jpeg_kernels_avx2;
	case CPU_PORTABLE:
		break;
	}
	return &jpeg_kernels_portable;
}
