/* panel_dot.h - products of 8-bit numbers by AVX2. */
#pragma once
#include "llama/simd.h"

#define AVX2 __attribute__((target("avx2,fma,f16c")))

/* Adds products of neighbours: of the 8-bit numbers of a, from 0, and the four
 * of b, which are repeated, two to each sum of 16 bits. */
AVX2 INLINE __m256i add2(__m256i sums, __m256i a, int32_t b)
{
	return _mm256_add_epi16(sums,
				_mm256_maddubs_epi16(a, _mm256_set1_epi32(b)));
}

/* Neighbouring sums added up to one of 32 bits. */
AVX2 INLINE __m256i pairs_of(__m256i sums)
{
	return _mm256_madd_epi16(sums, _mm256_set1_epi16(1));
}
