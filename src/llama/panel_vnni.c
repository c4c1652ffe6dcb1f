#include "llama/panel_shape.h"

#ifdef __x86_64__
#include "llama/panel_256.h"

#define TARGET __attribute__((target("avx2,fma,f16c,avxvnni")))
#define PREFIX(name) panel_vnni_##name

INLINE size_t n_halves_of(const struct panel_shape *s)
{
	(void)s;
	return 2;
}

INLINE bool starts_with(const struct panel_shape *s)
{
	return !s->has_min;
}

TARGET INLINE void add_products(const struct panel_256_tile *at, size_t first,
				size_t end, const struct panel_token *t,
				__m256i (*acc)[PANEL_256_TOKENS])
{
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
				acc[h][i] = _mm256_dpbusd_avx_epi32(acc[h][i],
								    q[h], x);
			}
		}
	}
}

#include "llama/panel_tile.h"
#endif
