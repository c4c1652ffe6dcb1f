#include "llama/panel_half.h"

#include "base/base.h"
#include "llama/panel.h"
#include "llama/simd.h"

#include <stdint.h>

void panel_half_pack(size_t n, const void *rows, void *panel)
{
	const uint16_t *from = rows;
	uint16_t *to = panel;
	for (size_t i = 0; i < n; i++)
		for (size_t r = 0; r < PANEL_ROWS; r++)
			to[i * PANEL_ROWS + r] = from[r * n + i];
}

#ifdef __x86_64__
#include <immintrin.h>

#define AVX512 __attribute__((target("avx512f,f16c")))

/* 12 tokens and two panels are 24 sums, which leaves room for the weights and
 * is more than takes to wait for none of them; each number that is read is used
 * twice or more. `n_tokens` and `n_panels` are constants wherever this is
 * expanded. */
AVX512 INLINE void tile(size_t n, const uint16_t *panels, size_t n_panels,
			const float *tokens, size_t n_tokens, float *out,
			size_t stride)
{
	__m512 sum[2][12], w[2];
	for (size_t j = 0; j < n_panels; j++)
		UNROLL for (size_t i = 0; i < n_tokens; i++)
		{
			sum[j][i] = _mm512_setzero_ps();
		}
	for (size_t k = 0; k < n; k++) {
		for (size_t j = 0; j < n_panels; j++)
			w[j] = _mm512_cvtph_ps(_mm256_loadu_si256(
				(const void *)(panels +
					       PANEL_ROWS * (n * j + k))));
		UNROLL for (size_t i = 0; i < n_tokens; i++)
		{
			__m512 x = _mm512_set1_ps(tokens[i * n + k]);
			for (size_t j = 0; j < n_panels; j++)
				sum[j][i] = _mm512_fmadd_ps(w[j], x, sum[j][i]);
		}
	}
	for (size_t j = 0; j < n_panels; j++)
		UNROLL for (size_t i = 0; i < n_tokens; i++)
		{
			_mm512_storeu_ps(out + i * stride + PANEL_ROWS * j,
					 sum[j][i]);
		}
}

AVX512 INLINE void multiply(size_t n, const uint16_t *panels, size_t n_panels,
			    const float *tokens, size_t n_tokens, float *out,
			    size_t stride)
{
	size_t i = 0;
	for (; i + 12 <= n_tokens; i += 12)
		tile(n, panels, n_panels, tokens + i * n, 12, out + i * stride,
		     stride);
	for (; i + 4 <= n_tokens; i += 4)
		tile(n, panels, n_panels, tokens + i * n, 4, out + i * stride,
		     stride);
	for (; i < n_tokens; i++)
		tile(n, panels, n_panels, tokens + i * n, 1, out + i * stride,
		     stride);
}

AVX512 void panel_half_multiply(size_t n, const void *panels, size_t n_panels,
				const float *tokens, size_t n_tokens,
				float *out, size_t stride)
{
	const uint16_t *p = panels;
	size_t j = 0;
	for (; j + 2 <= n_panels; j += 2)
		multiply(n, p + PANEL_ROWS * n * j, 2, tokens, n_tokens,
			 out + PANEL_ROWS * j, stride);
	if (j < n_panels)
		multiply(n, p + PANEL_ROWS * n * j, 1, tokens, n_tokens,
			 out + PANEL_ROWS * j, stride);
}

#else /* never called */

void panel_half_multiply(size_t n, const void *panels, size_t n_panels,
			 const float *tokens, size_t n_tokens, float *out,
			 size_t stride)
{
	(void)n, (void)panels, (void)n_panels, (void)tokens, (void)n_tokens;
	(void)out, (void)stride;
}
#endif
