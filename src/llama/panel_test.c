/* Panels against the same products in double precision. */
#include "llama/panel.h"

#include "base/base.h"

#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#define N 96 /* columns */
#define BLOCKS (N / PANEL_BLOCK)
#define TOKENS 23 /* tiles of each size, and a rest */

static const enum panel_type types[] = { PANEL_Q4_1, PANEL_Q5_0, PANEL_Q5_1,
					 PANEL_Q8_0, PANEL_F16 };

struct sample {
	enum panel_type type;
	uint8_t *rows, *panel;
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

static double value_of(uint16_t half)
{
	int exponent = half >> 10 & 31, fraction = half & 1023;
	double v = exponent ? ldexp(1024 + fraction, exponent - 25)
			    : ldexp(fraction, -24);
	return half & 0x8000 ? -v : v;
}

static bool has_min(enum panel_type type)
{
	return type == PANEL_Q4_1 || type == PANEL_Q5_1;
}

static void make(struct sample *s, enum panel_type type, uint32_t seed)
{
	size_t each = panel_block_bytes(type),
	       token = panel_token_bytes(type, N);
	*s = (struct sample){ .type = type };
	s->rows = xcalloc(PANEL_ROWS * BLOCKS, each);
	s->panel = xcalloc(PANEL_ROWS * BLOCKS, each);
	for (size_t i = 0; i < PANEL_ROWS * BLOCKS * each; i++)
		s->rows[i] = (uint8_t)next(&seed);
	for (size_t i = 0; type == PANEL_F16 && i < PANEL_ROWS * N; i++) {
		uint16_t w = half(&seed, i % 3 == 0);
		memcpy(s->rows + 2 * i, &w, 2);
	}
	for (size_t b = 0; type != PANEL_F16 && b < PANEL_ROWS * BLOCKS; b++) {
		uint16_t d = half(&seed, b % 3 == 0), m = half(&seed, true);
		memcpy(s->rows + b * each, &d, 2);
		if (has_min(type))
			memcpy(s->rows + b * each + 2, &m, 2);
	}
	s->x = xcalloc(TOKENS * N, sizeof *s->x);
	for (size_t i = 0; i < TOKENS * N; i++)
		s->x[i] = (float)next(&seed) / (1 << 22) - 2;
	s->memory = xcalloc(TOKENS * token + 64, 1);
	s->tokens = (uint8_t *)(((uintptr_t)s->memory + 63) & ~(uintptr_t)63);
	panel_pack(type, N, s->rows, s->panel);
}

static void unmake(struct sample *s)
{
	free(s->rows);
	free(s->panel);
	free(s->x);
	free(s->memory);
}

/* Weight i of a row's block, as ggml stores it. */
static double weight(enum panel_type type, const uint8_t *block, size_t i)
{
	uint16_t d, m;
	uint32_t fifth = 0;
	if (type == PANEL_F16) {
		memcpy(&d, block + 2 * i, 2);
		return value_of(d);
	}
	memcpy(&d, block, 2);
	memcpy(&m, block + 2, 2);
	block += has_min(type) ? 4 : 2;
	if (type == PANEL_Q8_0)
		return value_of(d) * (int8_t)block[i];
	if (type != PANEL_Q4_1) {
		memcpy(&fifth, block, 4);
		block += 4;
	}
	int q = i < 16 ? block[i] & 15 : block[i - 16] >> 4;
	q |= (int)(fifth >> i & 1) << 4;
	return has_min(type) ? value_of(d) * q + value_of(m)
			     : value_of(d) * (q - 16);
}

/* The product, and what rounding the activations may change of it. */
static double expected(const struct sample *s, size_t row, size_t token,
		       double *slack)
{
	size_t each = panel_block_bytes(s->type);
	double sum = 0;
	*slack = 0;
	for (size_t b = 0; b < BLOCKS; b++) {
		const uint8_t *block = s->rows + (row * BLOCKS + b) * each;
		const float *x = s->x + token * N + b * PANEL_BLOCK;
		double most = 0;
		for (size_t i = 0; i < PANEL_BLOCK; i++)
			most = fmax(most, fabs((double)x[i]));
		for (size_t i = 0; i < PANEL_BLOCK; i++) {
			double w = weight(s->type, block, i);
			sum += w * (double)x[i];
			*slack += fabs(w) * most / 127 * 0.501;
		}
	}
	*slack += fabs(sum) * 1e-5 + 1e-28;
	return sum;
}

static void quantize(struct sample *s)
{
	for (size_t i = 0; i < TOKENS; i++) {
		void *token = s->tokens + i * panel_token_bytes(s->type, N);
		panel_quantize(s->type, s->x + i * N, N, 1, BLOCKS, token);
		panel_quantize(s->type, s->x + i * N, N, 0, 1, token);
	}
}

static void check(enum panel_way way, struct sample *s)
{
	float out[TOKENS * 20], alone[PANEL_ROWS];
	double slack;
	quantize(s);
	panel_multiply(way, s->type, N, s->panel, s->tokens, TOKENS, out, 20);
	for (size_t i = 0; i < TOKENS; i++) {
		for (size_t r = 0; r < PANEL_ROWS; r++) {
			double right = expected(s, r, i, &slack);
			assert_true(fabs((double)out[i * 20 + r] - right) <=
				    slack);
		}
		panel_multiply(way, s->type, N, s->panel,
			       s->tokens + i * panel_token_bytes(s->type, N), 1,
			       alone, 20);
		assert_memory_equal(alone, out + i * 20, sizeof alone);
	}
}

static void test_products_are_right_and_the_same_alone(void **state)
{
	(void)state;
	for (enum panel_way way = PANEL_AVX2; way <= panel_way(); way++)
		for (uint32_t i = 0; i < 50; i++) {
			struct sample s;
			if (!panel_suits(way, types[i % ARRAY_LEN(types)]))
				continue;
			make(&s, types[i % ARRAY_LEN(types)], i);
			check(way, &s);
			unmake(&s);
		}
}

static void test_extremes(void **state)
{
	(void)state;
	for (enum panel_way way = PANEL_AVX2; way <= panel_way(); way++)
		for (size_t i = 0; i < ARRAY_LEN(types); i++) {
			struct sample s;
			if (!panel_suits(way, types[i]))
				continue;
			make(&s, types[i], 1);
			/* All weights at their largest, all products of one
			 * sign; nothing but zeros; and very small numbers. */
			for (size_t b = 0;
			     types[i] != PANEL_F16 && b < PANEL_ROWS * BLOCKS;
			     b++)
				memset(s.rows +
					       (b + 1) * panel_block_bytes(
								 types[i]) -
					       16,
				       0xff, 16);
			panel_pack(types[i], N, s.rows, s.panel);
			for (size_t j = 0; j < N; j++) {
				s.x[j] = -3;
				s.x[N + j] = 0;
				s.x[2 * N + j] = FLT_MIN / 8;
			}
			check(way, &s);
			unmake(&s);
		}
}

/* A model may make such numbers of its own; they stay its own. */
static void test_what_is_no_number_stays_in_its_token(void **state)
{
	(void)state;
	for (enum panel_way way = PANEL_AVX2; way <= panel_way(); way++) {
		float out[2 * PANEL_ROWS], clean[2 * PANEL_ROWS];
		struct sample s;
		make(&s, PANEL_Q4_1, 5);
		quantize(&s);
		panel_multiply(way, s.type, N, s.panel, s.tokens, 2, clean,
			       PANEL_ROWS);
		s.x[7] = NAN;
		s.x[8] = INFINITY;
		quantize(&s);
		panel_multiply(way, s.type, N, s.panel, s.tokens, 2, out,
			       PANEL_ROWS);
		assert_memory_equal(out + PANEL_ROWS, clean + PANEL_ROWS,
				    PANEL_ROWS * sizeof(float));
		unmake(&s);
	}
}

static void test_a_panel_takes_what_its_rows_do(void **state)
{
	(void)state;
	assert_int_equal(panel_block_bytes(PANEL_Q4_1), 20);
	assert_int_equal(panel_block_bytes(PANEL_Q5_0), 22);
	assert_int_equal(panel_block_bytes(PANEL_Q5_1), 24);
	assert_int_equal(panel_block_bytes(PANEL_Q8_0), 34);
	assert_int_equal(panel_block_bytes(PANEL_F16), 64);
	assert_int_equal(panel_token_bytes(PANEL_Q4_1, N) % 64, 0);
	assert_int_equal(panel_token_bytes(PANEL_F16, N) % 64, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_products_are_right_and_the_same_alone),
		cmocka_unit_test(test_extremes),
		cmocka_unit_test(test_what_is_no_number_stays_in_its_token),
		cmocka_unit_test(test_a_panel_takes_what_its_rows_do),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
