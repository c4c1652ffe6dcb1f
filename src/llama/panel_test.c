/* Panels against the same products in double precision, of the numbers that
 * ggml makes of the rows. */
#include "llama/panel.h"

#include "base/base.h"

#include <float.h>
#include <ggml.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#define TOKENS 23 /* tiles of each size, and a rest */
#define PANELS 3

/* With ggml's layout: its block, and where the halves d and m lie in it. */
static const struct kind {
	enum panel_type type;
	enum ggml_type theirs;
	size_t block, n_halves, at_halves;
} kinds[] = {
	{ PANEL_Q4_0, GGML_TYPE_Q4_0, 18, 1, 0 },
	{ PANEL_Q4_1, GGML_TYPE_Q4_1, 20, 2, 0 },
	{ PANEL_Q5_0, GGML_TYPE_Q5_0, 22, 1, 0 },
	{ PANEL_Q5_1, GGML_TYPE_Q5_1, 24, 2, 0 },
	{ PANEL_Q8_0, GGML_TYPE_Q8_0, 34, 1, 0 },
	{ PANEL_Q4_K, GGML_TYPE_Q4_K, 144, 2, 0 },
	{ PANEL_Q5_K, GGML_TYPE_Q5_K, 176, 2, 0 },
	{ PANEL_Q6_K, GGML_TYPE_Q6_K, 210, 1, 208 },
	{ PANEL_F16, GGML_TYPE_F16, 2, 1, 0 },
};

struct sample {
	const struct kind *kind;
	enum panel_type type;
	size_t n; /* columns */
	uint8_t *rows, *panels;
	float *weights; /* as ggml reads the rows */
	float *x;
	uint8_t *tokens; /* aligned */
	void *memory;
};

static uint32_t next(uint32_t *state)
{
	*state = *state * 1664525 + 1013904223;
	return *state >> 8;
}

/* A half between 0 and 2, or below with `is_less`, without infinities. */
static uint16_t half(uint32_t *state, bool is_less)
{
	return (uint16_t)(next(state) % 0x4000 | (is_less ? 0x8000 : 0));
}

static void pack(struct sample *s)
{
	size_t bytes = panel_bytes(s->type, s->n);
	ggml_get_type_traits(s->kind->theirs)
		->to_float(s->rows, s->weights, PANELS * PANEL_ROWS * s->n);
	for (size_t i = 0; i < PANELS; i++)
		panel_pack(s->type, s->n, s->rows + i * bytes,
			   s->panels + i * bytes);
}

static void make(struct sample *s, const struct kind *kind, size_t n,
		 uint32_t seed)
{
	size_t bytes = PANELS * panel_bytes(kind->type, n),
	       token = panel_token_bytes(kind->type, n);
	*s = (struct sample){ .kind = kind, .type = kind->type, .n = n };
	s->rows = xcalloc(bytes, 1);
	s->panels = xcalloc(bytes, 1);
	s->weights = xcalloc(PANELS * PANEL_ROWS * s->n, sizeof *s->weights);
	for (size_t i = 0; i < bytes; i++)
		s->rows[i] = (uint8_t)next(&seed);
	for (size_t i = 0; i < bytes; i += kind->block)
		for (size_t j = 0; j < kind->n_halves; j++) {
			uint16_t d = half(&seed, j || i % 3 == 0);
			memcpy(s->rows + i + kind->at_halves + 2 * j, &d, 2);
		}
	s->x = xcalloc(TOKENS * s->n, sizeof *s->x);
	for (size_t i = 0; i < TOKENS * s->n; i++)
		s->x[i] = (float)next(&seed) / (1 << 22) - 2;
	s->memory = xcalloc(TOKENS * token + 64, 1);
	s->tokens = (uint8_t *)(((uintptr_t)s->memory + 63) & ~(uintptr_t)63);
	pack(s);
}

static void unmake(struct sample *s)
{
	free(s->rows);
	free(s->panels);
	free(s->weights);
	free(s->x);
	free(s->memory);
}

/* The product, and what rounding the activations may change of it. */
static double expected(const struct sample *s, size_t row, size_t token,
		       double *slack)
{
	double sum = 0, sizes = 0;
	*slack = 0;
	for (size_t b = 0; b < s->n / PANEL_BLOCK; b++) {
		const float *w = s->weights + row * s->n + b * PANEL_BLOCK;
		const float *x = s->x + token * s->n + b * PANEL_BLOCK;
		double most = 0;
		for (size_t i = 0; i < PANEL_BLOCK; i++)
			most = fmax(most, fabs((double)x[i]));
		for (size_t i = 0; i < PANEL_BLOCK; i++) {
			sum += (double)w[i] * (double)x[i];
			sizes += fabs((double)w[i] * (double)x[i]);
			*slack += fabs((double)w[i]) * most / 127 * 0.501;
		}
	}
	*slack += sizes * 1e-5 + 1e-28;
	return sum;
}

static void quantize(struct sample *s)
{
	for (size_t i = 0; i < TOKENS; i++) {
		void *token = s->tokens + i * panel_token_bytes(s->type, s->n);
		panel_quantize(s->type, s->x + i * s->n, s->n, 1,
			       s->n / PANEL_BLOCK, token);
		panel_quantize(s->type, s->x + i * s->n, s->n, 0, 1, token);
	}
}

static void check(enum panel_way way, struct sample *s)
{
	const size_t stride = PANELS * PANEL_ROWS + 4;
	float out[TOKENS * (PANELS * PANEL_ROWS + 4)], alone[PANEL_ROWS];
	double slack;
	quantize(s);
	panel_multiply(way, s->type, s->n, s->panels, PANELS, s->tokens, TOKENS,
		       out, stride);
	for (size_t i = 0; i < TOKENS; i++) {
		for (size_t r = 0; r < PANELS * PANEL_ROWS; r++) {
			double right = expected(s, r, i, &slack);
			assert_true(fabs((double)out[i * stride + r] - right) <=
				    slack);
		}
		for (size_t p = 0; p < PANELS; p++) {
			panel_multiply(
				way, s->type, s->n,
				s->panels + p * panel_bytes(s->type, s->n), 1,
				s->tokens +
					i * panel_token_bytes(s->type, s->n),
				1, alone, stride);
			assert_memory_equal(alone,
					    out + i * stride + p * PANEL_ROWS,
					    sizeof alone);
		}
	}
}

static bool is_done(enum panel_way way, const struct kind *k)
{
	return panel_can(way) && panel_suits(way, k->type);
}

static size_t least_columns(const struct kind *k)
{
	return MAX((size_t)ggml_blck_size(k->theirs), (size_t)PANEL_BLOCK);
}

static void test_products_are_right_and_the_same_alone(void **state)
{
	(void)state;
	for (enum panel_way way = PANEL_AVX2; way <= PANEL_AVX512; way++)
		for (uint32_t i = 0; i < 5 * ARRAY_LEN(kinds); i++) {
			const struct kind *k = &kinds[i % ARRAY_LEN(kinds)];
			size_t times = 1 + i / ARRAY_LEN(kinds);
			struct sample s;
			if (!is_done(way, k))
				continue;
			make(&s, k, times * least_columns(k), i);
			check(way, &s);
			unmake(&s);
		}
}

static void test_no_way_gives_other_numbers(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
		float out[2][TOKENS * PANELS * PANEL_ROWS];
		struct sample s;
		if (!is_done(PANEL_AVX2, &kinds[i]))
			continue;
		make(&s, &kinds[i], 3 * least_columns(&kinds[i]), 9);
		quantize(&s);
		for (enum panel_way way = PANEL_AVX2; way <= PANEL_AVX512;
		     way++) {
			bool is_first = way == PANEL_AVX2;
			if (!is_done(way, &kinds[i]))
				continue;
			panel_multiply(way, s.type, s.n, s.panels, PANELS,
				       s.tokens, TOKENS, out[!is_first],
				       PANELS * PANEL_ROWS);
			if (!is_first)
				assert_memory_equal(out[0], out[1],
						    sizeof out[0]);
		}
		unmake(&s);
	}
}

/* All bits of the weights set but for the halves, all products of one sign;
 * nothing but zeros; and very small numbers. */
static void make_extreme(struct sample *s, const struct kind *k)
{
	make(s, k, 2 * least_columns(k), 1);
	for (size_t i = 0; i < PANELS * panel_bytes(k->type, s->n); i++) {
		size_t in_block = i % k->block - k->at_halves;
		if (in_block >= 2 * k->n_halves)
			s->rows[i] = 0xff;
	}
	pack(s);
	for (size_t j = 0; j < s->n; j++) {
		s->x[j] = -3;
		s->x[s->n + j] = 0;
		s->x[2 * s->n + j] = FLT_MIN / 8;
	}
}

static void test_extremes(void **state)
{
	(void)state;
	for (enum panel_way way = PANEL_AVX2; way <= PANEL_AVX512; way++)
		for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
			struct sample s;
			if (!is_done(way, &kinds[i]))
				continue;
			make_extreme(&s, &kinds[i]);
			check(way, &s);
			unmake(&s);
		}
}

/* A model may make such numbers of its own; they stay its own. */
static void test_what_is_no_number_stays_in_its_token(void **state)
{
	(void)state;
	for (enum panel_way way = PANEL_AVX2; way <= PANEL_AVX512; way++)
		for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
			float out[2 * PANEL_ROWS], clean[2 * PANEL_ROWS];
			struct sample s;
			if (!is_done(way, &kinds[i]))
				continue;
			make(&s, &kinds[i], 2 * least_columns(&kinds[i]), 5);
			quantize(&s);
			panel_multiply(way, s.type, s.n, s.panels, 1, s.tokens,
				       2, clean, PANEL_ROWS);
			s.x[7] = NAN;
			s.x[8] = INFINITY;
			quantize(&s);
			panel_multiply(way, s.type, s.n, s.panels, 1, s.tokens,
				       2, out, PANEL_ROWS);
			assert_memory_equal(out + PANEL_ROWS,
					    clean + PANEL_ROWS,
					    PANEL_ROWS * sizeof(float));
			unmake(&s);
		}
}

static void test_a_panel_takes_what_its_rows_do(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
		assert_int_equal(panel_bytes(kinds[i].type, 512),
				 PANEL_ROWS *
					 ggml_row_size(kinds[i].theirs, 512));
		assert_int_equal(panel_token_bytes(kinds[i].type, 512) % 64, 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_products_are_right_and_the_same_alone),
		cmocka_unit_test(test_no_way_gives_other_numbers),
		cmocka_unit_test(test_extremes),
		cmocka_unit_test(test_what_is_no_number_stays_in_its_token),
		cmocka_unit_test(test_a_panel_takes_what_its_rows_do),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
