#include "llama/panel_shape.h"

#ifdef __x86_64__
#include "llama/panel_256.h"

#define TARGET AVX2
#define PREFIX(name) panel_avx2_##name

/* With more bits both would take more registers than there are. */
INLINE size_t n_halves_of(const struct panel_shape *s)
{
	return s->bits == 4 ? 2 : 1;
}

/* Numbers of 8 bits are signed here, as ggml has them. */
INLINE bool starts_with(const struct panel_shape *s)
{
	return !s->has_min && s->bits < 8;
}

/* Products of unsigned and signed numbers are added up in 16 bits, two at a
 * time. With 8 bits those would not fit, so what is unsigned is the weight
 * without its sign, which the other gets. */
TARGET INLINE void add_signed(const struct panel_256_tile *at, size_t g,
			      const struct panel_token *t,
			      __m256i (*acc)[PANEL_256_TOKENS])
{
	UNROLL for (size_t h = 0; h < at->n_halves; h++)
	{
		__m256i q = _mm256_xor_si256(panel_256_q(at, g, h),
					     _mm256_set1_epi8((char)0x80));
		__m256i size = _mm256_abs_epi8(q);
		UNROLL for (size_t i = 0; i < at->n_tokens; i++)
		{
			__m256i x = panel_256_four(at, &t[i], g);
			x = _mm256_maddubs_epi16(size, _mm256_sign_epi8(x, q));
			acc[h][i] = _mm256_add_epi32(acc[h][i], pairs_of(x));
		}
	}
}

/* As many as fit into 16 bits: `end` - `first` groups. */
TARGET INLINE void add_some(const struct panel_256_tile *at, size_t first,
			    size_t end, const struct panel_token *t,
			    __m256i (*acc)[PANEL_256_TOKENS])
{
	__m256i few[2][PANEL_256_TOKENS] = { 0 };
	UNROLL for (size_t g = first; g < end; g++)
	{
		__m256i q[2];
		UNROLL for (size_t h = 0; h < at->n_halves; h++)
		{
			q[h] = panel_256_q(at, g, h);
		}
		UNROLL for (size_t i = 0; i < at->n_tokens; i++)
		{
			__m256i x = panel_256_four(at, &t[i], g);
			UNROLL for (size_t h = 0; h < at->n_halves; h++)
			{
				few[h][i] = _mm256_add_epi16(
					few[h][i],
					_mm256_maddubs_epi16(q[h], x));
			}
		}
	}
	UNROLL for (size_t h = 0; h < at->n_halves; h++)
		UNROLL for (size_t i = 0; i < at->n_tokens; i++)
	{
		acc[h][i] = _mm256_add_epi32(acc[h][i], pairs_of(few[h][i]));
	}
}

TARGET INLINE void add_products(const struct panel_256_tile *at, size_t first,
				size_t end, const struct panel_token *t,
				__m256i (*acc)[PANEL_256_TOKENS])
{
	/* 2^bits - 1 times 127, twice of each group */
	const size_t often = 128U >> at->s->bits;
	if (at->s->bits == 8)
		UNROLL for (size_t g = first; g < end; g++)
		{
			add_signed(at, g, t, acc);
		}
	else
		UNROLL for (size_t g = first; g < end; g += often)
		{
			add_some(at, g, g + often, t, acc);
		}
}

#include "llama/panel_tile.h"
#endif
