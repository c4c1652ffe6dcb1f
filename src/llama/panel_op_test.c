/* Products with packed weights against ggml's with the same ones, each as a
 * graph of one operation. */
#include "llama/panel.h"
#include "llama/weights.h"

#include "base/base.h"

#include <ggml-backend.h>
#include <ggml-cpu.h>
#include <ggml.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#define COLUMNS 256
#define ROWS 80
#define EXPERTS 5

static ggml_backend_buffer_type_t panels(void)
{
	ggml_backend_dev_t cpu =
		ggml_backend_dev_by_type(GGML_BACKEND_DEVICE_TYPE_CPU);
	ggml_backend_dev_get_extra_bufts_t get =
		(ggml_backend_dev_get_extra_bufts_t)
			ggml_backend_reg_get_proc_address(
				ggml_backend_dev_backend_reg(cpu),
				"ggml_backend_dev_get_extra_bufts");
	for (ggml_backend_buffer_type_t *b = get(cpu); *b; b++)
		if (strcmp(ggml_backend_buft_name(*b), "panels") == 0)
			return *b;
	return NULL;
}

static float noise(uint32_t *seed)
{
	*seed = *seed * 1664525 + 1013904223;
	return (float)(*seed >> 8) / (1 << 23) - 1;
}

struct work {
	enum ggml_type type;
	int n_tokens;
	int n_columns; /* 0: COLUMNS */
	int n_used;    /* experts of a token; 0: an ordinary product */
	int n_given;   /* activations of a token: one for all or one each */
	int n_threads;
};

/* The memory of a graph: its weights in one buffer, all else in another. */
struct graph {
	struct ggml_context *weights_ctx, *ctx;
	struct ggml_tensor *weights, *x, *ids, *out;
	ggml_backend_buffer_t weights_memory, memory;
};

static void fill(struct graph *g, const struct work *w)
{
	uint32_t seed = 7;
	size_t n = (size_t)ggml_nelements(g->weights), n_x = 0;
	int64_t columns = g->weights->ne[0];
	float *values = xcalloc(n, sizeof *values);
	auto_free void *packed = xcalloc(ggml_nbytes(g->weights), 1);
	for (size_t i = 0; i < n; i++)
		values[i] = noise(&seed);
	ggml_quantize_chunk(w->type, values, packed, 0, (int64_t)n / columns,
			    columns, NULL);
	ggml_backend_tensor_set(g->weights, packed, 0, ggml_nbytes(g->weights));
	free(values);
	n_x = (size_t)ggml_nelements(g->x);
	for (size_t i = 0; i < n_x; i++)
		((float *)g->x->data)[i] = noise(&seed);
	/* Different ones for a token; one is nobody's. */
	for (int t = 0; g->ids && t < w->n_tokens; t++)
		for (int u = 0; u < w->n_used; u++)
			((int32_t *)g->ids->data)[t * w->n_used + u] =
				(t + u) % (EXPERTS - 1);
}

static void make(struct graph *g, const struct work *w,
		 ggml_backend_buffer_type_t where)
{
	struct ggml_init_params p = { .mem_size = 1 << 16, .no_alloc = true };
	int columns = w->n_columns ? w->n_columns : COLUMNS;
	*g = (struct graph){ .weights_ctx = ggml_init(p), .ctx = ggml_init(p) };
	g->weights = ggml_new_tensor_3d(g->weights_ctx, w->type, columns, ROWS,
					w->n_used ? EXPERTS : 1);
	g->weights_memory =
		ggml_backend_alloc_ctx_tensors_from_buft(g->weights_ctx, where);
	if (w->n_used) {
		g->x = ggml_new_tensor_3d(g->ctx, GGML_TYPE_F32, columns,
					  w->n_given, w->n_tokens);
		g->ids = ggml_new_tensor_2d(g->ctx, GGML_TYPE_I32, w->n_used,
					    w->n_tokens);
		g->out = ggml_mul_mat_id(g->ctx, g->weights, g->x, g->ids);
	} else {
		g->x = ggml_new_tensor_2d(g->ctx, GGML_TYPE_F32, columns,
					  w->n_tokens);
		g->out = ggml_mul_mat(g->ctx, g->weights, g->x);
	}
	g->memory = ggml_backend_alloc_ctx_tensors_from_buft(
		g->ctx, ggml_backend_cpu_buffer_type());
	fill(g, w);
}

static void unmake(struct graph *g)
{
	ggml_backend_buffer_free(g->weights_memory);
	ggml_backend_buffer_free(g->memory);
	ggml_free(g->weights_ctx);
	ggml_free(g->ctx);
}

static void compute(struct graph *g, int n_threads)
{
	ggml_backend_t cpu =
		ggml_backend_init_by_type(GGML_BACKEND_DEVICE_TYPE_CPU, NULL);
	ggml_backend_set_n_threads_t set =
		(ggml_backend_set_n_threads_t)ggml_backend_reg_get_proc_address(
			ggml_backend_dev_backend_reg(
				ggml_backend_get_device(cpu)),
			"ggml_backend_set_n_threads");
	struct ggml_context *ctx = ggml_init((struct ggml_init_params){
		.mem_size = 1 << 18, .no_alloc = true });
	struct ggml_cgraph *graph = ggml_new_graph(ctx);
	set(cpu, n_threads);
	ggml_build_forward_expand(graph, g->out);
	assert_true(ggml_backend_supports_op(cpu, g->out));
	assert_int_equal(ggml_backend_graph_compute(cpu, graph),
			 GGML_STATUS_SUCCESS);
	ggml_backend_free(cpu);
	ggml_free(ctx);
}

/* Activations are rounded to 8 bits by both, each in its own way. */
static void compare(const struct graph *ours, const struct graph *theirs)
{
	const float *a = ours->out->data, *b = theirs->out->data;
	for (int64_t i = 0; i < ggml_nelements(ours->out); i++)
		assert_true(fabsf(a[i] - b[i]) < 0.4F);
}

static void check(const struct work *w)
{
	struct graph ours, theirs;
	make(&ours, w, panels());
	make(&theirs, w, ggml_backend_cpu_buffer_type());
	compute(&ours, w->n_threads);
	compute(&theirs, w->n_threads);
	compare(&ours, &theirs);
	unmake(&ours);
	unmake(&theirs);
}

static const struct {
	enum ggml_type theirs;
	enum panel_type ours;
} types[] = {
	{ GGML_TYPE_Q4_0, PANEL_Q4_0 }, { GGML_TYPE_Q5_1, PANEL_Q5_1 },
	{ GGML_TYPE_Q4_K, PANEL_Q4_K }, { GGML_TYPE_Q6_K, PANEL_Q6_K },
	{ GGML_TYPE_F16, PANEL_F16 },
};

static bool is_packed(size_t i)
{
	return panels() && panel_suits(panel_way(), types[i].ours);
}

static void products_are_ggmls(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(types); i++)
		for (int n = 1; is_packed(i) && n < 600; n = n * 4 + 1)
			check(&(struct work){ .type = types[i].theirs,
					      .n_tokens = n,
					      .n_threads = 1 + n % 3 });
}

static void products_of_experts_are_ggmls(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(types); i++)
		for (int n = 1; is_packed(i) && n < 200; n = n * 3 + 1)
			for (int used = 1; used < EXPERTS - 1; used++) {
				struct work w = { .type = types[i].theirs,
						  .n_tokens = n,
						  .n_used = used,
						  .n_given = 1,
						  .n_threads = 1 + n % 3 };
				check(&w);
				w.n_given = used;
				check(&w);
			}
}

/* Floats come in no blocks: a row has as many as the model likes. */
static void rows_of_floats_have_any_length(void **state)
{
	static const int columns[] = { 1, 31, 33, 312 };
	(void)state;
	if (!panels() || !panel_suits(panel_way(), PANEL_F16))
		return;
	for (size_t i = 0; i < ARRAY_LEN(columns); i++)
		for (int used = 0; used < 3; used += 2)
			check(&(struct work){ .type = GGML_TYPE_F16,
					      .n_columns = columns[i],
					      .n_tokens = 30,
					      .n_used = used,
					      .n_given = 1,
					      .n_threads = 3 });
}

/* What comes of a token with its experts is the same in any company. */
static void tokens_of_experts_are_the_same_alone(void **state)
{
	struct graph many, one;
	struct work w = { GGML_TYPE_Q4_K, .n_tokens = 60, .n_used = 2,
			  .n_given = 1, .n_threads = 2 };
	(void)state;
	if (!panels())
		return;
	make(&many, &w, panels());
	compute(&many, 2);
	w.n_tokens = 1;
	make(&one, &w, panels());
	for (int t = 0; t < 60; t++) {
		memcpy(one.x->data, (float *)many.x->data + t * COLUMNS,
		       COLUMNS * sizeof(float));
		memcpy(one.ids->data, (int32_t *)many.ids->data + 2 * t,
		       2 * sizeof(int32_t));
		compute(&one, 1);
		assert_memory_equal(one.out->data,
				    (float *)many.out->data + t * 2 * ROWS,
				    2 * ROWS * sizeof(float));
	}
	unmake(&many);
	unmake(&one);
}

static int begin(void **state)
{
	struct err e;
	(void)state;
	return weights_init(&e);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(products_are_ggmls),
		cmocka_unit_test(products_of_experts_are_ggmls),
		cmocka_unit_test(rows_of_floats_have_any_length),
		cmocka_unit_test(tokens_of_experts_are_the_same_alone),
	};
	return cmocka_run_group_tests(tests, begin, NULL);
}
