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

/* `n_tokens` is a constant wherever this is expanded; twelve sums are what it
 * takes to wait for none of them. */
AVX512 INLINE void tile(size_t n, const uint16_t *panel, const float *tokens,
			size_t n_tokens, float *out, size_t stride)
{
	__m512 sum[12];
	UNROLL for (size_t i = 0; i < n_tokens; i++)
	{
		sum[i] = _mm512_setzero_ps();
	}
	for (size_t k = 0; k < n; k++) {
		__m512 w = _mm512_cvtph_ps(_mm256_loadu_si256(
			(const void *)(panel + PANEL_ROWS * k)));
		UNROLL for (size_t i = 0; i < n_tokens; i++)
		{
			sum[i] = _mm512_fmadd_ps(
				w, _mm512_set1_ps(tokens[i * n + k]), sum[i]);
		}
	}
	UNROLL for (size_t i = 0; i < n_tokens; i++)
	{
		_mm512_storeu_ps(out + i * stride, sum[i]);
	}
}

AVX512 void panel_half_multiply(size_t n, const void *panel,
				const float *tokens, size_t n_tokens,
				float *out, size_t stride)
{
	size_t i = 0;
	for (; i + 12 <= n_tokens; i += 12)
		tile(n, panel, tokens + i * n, 12, out + i * stride, stride);
	for (; i + 4 <= n_tokens; i += 4)
		tile(n, panel, tokens + i * n, 4, out + i * stride, stride);
	for (; i < n_tokens; i++)
		tile(n, panel, tokens + i * n, 1, out + i * stride, stride);
}

#else /* never called */

void panel_half_multiply(size_t n, const void *panel, const float *tokens,
			 size_t n_tokens, float *out, size_t stride)
{
	(void)n, (void)panel, (void)tokens, (void)n_tokens;
	(void)out, (void)stride;
}
#endif
