/* The operation against plain sums, and bit for bit the same by any number of
 * threads and in any batch. */
#include "llama/attend.h"

#include "base/base.h"
#include "llama/cpu_own.h"
#include "llama/weights.h"

#include <ggml-backend.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#define N 64
#define KEY_HEADS 2
#define HEADS 6
#define CELLS 832
#define TOKENS 70
#define STREAMS 2

#define EACH ((size_t)(HEADS * N)) /* floats of a token */

/* Everything as llama.cpp has it: rows of a cell or token, heads in them. */
static struct sample {
	size_t streams;
	ggml_fp16_t keys[STREAMS][CELLS][KEY_HEADS][N];
	ggml_fp16_t values[STREAMS][CELLS][KEY_HEADS][N];
	float q[STREAMS][TOKENS][HEADS][N];
	ggml_fp16_t mask[STREAMS][TOKENS][CELLS];
} s;

static ggml_backend_t cpu;

static float random_float(uint32_t *state)
{
	*state = *state * 1664525 + 1013904223;
	return (float)(*state >> 8) / (float)(1 << 23) - 1;
}

static void make(size_t streams)
{
	uint32_t state = 9;
	ggml_fp16_t *keys = &s.keys[0][0][0][0],
		    *values = &s.values[0][0][0][0];
	s.streams = streams;
	for (size_t i = 0; i < sizeof s.keys / sizeof *keys; i++) {
		keys[i] = ggml_fp32_to_fp16(random_float(&state));
		values[i] = ggml_fp32_to_fp16(random_float(&state));
	}
	for (size_t i = 0; i < sizeof s.q / sizeof(float); i++)
		(&s.q[0][0][0][0])[i] = 3 * random_float(&state);
	for (size_t i = 0; i < sizeof s.mask / sizeof(ggml_fp16_t); i++)
		(&s.mask[0][0][0])[i] = ggml_fp32_to_fp16(-INFINITY);
}

static void see(size_t stream, size_t token, size_t from, size_t to)
{
	for (size_t i = from; i < to; i++)
		s.mask[stream][token][i] = 0;
}

/* ---- the operation ---- */

/* Two tensors of the sample's cells, and two of some tokens. */
struct graph {
	struct ggml_context *ctx;
	struct ggml_tensor *k, *v, *q, *mask, *out;
};

static void graph_make(struct graph *g, int64_t n_tokens)
{
	struct ggml_init_params p = { .mem_size = 1 << 20, .no_alloc = true };
	struct ggml_context *c = g->ctx = ggml_init(p);
	int64_t streams = (int64_t)s.streams;
	g->k = ggml_new_tensor_4d(c, GGML_TYPE_F16, N, KEY_HEADS, CELLS,
				  streams);
	g->v = ggml_dup_tensor(c, g->k);
	g->q = ggml_new_tensor_4d(c, GGML_TYPE_F32, N, HEADS, n_tokens,
				  streams);
	g->mask = ggml_new_tensor_4d(c, GGML_TYPE_F16, CELLS, n_tokens, 1,
				     streams);
	g->out = ggml_flash_attn_ext(c, ggml_permute(c, g->q, 0, 2, 1, 3),
				     ggml_permute(c, g->k, 0, 2, 1, 3),
				     ggml_permute(c, g->v, 0, 2, 1, 3), g->mask,
				     0.125f, 0, 0);
}

static void set_threads(int n)
{
	ggml_backend_reg_t reg =
		ggml_backend_dev_backend_reg(ggml_backend_get_device(cpu));
	ggml_backend_set_n_threads_t set =
		(ggml_backend_set_n_threads_t)ggml_backend_reg_get_proc_address(
			reg, "ggml_backend_set_n_threads");
	assert_non_null(set);
	set(cpu, n);
}

/* Tokens from `first` on, of all streams, to where they lie among all. */
static void compute(size_t first, size_t n, int threads, float *out)
{
	struct graph g;
	graph_make(&g, (int64_t)n);
	ggml_backend_buffer_t b = ggml_backend_alloc_ctx_tensors(g.ctx, cpu);
	ggml_backend_tensor_set(g.k, s.keys, 0, ggml_nbytes(g.k));
	ggml_backend_tensor_set(g.v, s.values, 0, ggml_nbytes(g.v));
	for (size_t i = 0; i < s.streams; i++) {
		size_t q = n * sizeof s.q[0][0], m = n * sizeof s.mask[0][0];
		ggml_backend_tensor_set(g.q, s.q[i][first], i * q, q);
		ggml_backend_tensor_set(g.mask, s.mask[i][first], i * m, m);
	}
	struct ggml_cgraph *graph = ggml_new_graph(g.ctx);
	ggml_build_forward_expand(graph, g.out);
	set_threads(threads);
	assert_int_equal(ggml_backend_graph_compute(cpu, graph), 0);
	for (size_t i = 0; i < s.streams; i++) {
		size_t bytes = n * EACH * sizeof *out;
		ggml_backend_tensor_get(g.out,
					out + (i * TOKENS + first) * EACH,
					i * bytes, bytes);
	}
	ggml_backend_buffer_free(b);
	ggml_free(g.ctx);
}

/* ---- what is expected ---- */

static void expected(size_t stream, size_t token, size_t head, double *out)
{
	double sum = 0;
	memset(out, 0, N * sizeof *out);
	for (size_t c = 0; c < CELLS; c++) {
		size_t of = head / (HEADS / KEY_HEADS);
		double score = 0;
		if (s.mask[stream][token][c])
			continue;
		for (size_t j = 0; j < N; j++)
			score += (double)s.q[stream][token][head][j] *
				 (double)ggml_fp16_to_fp32(
					 s.keys[stream][c][of][j]);
		double p = exp(score / 8);
		sum += p;
		for (size_t j = 0; j < N; j++)
			out[j] += p * (double)ggml_fp16_to_fp32(
					      s.values[stream][c][of][j]);
	}
	for (size_t j = 0; j < N; j++)
		out[j] /= sum > 0 ? sum : 1;
}

static void check_right(const float *got)
{
	double right[N];
	for (size_t i = 0; i < s.streams * TOKENS * HEADS; i++) {
		size_t token = i / HEADS;
		expected(token / TOKENS, token % TOKENS, i % HEADS, right);
		for (size_t j = 0; j < N; j++)
			assert_true(fabs((double)got[i * N + j] - right[j]) <
				    1e-5);
	}
}

/* Each token alone by one thread, and by batches of many sizes and by many. */
static void check(void)
{
	static const struct {
		size_t n;
		int threads;
	} ways[] = { { 1, 2 },	{ 2, 3 },      { 7, 1 },
		     { 16, 3 }, { 33, 2 },     { TOKENS, 1 },
		     { 5, 2 },	{ TOKENS, 3 }, { 16, 5 } };
	size_t bytes = s.streams * TOKENS * EACH * sizeof(float);
	float *alone = xcalloc(1, bytes), *got = xcalloc(1, bytes);
	for (size_t t = 0; t < TOKENS; t++)
		compute(t, 1, 1, alone);
	check_right(alone);
	for (size_t i = 0; i < ARRAY_LEN(ways); i++) {
		size_t n = ways[i].n;
		memset(got, 0xff, bytes);
		for (size_t t = 0; t < TOKENS; t += n)
			compute(t, MIN(n, TOKENS - t), ways[i].threads, got);
		assert_memory_equal(got, alone, bytes);
	}
	free(alone);
	free(got);
}

static void test_one_prompt(void **state)
{
	(void)state;
	if (!attend_suits(N))
		return;
	make(1);
	for (size_t t = 0; t < TOKENS; t++)
		see(0, t, 0, CELLS - TOKENS + t + 1);
	check();
}

/* Of several sequences in one cache, and one token that sees nothing. */
static void test_prompts_and_single_tokens(void **state)
{
	(void)state;
	if (!attend_suits(N))
		return;
	make(1);
	for (size_t t = 0; t < TOKENS; t++)
		if (t < 20)
			see(0, t, 300, 700 + t);
		else if (t < 60)
			see(0, t, 0, 10 + t);
		else if (t != 66)
			see(0, t, (t - 60) * 60, (t - 60) * 60 + 4 * t);
	check();
}

static void test_streams(void **state)
{
	(void)state;
	if (!attend_suits(N))
		return;
	make(STREAMS);
	for (size_t t = 0; t < TOKENS; t++) {
		see(0, t, 0, 1 + t);
		see(1, t, 0, 500 + t);
	}
	check();
}

/* ---- memory ---- */

#define LONG 100000 /* cells */
#define MANY 64	    /* heads, all of the same keys */

/* Of a long text, by many threads: no more than what PARTS_BYTES and each
 * thread's own add up to. */
static void test_memory(void **state)
{
	struct ggml_init_params p = { .mem_size = 1 << 20, .no_alloc = true };
	(void)state;
	for (int threads = 2; threads <= 64; threads *= 2)
		for (int64_t n = 1; n < 5 * threads; n += threads - 1) {
			struct ggml_context *c = ggml_init(p);
			struct ggml_tensor *q = ggml_new_tensor_3d(
				c, GGML_TYPE_F32, 128, n, MANY);
			struct ggml_tensor *k = ggml_new_tensor_3d(
				c, GGML_TYPE_F16, 128, LONG, 1);
			struct ggml_tensor *mask =
				ggml_new_tensor_2d(c, GGML_TYPE_F16, LONG, n);
			struct ggml_tensor *out =
				ggml_flash_attn_ext(c, q, k, k, mask, 1, 0, 0);
			size_t bytes = attend_op_bytes(out, threads);
			assert_true(bytes >> 20 < 128 + 2 * (size_t)threads);
			ggml_free(c);
		}
}

/* More than that would be: then tokens are not taken by parts. */
static void test_long_text_by_threads(void **state)
{
	const size_t n_mask = 7 * (size_t)LONG, n_out = 7 * MANY * 256;
	struct ggml_init_params p = { .mem_size = 1 << 20, .no_alloc = true };
	float *got[2];
	uint32_t seed = 3;
	(void)state;
	if (!attend_suits(256))
		return;
	struct ggml_context *c = ggml_init(p);
	struct ggml_tensor *q =
		ggml_new_tensor_3d(c, GGML_TYPE_F32, 256, 7, MANY);
	struct ggml_tensor *k =
		ggml_new_tensor_3d(c, GGML_TYPE_F16, 256, LONG, 1);
	struct ggml_tensor *mask =
		ggml_new_tensor_2d(c, GGML_TYPE_F16, LONG, 7);
	struct ggml_tensor *out =
		ggml_flash_attn_ext(c, q, k, k, mask, 1, 0, 0);
	ggml_backend_buffer_t b = ggml_backend_alloc_ctx_tensors(c, cpu);
	for (int64_t i = 0; i < ggml_nelements(q); i++)
		((float *)q->data)[i] = random_float(&seed);
	memset(k->data, 0, ggml_nbytes(k));
	for (size_t i = 0; i < n_mask; i++) {
		bool is_seen = i % 500 == 0 || i % LONG > LONG - 99;
		((ggml_fp16_t *)mask->data)[i] =
			ggml_fp32_to_fp16(is_seen ? 0 : -INFINITY);
		for (size_t j = 0; is_seen && i < LONG && j < 256; j++)
			((ggml_fp16_t *)k->data)[i * 256 + j] =
				ggml_fp32_to_fp16(random_float(&seed));
	}
	struct ggml_cgraph *graph = ggml_new_graph(c);
	ggml_build_forward_expand(graph, out);
	for (int i = 0; i < 2; i++) {
		got[i] = xcalloc(n_out, sizeof(float));
		set_threads(1 + i);
		assert_int_equal(ggml_backend_graph_compute(cpu, graph), 0);
		memcpy(got[i], out->data, n_out * sizeof(float));
	}
	assert_memory_equal(got[0], got[1], n_out * sizeof(float));
	free(got[0]);
	free(got[1]);
	ggml_backend_buffer_free(b);
	ggml_free(c);
}

static int load(void **state)
{
	struct err e;
	(void)state;
	assert_int_equal(weights_init(&e), 0);
	cpu = ggml_backend_init_by_type(GGML_BACKEND_DEVICE_TYPE_CPU, NULL);
	return cpu ? 0 : -1;
}

static int unload(void **state)
{
	(void)state;
	ggml_backend_free(cpu);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_one_prompt),
		cmocka_unit_test(test_prompts_and_single_tokens),
		cmocka_unit_test(test_streams),
		cmocka_unit_test(test_memory),
		cmocka_unit_test(test_long_text_by_threads),
	};
	return cmocka_run_group_tests(tests, load, unload);
}
