/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/profile_model.h"

#include <math.h>
#include <stddef.h>

double profile_model_rate(const struct profile_model *model, enum profile_model_stage *limit)
{
	double rate = INFINITY, cpu_s = 0;
	enum profile_model_stage least = MODEL_PROCESSORS;
	for (enum profile_model_stage i = MODEL_READ; i < MODEL_STAGES; i++) {
		double cost_s = model->stage[i].cost_s;
		cpu_s += model->stage[i].cpu_s;
		if (cost_s > 0 && model->stage[i].threads / cost_s <= rate) {
			rate = model->stage[i].threads / cost_s;
			least = i;
		}
	}
	if (cpu_s > 0 && model->processors / cpu_s < rate) {
		rate = model->processors / cpu_s;
		least = MODEL_PROCESSORS;
	}
	if (limit)
		*limit = least;
	return rate;
}

const char *profile_model_limit_name(enum profile_model_stage limit)
{
	static const char *const names[] = {"read", "unpack", "decode", "processors"};
	return names[limit];
}

struct profile_model profile_model_threads(
	const struct profile_model *model, enum profile_model_stage stage, unsigned threads)
{
	struct profile_model changed = *model;
	changed.stage[stage].threads = threads;
	return changed;
}

static void scale(struct profile_model *model, enum profile_model_stage stage, double factor)
{
	model->stage[stage].cost_s *= factor;
	model->stage[stage].cpu_s *= factor;
}

struct profile_model profile_model_scale(const struct profile_model *model, double decode, double augment)
{
	struct profile_model changed = *model;
	double decoding = model->decode_share * decode, augmenting = (1 - model->decode_share) * augment;
	scale(&changed, MODEL_DECODE, decoding + augmenting);
	changed.decode_share = decoding > 0 ? decoding / (decoding + augmenting) : 0;
	return changed;
}

struct profile_model profile_model_bytes(const struct profile_model *model, double factor, double unpack_s)
{
	struct profile_model changed = *model;
	scale(&changed, MODEL_READ, factor);
	changed.stage[MODEL_UNPACK].cost_s = changed.stage[MODEL_UNPACK].cpu_s = unpack_s;
	return changed;
}

struct profile_model profile_model_decoded(const struct profile_model *model)
{
	struct profile_model changed = profile_model_scale(model, 0, 1);
	scale(&changed, MODEL_READ, 0);
	scale(&changed, MODEL_UNPACK, 0);
	return changed;
}

double profile_model_predict(const struct profile_model *model, const struct profile_model *changed, double rate)
{
	return rate * profile_model_rate(changed, NULL) / profile_model_rate(model, NULL);
}
