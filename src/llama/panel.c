#include "llama/panel.h"

#include "base/base.h"
#include "llama/panel_half.h"
#include "llama/panel_shape.h"

#include <string.h>

size_t panel_bytes(enum panel_type type, size_t n)
{
	if (type == PANEL_F16)
		return PANEL_ROWS * n * sizeof(uint16_t);
	const struct panel_shape *s = &panel_shapes[type];
	return n / PANEL_BLOCK / s->n_blocks *
	       (panel_head_bytes(s) + s->n_blocks * panel_block_bytes(s));
}

bool panel_suits(enum panel_way way, enum panel_type type)
{
	return way == PANEL_AVX512 || (way != PANEL_NONE && type != PANEL_F16);
}

size_t panel_token_bytes(enum panel_type type, size_t n)
{
	if (type == PANEL_F16)
		return n * sizeof(float);
	size_t words = 1 + panel_shapes[type].n_scales;
	return (n + n / PANEL_BLOCK * words * sizeof(float) + 63) & ~(size_t)63;
}

#ifdef __x86_64__
#include "llama/panel_dot.h"

#include <cpuid.h>
#include <stdatomic.h>

AVX2 static int32_t sum_of(__m128i x)
{
	x = _mm_add_epi32(x, _mm_shuffle_epi32(x, 0x4e));
	return _mm_cvtsi128_si32(_mm_add_epi32(x, _mm_shuffle_epi32(x, 0xb1)));
}

AVX2 static float largest_of(__m256 v)
{
	__m128 x = _mm_max_ps(_mm256_castps256_ps128(v),
			      _mm256_extractf128_ps(v, 1));
	x = _mm_max_ps(x, _mm_movehl_ps(x, x));
	return _mm_cvtss_f32(_mm_max_ss(x, _mm_movehdup_ps(x)));
}

/* `sums` are those of both halves. */
AVX2 static void quantize_block(const float *x, int8_t *q, float *scale,
				int32_t sums[2])
{
	__m256 v[4], most = _mm256_setzero_ps();
	__m256i n[4];
	for (int i = 0; i < 4; i++) {
		v[i] = _mm256_loadu_ps(x + 8 * i);
		most = _mm256_max_ps(
			most, _mm256_andnot_ps(_mm256_set1_ps(-0.0f), v[i]));
	}
	/* 127 divided by less would be infinite. */
	float largest = largest_of(most),
	      by = largest > 1e-30f ? 127 / largest : 0;
	for (int i = 0; i < 4; i++)
		n[i] = _mm256_cvtps_epi32(
			_mm256_mul_ps(v[i], _mm256_set1_ps(by)));
	/* Packing works in halves of the register; put them in order. */
	__m256i all = _mm256_packs_epi16(_mm256_packs_epi32(n[0], n[1]),
					 _mm256_packs_epi32(n[2], n[3]));
	all = _mm256_permutevar8x32_epi32(
		all, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
	_mm256_storeu_si256((__m256i *)(void *)q, all);
	*scale = largest / 127;
	__m256i by_four =
		pairs_of(_mm256_maddubs_epi16(_mm256_set1_epi8(1), all));
	sums[0] = sum_of(_mm256_castsi256_si128(by_four));
	sums[1] = sum_of(_mm256_extracti128_si256(by_four, 1));
}

void panel_quantize(enum panel_type type, const float *x, size_t n,
		    size_t first, size_t end, void *token)
{
	if (type == PANEL_F16) {
		size_t from = first * PANEL_BLOCK;
		size_t to = MIN(end * PANEL_BLOCK, n);
		memcpy((float *)token + from, x + from,
		       (to - from) * sizeof *x);
		return;
	}
	const struct panel_shape *s = &panel_shapes[type];
	struct panel_token t = panel_token_at(token, n);
	for (size_t b = first; b < end; b++) {
		int32_t sums[2];
		quantize_block(x + b * PANEL_BLOCK, t.q + b * PANEL_BLOCK,
			       t.scale + b, sums);
		if (s->has_min) {
			t.total[b] = t.scale[b] * (float)(sums[0] + sums[1]);
		} else if (s->n_scales == 1) {
			t.start[b] = s->start * (sums[0] + sums[1]);
		} else {
			t.start[2 * b] = s->start * sums[0];
			t.start[2 * b + 1] = s->start * sums[1];
		}
	}
}

/* Not every compiler's __builtin_cpu_supports() knows this one. It is asked for
 * once: in a virtual machine that takes as long as a product. */
static bool has_avx_vnni(void)
{
	enum { UNKNOWN, NO, YES };
	static atomic_int known;
	int out = atomic_load_explicit(&known, memory_order_relaxed);
	if (out == UNKNOWN) {
		unsigned a, b, c, d;
		out = __get_cpuid_count(7, 1, &a, &b, &c, &d) && a & 1U << 4
			      ? YES
			      : NO;
		atomic_store_explicit(&known, out, memory_order_relaxed);
	}
	return out == YES;
}

bool panel_can(enum panel_way way)
{
	/* With AVX2 the kernel, too, knows registers of 256 bits. */
	bool avx2 =
		__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
	switch (way) {
	case PANEL_AVX2:
		return avx2;
	case PANEL_VNNI:
		return avx2 && has_avx_vnni();
	case PANEL_AVX512:
		return avx2 && __builtin_cpu_supports("avx512bw") &&
		       __builtin_cpu_supports("avx512vnni");
	case PANEL_NONE:
		break;
	}
	return false;
}

enum panel_way panel_way(void)
{
	enum panel_way way = PANEL_AVX512;
	while (way != PANEL_NONE && !panel_can(way))
		way--;
	return way;
}

void panel_multiply(enum panel_way way, enum panel_type type, size_t n,
		    const void *panels, size_t n_panels, const void *tokens,
		    size_t n_tokens, float *out, size_t stride)
{
	if (type == PANEL_F16) {
		panel_half_multiply(n, panels, n_panels, tokens, n_tokens, out,
				    stride);
		return;
	}
	struct panel_work w = { .n = n,
				.panel = panels,
				.tokens = tokens,
				.token_bytes = panel_token_bytes(type, n),
				.n_tokens = n_tokens,
				.out = out,
				.stride = stride };
	for (size_t i = 0; i < n_panels; i++) {
		if (way == PANEL_AVX512)
			panel_512_multiply(type, &w);
		else if (way == PANEL_VNNI)
			panel_vnni_multiply(type, &w);
		else
			panel_avx2_multiply(type, &w);
		w.panel += panel_bytes(type, n);
		w.out += PANEL_ROWS;
	}
}

#else /* never called but for these */

bool panel_can(enum panel_way way)
{
	(void)way;
	return false;
}

enum panel_way panel_way(void)
{
	return PANEL_NONE;
}

void panel_quantize(enum panel_type type, const float *x, size_t n,
		    size_t first, size_t end, void *token)
{
	(void)type, (void)x, (void)n, (void)first, (void)end, (void)token;
}

void panel_multiply(enum panel_way way, enum panel_type type, size_t n,
		    const void *panels, size_t n_panels, const void *tokens,
		    size_t n_tokens, float *out, size_t stride)
{
	(void)way, (void)type, (void)n, (void)panels, (void)n_panels;
	(void)tokens, (void)n_tokens, (void)out, (void)stride;
}
#endif
