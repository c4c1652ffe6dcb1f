#include "llama/attend.h"

#include "base/base.h"
#include "llama/attend_priv.h"

#include <math.h>

void attend_end(const struct attend_part *p, size_t n, float *out)
{
	float by = p->sum > 0 ? 1 / p->sum : 0;
	for (size_t i = 0; i < n; i++)
		out[i] = p->sum > 0 ? by * p->values[i] : 0;
}

#ifdef __x86_64__

AVX512 INLINE __mmask16 up_to_16(size_t n)
{
	return (__mmask16)(n < 16 ? (1u << n) - 1 : 0xffff);
}

/* Products with n keys, 16 at a time, to weights. */
AVX512 static void weigh(float *at, const float *bias, size_t n, float scale,
			 struct attend_part *out)
{
	__m512 most = _mm512_set1_ps(-INFINITY), sum = _mm512_setzero_ps();
	for (size_t i = 0; i < n; i += 16) {
		__mmask16 there = up_to_16(n - i);
		__m512 add = bias ? _mm512_maskz_loadu_ps(there, bias + i)
				  : _mm512_setzero_ps();
		__m512 score =
			_mm512_fmadd_ps(_mm512_maskz_loadu_ps(there, at + i),
					_mm512_set1_ps(scale), add);
		most = _mm512_mask_max_ps(most, there, most, score);
		_mm512_mask_storeu_ps(at + i, there, score);
	}
	out->most = _mm512_reduce_max_ps(most);
	most = _mm512_set1_ps(out->most);
	for (size_t i = 0; i < n; i += 16) {
		__mmask16 there = up_to_16(n - i);
		__m512 score = _mm512_maskz_loadu_ps(there, at + i);
		__m512 weight = _mm512_maskz_mov_ps(
			there, exp512(_mm512_sub_ps(score, most)));
		sum = _mm512_add_ps(sum, weight);
		_mm512_mask_storeu_ps(at + i, there, weight);
	}
	out->sum = _mm512_reduce_add_ps(sum);
}

/* Where others lie between the cells of a query, its own are put side by side,
 * so that the same are summed up as if it were alone. */
AVX512 static void weigh_apart(float *room, const uint32_t *seen,
			       size_t n_cells, float scale,
			       struct attend_part *out)
{
	float own[ATTEND_PART + 16];
	size_t n = 0;
	for (size_t i = 0; i < n_cells; i += 16) {
		__mmask16 some = (__mmask16)(seen[i / 32] >> i % 32);
		_mm512_storeu_ps(own + n,
				 _mm512_maskz_compress_ps(
					 some, _mm512_loadu_ps(room + i)));
		n += (size_t)__builtin_popcount(some);
	}
	weigh(own, NULL, n, scale, out);
	n = 0;
	for (size_t i = 0; i < n_cells; i += 16) {
		__mmask16 some = (__mmask16)(seen[i / 32] >> i % 32);
		_mm512_storeu_ps(room + i,
				 _mm512_maskz_expandloadu_ps(some, own + n));
		n += (size_t)__builtin_popcount(some);
	}
}

/* The first and how many, if they lie side by side. */
AVX512 static bool is_range(const uint32_t *seen, size_t n_cells, size_t *first,
			    size_t *n)
{
	size_t words = (n_cells + 31) / 32, end = 0;
	*first = *n = 0;
	for (size_t i = words; i-- > 0;)
		if (seen[i])
			*first = 32 * i + (size_t)__builtin_ctz(seen[i]);
	for (size_t i = 0; i < words; i++)
		if (seen[i]) {
			*n += (size_t)__builtin_popcount(seen[i]);
			end = 32 * i + 32 - (size_t)__builtin_clz(seen[i]);
		}
	return end - *first == *n;
}

void attend(const struct attend_ask *a, const struct attend_query *q, size_t n,
	    float *room)
{
	attend_keys(a, q, n, room);
	for (size_t i = 0; i < n; i++) {
		float *at = room + i * ATTEND_ROW;
		size_t first, m;
		if (is_range(q[i].seen, a->n_cells, &first, &m))
			weigh(at + first, a->bias ? a->bias + first : NULL, m,
			      a->scale, q[i].out);
		else
			weigh_apart(at, q[i].seen, a->n_cells, a->scale,
				    q[i].out);
	}
	attend_values(a, q, n, room);
}

AVX512 void attend_add(struct attend_part *to, const struct attend_part *more,
		       size_t n)
{
	float most = MAX(to->most, more->most);
	if (!(more->sum > 0))
		return;
	if (!(to->sum > 0)) {
		memcpy(to->values, more->values, n * sizeof *to->values);
		to->most = more->most;
		to->sum = more->sum;
		return;
	}
	float a = to->most < most ? expf(to->most - most) : 1,
	      b = more->most < most ? expf(more->most - most) : 1;
	for (size_t i = 0; i < n; i += 16) {
		__m512 x = _mm512_mul_ps(_mm512_set1_ps(b),
					 _mm512_loadu_ps(more->values + i));
		x = _mm512_fmadd_ps(_mm512_set1_ps(a),
				    _mm512_loadu_ps(to->values + i), x);
		_mm512_storeu_ps(to->values + i, x);
	}
	to->sum = a * to->sum + b * more->sum;
	to->most = most;
}

bool attend_suits(size_t n)
{
#define IS(size) || n == size
	return __builtin_cpu_supports("avx512bw") &&
	       __builtin_cpu_supports("avx512dq") &&
	       __builtin_cpu_supports("fma") &&
	       __builtin_cpu_supports("bmi2") && (false ATTEND_SIZES(IS));
}

#else /* never called */

bool attend_suits(size_t n)
{
	(void)n;
	return false;
}

void attend(const struct attend_ask *a, const struct attend_query *q, size_t n,
	    float *room)
{
	(void)a, (void)q, (void)n, (void)room;
}

void attend_add(struct attend_part *to, const struct attend_part *more,
		size_t n)
{
	(void)to, (void)more, (void)n;
}
#endif
