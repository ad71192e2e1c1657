/* SPDX-License-Identifier: Apache-2.0 */
/* What jpeg_*_simd.c have of each other, in one instruction set. */
#ifndef RINGCLR_STAGES_JPEG_KERNELS_SIMD_H
#define RINGCLR_STAGES_JPEG_KERNELS_SIMD_H

#include "stages/jpeg_kernels.h"
#include "stages/jpeg_words_simd.h"

void ISA_NAME(jpeg_idct_8_)(
	uint8_t *samples, size_t stride, const int16_t *coefficients, const int16_t *quantisation, size_t groups);
void ISA_NAME(jpeg_idct_4_)(
	uint8_t *samples, size_t stride, const int16_t *coefficients, const int16_t *quantisation, size_t groups);
void ISA_NAME(jpeg_idct_2_)(
	uint8_t *samples, size_t stride, const int16_t *coefficients, const int16_t *quantisation, size_t groups);
void ISA_NAME(jpeg_idct_1_)(
	uint8_t *samples, size_t stride, const int16_t *coefficients, const int16_t *quantisation, size_t groups);

#endif
