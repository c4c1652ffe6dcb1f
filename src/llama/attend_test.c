/* Attention against the same in double precision, and of many tokens at once
 * against one by one. */
#include "llama/attend.h"

#include "base/base.h"
#include "llama/attend_run.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#define CELLS 700
#define TOKENS 33
#define HEADS 3 /* that share keys */
#define MOST_QUERIES (TOKENS * HEADS)
#define HIDDEN 0xfc00
#define NOT_A_NUMBER 0x7e00

static const size_t sizes[] = { 32, 64, 80, 96, 128, 192, 256 };

struct sample {
	size_t n, n_cells, n_tokens;
	uint16_t *keys, *values; /* rows of n, two heads apart */
	float *q;		 /* rows of n: heads of tokens */
	uint16_t mask[TOKENS][CELLS];
	float *out; /* as q */
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

/* All cells are hidden from all tokens. */
static void make(struct sample *s, size_t n, size_t n_tokens, size_t n_cells,
		 uint32_t seed)
{
	*s = (struct sample){ .n = n,
			      .n_tokens = n_tokens,
			      .n_cells = n_cells };
	s->keys = xcalloc(CELLS * 2 * n, sizeof *s->keys);
	s->values = xcalloc(CELLS * 2 * n, sizeof *s->values);
	s->q = xcalloc(TOKENS * HEADS * n, sizeof *s->q);
	s->out = xcalloc(TOKENS * HEADS * n, sizeof *s->out);
	for (size_t i = 0; i < CELLS * 2 * n; i++) {
		s->keys[i] = half(&seed);
		s->values[i] = half(&seed);
	}
	for (size_t i = 0; i < TOKENS * HEADS * n; i++)
		s->q[i] = (float)value_of(half(&seed)) / 8;
	for (size_t t = 0; t < TOKENS; t++)
		for (size_t i = 0; i < CELLS; i++)
			s->mask[t][i] = HIDDEN;
}

static void unmake(struct sample *s)
{
	free(s->keys);
	free(s->values);
	free(s->q);
	free(s->out);
}

/* ---- what is expected ---- */

/* Of head h of all heads of tokens. */
static double score(const struct sample *s, size_t h, size_t cell)
{
	double sum = 0;
	const uint16_t *key = s->keys + cell * 2 * s->n;
	for (size_t j = 0; j < s->n; j++)
		sum += value_of(key[j]) * (double)s->q[h * s->n + j];
	return sum * 0.125 + value_of(s->mask[h / HEADS][cell]);
}

static void expected(const struct sample *s, size_t h, double *out)
{
	double scores[CELLS], most = -INFINITY, sum = 0;
	const uint16_t *mask = s->mask[h / HEADS];
	memset(out, 0, s->n * sizeof *out);
	for (size_t i = 0; i < s->n_cells; i++)
		if (mask[i] != HIDDEN) {
			scores[i] = score(s, h, i);
			most = fmax(most, scores[i]);
		}
	for (size_t i = 0; i < s->n_cells; i++) {
		if (mask[i] == HIDDEN)
			continue;
		double p = exp(scores[i] - most);
		sum += p;
		for (size_t j = 0; j < s->n; j++)
			out[j] += p * value_of(s->values[i * 2 * s->n + j]);
	}
	for (size_t j = 0; j < s->n; j++)
		out[j] /= sum > 0 ? sum : 1;
}

static void check(const struct sample *s)
{
	double right[ATTEND_LARGEST];
	for (size_t h = 0; h < s->n_tokens * HEADS; h++) {
		expected(s, h, right);
		for (size_t j = 0; j < s->n; j++)
			assert_true(fabs((double)s->out[h * s->n + j] -
					 right[j]) < 2e-5);
	}
}

/* ---- what is computed ---- */

static void one_part(const struct sample *s, const struct attend_run *r,
		     size_t token, size_t part, struct attend_part *out)
{
	static float room[MOST_QUERIES * ATTEND_WINDOW];
	struct attend_query q[MOST_QUERIES];
	uint32_t seen[TOKENS][ATTEND_WORDS];
	size_t from = part * ATTEND_PART, n = r->n_tokens * HEADS;
	struct attend_ask a = {
		.n = s->n,
		.scale = 0.125f,
		.keys = { s->keys, 2 * s->n * sizeof *s->keys },
		.values = { s->values, 2 * s->n * sizeof *s->values },
		.cells = r->cells + from,
		.bias = r->bias ? r->bias + from : NULL,
		.n_cells = MIN(r->n_cells - from, (size_t)ATTEND_WINDOW),
	};
	for (size_t i = 0; i < r->n_tokens; i++)
		attend_run_part(r, i, part, seen[i]);
	for (size_t i = 0; i < n; i++)
		q[i] = (struct attend_query){ s->q + (token * HEADS + i) * s->n,
					      seen[i / HEADS], &out[i] };
	attend(&a, q, n, room);
}

static void one_run(struct sample *s, const struct attend_run *r, size_t token)
{
	static float values[2][MOST_QUERIES][ATTEND_LARGEST];
	struct attend_part parts[2][MOST_QUERIES];
	for (size_t i = 0; i < MOST_QUERIES; i++) {
		parts[0][i].values = values[0][i];
		parts[1][i].values = values[1][i];
	}
	one_part(s, r, token, 0, parts[0]);
	for (size_t i = 1; i < attend_run_parts(r); i++) {
		one_part(s, r, token, i, parts[1]);
		for (size_t h = 0; h < r->n_tokens * HEADS; h++)
			attend_add(&parts[0][h], &parts[1][h], s->n);
	}
	for (size_t h = 0; h < r->n_tokens * HEADS; h++)
		attend_end(&parts[0][h], s->n,
			   s->out + (token * HEADS + h) * s->n);
}

/* By blocks of so many tokens; gives how many runs there were. */
static size_t compute(struct sample *s, size_t block)
{
	size_t runs = 0, bytes = attend_run_room(block, s->n_cells);
	void *room = aligned_alloc(64, bytes);
	struct attend_run r;
	for (size_t t = 0; t < s->n_tokens; t += r.n_tokens, runs++) {
		struct attend_masks m = { s->mask[t], sizeof s->mask[t],
					  s->n_cells };
		memset(room, 0xff, bytes);
		attend_run_make(&r, &m, MIN(block, s->n_tokens - t), room);
		assert_in_range(r.n_tokens, 1, MIN(block, s->n_tokens - t));
		one_run(s, &r, t);
	}
	free(room);
	return runs;
}

/* Bit for bit, however many are taken at once; gives the fewest runs. */
static size_t check_blocks(struct sample *s)
{
	static const size_t blocks[] = { 2, 3, 5, 8, 31, TOKENS };
	size_t bytes = TOKENS * HEADS * s->n * sizeof *s->out, runs = 0;
	float *alone = xcalloc(1, bytes);
	assert_int_equal(compute(s, 1), s->n_tokens);
	memcpy(alone, s->out, bytes);
	check(s);
	for (size_t i = 0; i < ARRAY_LEN(blocks); i++) {
		memset(s->out, 0xff, bytes);
		memcpy(s->out + s->n_tokens * HEADS * s->n,
		       alone + s->n_tokens * HEADS * s->n,
		       (TOKENS - s->n_tokens) * HEADS * s->n * sizeof *s->out);
		runs = compute(s, blocks[i]);
		assert_memory_equal(s->out, alone, bytes);
	}
	free(alone);
	return runs;
}

/* ---- masks ---- */

static void see(struct sample *s, size_t token, size_t from, size_t to)
{
	for (size_t i = from; i < to; i++)
		s->mask[token][i] = 0;
}

/* What a prompt sees whose first tokens are in the cache. */
static void see_prompt(struct sample *s)
{
	for (size_t t = 0; t < s->n_tokens; t++)
		see(s, t, 0, s->n_cells - s->n_tokens + t + 1);
}

static void test_prompts_of_all_sizes_of_heads(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
		struct sample s;
		if (!attend_suits(sizes[i]))
			continue;
		make(&s, sizes[i], TOKENS, 530 + i, (uint32_t)i);
		see_prompt(&s);
		assert_int_equal(check_blocks(&s), 1);
		unmake(&s);
	}
}

static void test_odd_counts_of_tokens_and_cells(void **state)
{
	static const size_t cells[] = { 1,  15,	 16,  17,  31,	32,  33,
					95, 255, 256, 257, 319, 321, 513 };
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cells) && attend_suits(64); i++)
		for (size_t tokens = 1; tokens < 12; tokens += 3) {
			struct sample s;
			make(&s, 64, MIN(tokens, cells[i]), cells[i],
			     (uint32_t)i);
			see_prompt(&s);
			assert_int_equal(check_blocks(&s), 1);
			unmake(&s);
		}
}

/* The tokens' own cells lie before and between those of the prompt's begin. */
static void test_cells_in_any_order(void **state)
{
	struct sample s;
	(void)state;
	if (!attend_suits(64))
		return;
	make(&s, 64, TOKENS, 640, 1);
	for (size_t t = 0; t < TOKENS; t++) {
		see(&s, t, TOKENS, 200);
		see(&s, t, 300, 640);
		for (size_t own = 0; own <= t; own++)
			if (own % 3)
				see(&s, t, own, own + 1);
			else
				see(&s, t, 220 + own, 221 + own);
	}
	assert_int_equal(check_blocks(&s), 1);
	unmake(&s);
}

static void test_a_window_that_moves(void **state)
{
	struct sample s;
	(void)state;
	if (!attend_suits(128))
		return;
	make(&s, 128, TOKENS, 700, 2);
	for (size_t t = 0; t < TOKENS; t++)
		see(&s, t, 7 + t, 7 + t + 512);
	assert_int_equal(check_blocks(&s), 1);
	unmake(&s);
}

/* Three sequences, one that sees nothing among them, and one to whose scores
 * something is added. */
static void test_tokens_that_see_others_cells_are_apart(void **state)
{
	struct sample s;
	(void)state;
	if (!attend_suits(64))
		return;
	make(&s, 64, TOKENS, 600, 3);
	for (size_t t = 0; t < TOKENS; t++)
		if (t < 10)
			see(&s, t, 0, 290 + t);
		else if (t < 20)
			see(&s, t, 300, 500 + t);
		else if (t > 20)
			for (size_t i = t % 2; i < 600; i += 2)
				see(&s, t, i, i + 1);
	for (size_t i = 0; i < 600; i += 5)
		s.mask[5][i] = s.mask[5][i] == HIDDEN ? HIDDEN : 0xbe00;
	assert_true(check_blocks(&s) >= 1 + 3 + 12);
	unmake(&s);
}

static void test_nothing_is_seen(void **state)
{
	struct sample s;
	(void)state;
	if (!attend_suits(64))
		return;
	make(&s, 64, TOKENS, 300, 4);
	assert_int_equal(check_blocks(&s), 1);
	unmake(&s);
}

static void test_what_is_hidden_may_be_no_number(void **state)
{
	struct sample s;
	(void)state;
	if (!attend_suits(64))
		return;
	make(&s, 64, TOKENS, 400, 5);
	see_prompt(&s);
	for (size_t t = 0; t < TOKENS; t++)
		for (size_t i = 40; i < 90; i++)
			s.mask[t][i] = HIDDEN;
	/* Unseen by all, and by all but the last of the tokens. */
	for (size_t j = 0; j < 2 * 64; j++)
		for (size_t i = 40; i < 90; i++) {
			s.keys[i * 2 * 64 + j] = NOT_A_NUMBER;
			s.values[i * 2 * 64 + j] =
				i % 2 ? NOT_A_NUMBER : HIDDEN;
		}
	check_blocks(&s);
	for (size_t j = 0; j < 2 * 64; j++) {
		s.keys[399 * 2 * 64 + j] = NOT_A_NUMBER;
		s.values[399 * 2 * 64 + j] = NOT_A_NUMBER;
	}
	assert_int_equal(compute(&s, TOKENS), 1);
	s.n_tokens--;
	check(&s);
	unmake(&s);
}

/* ---- what tokens see ---- */

/* The parts of a token make what its row of the mask shows, in order. */
static void check_parts(const struct attend_run *r, size_t token,
			const uint16_t *mask, size_t n_cells)
{
	uint32_t seen[ATTEND_WORDS];
	size_t cell = 0;
	for (size_t part = 0; part < attend_run_parts(r); part++) {
		size_t n = 0;
		attend_run_part(r, token, part, seen);
		for (size_t i = 0; i < ATTEND_WINDOW; i++) {
			if (!(seen[i / 32] >> i % 32 & 1))
				continue;
			while (cell < n_cells && mask[cell] == HIDDEN)
				cell++;
			assert_true(part * ATTEND_PART + i < r->n_cells);
			assert_int_equal(r->cells[part * ATTEND_PART + i],
					 cell++);
			n++;
		}
		while (cell < n_cells && mask[cell] == HIDDEN)
			cell++;
		assert_true(n == ATTEND_PART || cell == n_cells);
	}
	assert_int_equal(cell, n_cells);
}

static void test_parts_are_what_the_mask_shows(void **state)
{
	static uint16_t masks[6][CELLS];
	(void)state;
	for (uint32_t seed = 1; seed < 40 && attend_suits(64); seed++) {
		uint32_t random = seed;
		size_t n_cells = 1 + next(&random) % CELLS,
		       bytes = attend_run_room(6, n_cells);
		struct attend_masks m = { masks, sizeof masks[0], n_cells };
		struct attend_run r;
		void *room = aligned_alloc(64, bytes);
		memset(room, 0xff, bytes);
		for (size_t i = 0; i < n_cells; i++) {
			uint16_t same = next(&random) % 4 ? 0 : HIDDEN;
			for (size_t t = 0; t < 6; t++)
				masks[t][i] =
					next(&random) % 100 ? same : HIDDEN;
		}
		attend_run_make(&r, &m, 6, room);
		assert_true(r.n_tokens == 6 && !r.bias);
		for (size_t t = 0; t < 6; t++)
			check_parts(&r, t, masks[t], n_cells);
		free(room);
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
		cmocka_unit_test(test_prompts_of_all_sizes_of_heads),
		cmocka_unit_test(test_odd_counts_of_tokens_and_cells),
		cmocka_unit_test(test_cells_in_any_order),
		cmocka_unit_test(test_a_window_that_moves),
		cmocka_unit_test(test_tokens_that_see_others_cells_are_apart),
		cmocka_unit_test(test_nothing_is_seen),
		cmocka_unit_test(test_what_is_hidden_may_be_no_number),
		cmocka_unit_test(test_parts_are_what_the_mask_shows),
		cmocka_unit_test(test_sizes_of_no_model_are_left),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
