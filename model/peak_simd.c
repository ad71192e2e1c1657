/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the processor could do at most, written once with GNU vectors and compiled once per instruction set.
 *
 * A multiply-add takes some four cycles, and up to two begin in each: with as many independent chains as the registers
 * hold (24 of 32 with AVX-512, 12 of 16 otherwise) the units never wait for a result. Without a fused instruction the
 * compiler makes two of it, which still count as two operations.
 *
 * The passes over memory use plain loads and stores, as the kernels do. A processor reads a line before it writes into
 * it, so that the memory itself moves twice the bytes that are written.
 */
#include "model/peak.h"

#if defined(ISA_portable) && defined(__x86_64__)
#include <immintrin.h>
#endif

#if defined(ISA_portable)
#define LANES	 4
#define CHAINS	 12
#define NAME	 peak_portable
#define THIS_ISA CPU_PORTABLE
#elif defined(ISA_avx2)
#define LANES	 8
#define CHAINS	 12
#define NAME	 peak_avx2
#define THIS_ISA CPU_AVX2
#elif defined(ISA_avx512)
#define LANES	 16
#define CHAINS	 24
#define NAME	 peak_avx512
#define THIS_ISA CPU_AVX512
#endif

/* A variant of the kernels without loops of its own here runs at the speed of one of the above. */
#if defined(NAME)

enum { STREAMS = 4 }; /* vectors of one turn of a pass */

typedef float vec __attribute__((vector_size(LANES * 4)));
typedef vec unaligned_vec __attribute__((aligned(4), may_alias));

static vec load(const float *p)
{
	return *(const unaligned_vec *)p;
}

static void store(float *p, vec v)
{
	*(unaligned_vec *)p = v;
}

static float sum(vec v)
{
	float total = 0;
	for (int i = 0; i < LANES; i++)
		total += v[i];
	return total;
}

/* The chains tend to y / (1 - x): no overflow, no subnormal numbers, however long it runs. */
static float multiply_add(uint64_t rounds)
{
	vec x = (vec){0} + 0.999f, y = (vec){0} + 0.001f, acc[CHAINS];
#pragma GCC unroll 24
	for (unsigned i = 0; i < CHAINS; i++)
		acc[i] = (vec){0} + (float)i;
	for (uint64_t round = 0; round < rounds; round++) {
#pragma GCC unroll 24
		for (unsigned i = 0; i < CHAINS; i++)
			acc[i] = acc[i] * x + y;
	}
#pragma GCC unroll 24
	for (unsigned i = 1; i < CHAINS; i++)
		acc[0] += acc[i];
	return sum(acc[0]);
}

static float read_pass(const float *in, size_t count)
{
	vec acc[STREAMS] = {{0}};
	for (size_t i = 0; i < count; i += STREAMS * LANES) {
#pragma GCC unroll 4
		for (unsigned j = 0; j < STREAMS; j++)
			acc[j] += load(in + i + j * LANES);
	}
	return sum(acc[0] + acc[1] + acc[2] + acc[3]);
}

static void write_pass(float *out, size_t count, float value)
{
	vec v = (vec){0} + value;
	for (size_t i = 0; i < count; i += STREAMS * LANES) {
#pragma GCC unroll 4
		for (unsigned j = 0; j < STREAMS; j++)
			store(out + i + j * LANES, v);
	}
}

static void copy_pass(float *out, const float *in, size_t count, float value)
{
	vec v = (vec){0} + value;
	for (size_t i = 0; i < count; i += STREAMS * LANES) {
#pragma GCC unroll 4
		for (unsigned j = 0; j < STREAMS; j++)
			store(out + i + j * LANES, load(in + i + j * LANES) + v);
	}
}

const struct peak_loops NAME = {
	.isa = THIS_ISA,
	.flops_per_round = 2ull * CHAINS * LANES,
	.multiply_add = multiply_add,
	.read = read_pass,
	.write = write_pass,
	.copy = copy_pass,
};

#endif

#if defined(ISA_portable)

const struct peak_loops *peak_loops_for(enum cpu_isa isa)
{
	if (isa >= CPU_AVX512)
		return &peak_avx512;
	return isa == CPU_AVX2 ? &peak_avx2 : &peak_portable;
}

/* The one loop that names its instruction: a compiler makes no bf16 products of C. It asks for its instruction set by
 * itself, so that every build has it. */
enum { DOT_CHAINS = 24, DOT_LANES = 32 };

uint64_t peak_bf16_flops_per_round(void)
{
	return 2ull * DOT_CHAINS * DOT_LANES;
}

#if defined(__x86_64__)

bool peak_bf16_available(void)
{
	return cpu_detect() >= CPU_AVX512 && __builtin_cpu_supports("avx512bf16");
}

/* 0x3f80 is 1 and 0x0080 the smallest normal number: the sums stay finite and normal. */
__attribute__((target("avx512bf16,avx512f,avx512vl,avx512bw"))) float peak_bf16_dot(uint64_t rounds)
{
	__m512bh a = (__m512bh)_mm512_set1_epi16(0x3f80), b = (__m512bh)_mm512_set1_epi16(0x0080);
	__m512 acc[DOT_CHAINS];
#pragma GCC unroll 24
	for (unsigned i = 0; i < DOT_CHAINS; i++)
		acc[i] = _mm512_set1_ps((float)i);
	for (uint64_t round = 0; round < rounds; round++) {
#pragma GCC unroll 24
		for (unsigned i = 0; i < DOT_CHAINS; i++)
			acc[i] = _mm512_dpbf16_ps(acc[i], a, b);
	}
#pragma GCC unroll 24
	for (unsigned i = 1; i < DOT_CHAINS; i++)
		acc[0] = _mm512_add_ps(acc[0], acc[i]);
	return _mm512_reduce_add_ps(acc[0]);
}

#else

bool peak_bf16_available(void)
{
	return false;
}

float peak_bf16_dot(uint64_t rounds)
{
	return (float)rounds;
}

#endif
#endif
