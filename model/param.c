/* SPDX-License-Identifier: Apache-2.0 */
/* Order of parameters in files: torchvision's [out][in][kh][kw] for convolutions, [out][kh][kw][in] in memory. */
#include "model/net.h"

#include <string.h>

void param_to_file_order(const struct param *param, float *out)
{
	if (param->kind != PARAM_CONV) {
		memcpy(out, param->value, param->count * sizeof(float));
		return;
	}
	size_t taps = (size_t)param->shape[1] * param->shape[2], in = param->shape[3];
	for (size_t i = 0; i < param->count; i++) {
		size_t o = i / (taps * in), tap = i / in % taps, c = i % in;
		out[(o * in + c) * taps + tap] = param->value[i];
	}
}

void param_from_file_order(struct param *param, const float *in)
{
	if (param->kind != PARAM_CONV) {
		memcpy(param->value, in, param->count * sizeof(float));
		return;
	}
	size_t taps = (size_t)param->shape[1] * param->shape[2], channels = param->shape[3];
	for (size_t i = 0; i < param->count; i++) {
		size_t o = i / (taps * channels), tap = i / channels % taps, c = i % channels;
		param->value[i] = in[(o * channels + c) * taps + tap];
	}
}

unsigned param_file_shape(const struct param *param, uint64_t shape[4])
{
	for (unsigned i = 0; i < param->dims; i++)
		shape[i] = param->shape[i];
	if (param->kind == PARAM_CONV) {
		shape[1] = param->shape[3];
		shape[2] = param->shape[1];
		shape[3] = param->shape[2];
	}
	return param->dims;
}
