/* SPDX-License-Identifier: Apache-2.0 */
/* Options for how a net computes. But for recompute they change results (in the last bits, or with bf16 in the third
 * digit), so a run's record holds them and --resume keeps them. */
#ifndef RINGCLR_TOOLS_MODEL_OPTIONS_H
#define RINGCLR_TOOLS_MODEL_OPTIONS_H

#include "model/net.h"
#include "tools/options.h"

struct model_options {
	unsigned precision; /* enum precision, or MODEL_PRECISION_AUTO */
	unsigned conv;	    /* enum conv_choice */
	unsigned recompute; /* enum net_recompute */
};

enum { MODEL_PRECISION_AUTO = 2 };

#define MODEL_OPTIONS(S, m)                                                                                            \
	OPTION_CHOICE(S, m.precision, "precision", "fp32|bf16|auto", "fp32",                                           \
		"of activations and products; auto: bf16 where the kernels multiply it (avx512bf16)"),                 \
		OPTION_CHOICE(S, m.conv, "conv", "auto|direct|winograd", "auto",                                       \
			"how 3x3 convolutions of stride 1 are computed; auto: whichever is the faster"),               \
		OPTION_CHOICE(S, m.recompute, "recompute", "auto|never|always", "auto",                                \
			"make cheap activations again in backward, to save memory; auto: when all would take over "    \
			"512 MiB",                                                                                     \
			.incidental = true)

/* What `precision` comes to with the kernels of isa. */
static inline enum precision model_precision(unsigned precision, enum cpu_isa isa)
{
	if (precision == MODEL_PRECISION_AUTO)
		return isa == CPU_AVX512BF16 ? PRECISION_BF16 : PRECISION_FP32;
	return (enum precision)precision;
}

#endif
