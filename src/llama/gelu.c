#include "llama/gelu.h"

#include "llama/simd.h"

#include <stdint.h>

#ifdef __x86_64__

bool gelu_is_possible(void)
{
	return __builtin_cpu_supports("avx512f");
}

/* x (1 + tanh u) / 2 is x / (1 + exp(-2u)), where u is the square root of
 * 2 / pi times x + 0.044715 x^3. */
__attribute__((target("avx512f"))) INLINE __m512 gelu512(__m512 x)
{
	const __m512 one = _mm512_set1_ps(1);
	__m512 cubic =
		_mm512_mul_ps(_mm512_set1_ps(0.044715f), _mm512_mul_ps(x, x));
	__m512 u = _mm512_fmadd_ps(cubic, x, x);
	u = _mm512_mul_ps(u, _mm512_set1_ps(-1.5957691f));
	return _mm512_div_ps(x, _mm512_add_ps(one, exp512(u)));
}

__attribute__((target("avx512f"))) void gelu(const float *x, size_t n,
					     float *out)
{
	for (size_t i = 0; i < n; i += 16) {
		size_t left = n - i;
		__mmask16 m = left < 16 ? (__mmask16)((1u << left) - 1)
					: (__mmask16)0xffff;
		_mm512_mask_storeu_ps(out + i, m,
				      gelu512(_mm512_maskz_loadu_ps(m, x + i)));
	}
}

#else /* never called */

bool gelu_is_possible(void)
{
	return false;
}

void gelu(const float *x, size_t n, float *out)
{
	(void)x, (void)n, (void)out;
}
#endif
