/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The model that predictions are made by: a pipeline is as fast as its slowest stage, and no faster than the
 * processors.
 *
 *	rate = min( min over stages of threads / cost,  processors / sum over stages of cpu )
 *
 * cost: seconds of one thread for one image; cpu: seconds of processor time for one image. What a change gives is the
 * measured rate times model(changed) / model(as it is): what the model leaves out is taken to stay as it was.
 */
#ifndef RINGCLR_TOOLS_PROFILE_MODEL_H
#define RINGCLR_TOOLS_PROFILE_MODEL_H

enum profile_model_stage { MODEL_READ, MODEL_UNPACK, MODEL_DECODE, MODEL_STAGES, MODEL_PROCESSORS = MODEL_STAGES };

struct profile_model {
	struct {
		unsigned threads;
		double cost_s, cpu_s; /* an image */
	} stage[MODEL_STAGES];
	double decode_share; /* of the decode stage's cost that is decoding; the rest is augmenting */
	unsigned processors;
};

/* Images/s; *limit (may be NULL) is the stage that decides, or MODEL_PROCESSORS. Of equals the later decides. */
double profile_model_rate(const struct profile_model *model, enum profile_model_stage *limit);

/* "read", "unpack", "decode", "processors". */
const char *profile_model_limit_name(enum profile_model_stage limit);

/* The changed pipeline. Factors: new cost over old. */
struct profile_model profile_model_threads(
	const struct profile_model *model, enum profile_model_stage stage, unsigned threads);
struct profile_model profile_model_scale(const struct profile_model *model, double decode, double augment);

/* Other bytes on disk: reading in proportion to them; unpack_s: of one image. */
struct profile_model profile_model_bytes(const struct profile_model *model, double factor, double unpack_s);

/* Decoded images in memory: no reading, unpacking, decoding. */
struct profile_model profile_model_decoded(const struct profile_model *model);

/* What the change gives, given the rate as it is. */
double profile_model_predict(const struct profile_model *model, const struct profile_model *changed, double rate);

#endif
