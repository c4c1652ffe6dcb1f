/* panel_dot.h - products of 8-bit numbers by AVX2. */
#pragma once
#include "llama/simd.h"

#define AVX2 __attribute__((target("avx2,fma,f16c")))

/* Four products of neighbours of a, from 0, with those of b, added up; a is at
 * most 127, or two of them would not fit into 16 bits. */
AVX2 INLINE __m256i dot4(__m256i a, __m256i b)
{
	return _mm256_madd_epi16(_mm256_maddubs_epi16(a, b),
				 _mm256_set1_epi16(1));
}
