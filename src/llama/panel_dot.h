/* panel_dot.h - sums of products of 8-bit numbers by AVX2. */
#pragma once
#include "llama/simd.h"

#define AVX2 __attribute__((target("avx2,fma,f16c")))

/* Neighbouring sums added up to one of 32 bits. */
AVX2 INLINE __m256i pairs_of(__m256i sums)
{
	return _mm256_madd_epi16(sums, _mm256_set1_epi16(1));
}
