/* Attention against the same in double precision. */
#include "llama/attend.h"

#include "base/base.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#define CELLS 150
#define HEADS 3 /* that share keys */
#define HIDDEN 0xfc00

static const size_t sizes[] = { 32, 64, 80, 96, 128, 192, 256 };

struct sample {
	size_t n;
	uint16_t *keys, *values; /* rows of n, two heads apart */
	float *q;
	uint32_t cells[CELLS];
	float bias[CELLS];
	size_t n_cells;
	float *out[HEADS];
};

static uint32_t next(uint32_t *state)
{
	*state = *state * 1664525 + 1013904223;
	return *state >> 8;
}

/* A half between -4 and 4. */
static uint16_t half(uint32_t *state)
{
	return (uint16_t)(next(state) % 0x4400 | (next(state) & 1) << 15);
}

static double value_of(uint16_t half)
{
	int exponent = half >> 10 & 31, fraction = half & 1023;
	double v = exponent ? ldexp(1024 + fraction, exponent - 25)
			    : ldexp(fraction, -24);
	return half & 0x8000 ? -v : v;
}

static void make(struct sample *s, size_t n, uint32_t seed)
{
	*s = (struct sample){ .n = n };
	s->keys = xcalloc(CELLS * 2 * n, sizeof *s->keys);
	s->values = xcalloc(CELLS * 2 * n, sizeof *s->values);
	s->q = xcalloc(HEADS * n, sizeof *s->q);
	for (size_t i = 0; i < CELLS * 2 * n; i++) {
		s->keys[i] = half(&seed);
		s->values[i] = half(&seed);
	}
	for (size_t i = 0; i < HEADS * n; i++)
		s->q[i] = (float)value_of(half(&seed)) / 8;
	for (uint32_t i = 0; i < CELLS; i++)
		if (next(&seed) % 3) {
			s->cells[s->n_cells] = i;
			s->bias[s->n_cells++] = i % 5 ? 0 : -1.5f;
		}
	for (size_t h = 0; h < HEADS; h++)
		s->out[h] = xcalloc(n, sizeof(float));
}

static void unmake(struct sample *s)
{
	free(s->keys);
	free(s->values);
	free(s->q);
	for (size_t h = 0; h < HEADS; h++)
		free(s->out[h]);
}

static double score(const struct sample *s, size_t h, size_t i)
{
	double sum = 0;
	const uint16_t *key = s->keys + s->cells[i] * 2 * s->n;
	for (size_t j = 0; j < s->n; j++)
		sum += value_of(key[j]) * (double)s->q[h * s->n + j];
	return sum * 0.125 + (double)s->bias[i];
}

static double expected(const struct sample *s, size_t h, size_t j)
{
	double most = -INFINITY, sum = 0, out = 0;
	for (size_t i = 0; i < s->n_cells; i++)
		most = fmax(most, score(s, h, i));
	for (size_t i = 0; i < s->n_cells; i++) {
		double p = exp(score(s, h, i) - most);
		sum += p;
		out += p * value_of(s->values[s->cells[i] * 2 * s->n + j]);
	}
	return s->n_cells ? out / sum : 0;
}

/* By parts of the cells, from..to. */
static void part(const struct sample *s, size_t from, size_t to,
		 struct attend_part *out)
{
	const float *q[HEADS];
	struct attend_ask a = {
		.n = s->n,
		.n_heads = HEADS,
		.scale = 0.125f,
		.keys = { s->keys, 2 * s->n * sizeof *s->keys },
		.values = { s->values, 2 * s->n * sizeof *s->values },
		.cells = s->cells + from,
		.bias = s->bias + from,
		.n_cells = to - from,
	};
	for (size_t h = 0; h < HEADS; h++)
		q[h] = s->q + h * s->n;
	attend(&a, q, out);
}

static void check(struct sample *s, size_t n_parts)
{
	float values[2][HEADS][ATTEND_LARGEST];
	struct attend_part parts[2][HEADS];
	for (size_t h = 0; h < HEADS; h++) {
		parts[0][h].values = values[0][h];
		parts[1][h].values = values[1][h];
	}
	part(s, 0, s->n_cells / n_parts, parts[0]);
	for (size_t i = 1; i < n_parts; i++) {
		part(s, s->n_cells * i / n_parts,
		     s->n_cells * (i + 1) / n_parts, parts[1]);
		for (size_t h = 0; h < HEADS; h++)
			attend_add(&parts[0][h], &parts[1][h], s->n);
	}
	for (size_t h = 0; h < HEADS; h++) {
		attend_end(&parts[0][h], s->n, s->out[h]);
		for (size_t j = 0; j < s->n; j++)
			assert_true(fabs((double)s->out[h][j] -
					 expected(s, h, j)) < 2e-5);
	}
}

static void test_answers_are_right_whole_and_by_parts(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
		struct sample s;
		if (!attend_suits(sizes[i]))
			continue;
		for (uint32_t seed = 0; seed < 3; seed++) {
			make(&s, sizes[i], seed);
			check(&s, 1);
			check(&s, 5);
			unmake(&s);
		}
	}
}

static void test_few_cells_and_none(void **state)
{
	(void)state;
	for (size_t n = 0; n < 40 && attend_suits(64); n++) {
		struct sample s;
		make(&s, 64, 7);
		s.n_cells = n;
		check(&s, 1);
		check(&s, 8);
		unmake(&s);
	}
}

static void test_a_mask_is_read_to_its_end(void **state)
{
	uint16_t mask[100];
	uint32_t cells[100], n = 0;
	float bias[100];
	(void)state;
	for (uint32_t i = 0; i < 100; i++)
		mask[i] = i % 7 && (i < 40 || i > 60) ? HIDDEN : 0;
	mask[99] = 0xbc00; /* -1 */
	for (size_t from = 0; from < 100 && attend_suits(64); from += 33) {
		size_t got = attend_seen(mask, from, 100, cells, bias);
		n = 0;
		for (uint32_t i = (uint32_t)from; i < 100; i++) {
			if (mask[i] == HIDDEN)
				continue;
			assert_int_equal(cells[n], i);
			assert_true(bias[n] == (i == 99 ? -1.0f : 0.0f));
			n++;
		}
		assert_int_equal(got, n);
	}
}

static void test_sizes_of_no_model_are_left(void **state)
{
	(void)state;
	assert_false(attend_suits(0));
	assert_false(attend_suits(63));
	assert_false(attend_suits(512));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_answers_are_right_whole_and_by_parts),
		cmocka_unit_test(test_few_cells_and_none),
		cmocka_unit_test(test_a_mask_is_read_to_its_end),
		cmocka_unit_test(test_sizes_of_no_model_are_left),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
