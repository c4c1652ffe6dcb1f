/* simd.h - what the files with instructions of AVX share. */
#pragma once

#define INLINE static inline __attribute__((always_inline))
/* Before a loop over an array of registers, which is memory else. */
#define UNROLL _Pragma("GCC unroll 16")

#ifdef __x86_64__
#include <immintrin.h>

/* exp(x), to 1e-6 of it, of x between -100 and 88, else of the nearest: 2 to
 * the whole part of x / ln 2, times Taylor's series for the rest. */
__attribute__((target("avx512f"))) INLINE __m512 exp512(__m512 x)
{
	x = _mm512_max_ps(x, _mm512_set1_ps(-100));
	x = _mm512_min_ps(x, _mm512_set1_ps(88));
	x = _mm512_mul_ps(x, _mm512_set1_ps(1.44269504f));
	__m512 whole = _mm512_roundscale_ps(x, _MM_FROUND_TO_NEAREST_INT);
	__m512 rest = _mm512_sub_ps(x, whole);
	__m512 y = _mm512_set1_ps(1.5403530e-4f);
	y = _mm512_fmadd_ps(y, rest, _mm512_set1_ps(1.3333558e-3f));
	y = _mm512_fmadd_ps(y, rest, _mm512_set1_ps(9.6181291e-3f));
	y = _mm512_fmadd_ps(y, rest, _mm512_set1_ps(5.5504109e-2f));
	y = _mm512_fmadd_ps(y, rest, _mm512_set1_ps(2.4022651e-1f));
	y = _mm512_fmadd_ps(y, rest, _mm512_set1_ps(6.9314718e-1f));
	y = _mm512_fmadd_ps(y, rest, _mm512_set1_ps(1));
	return _mm512_scalef_ps(y, whole);
}
#endif
