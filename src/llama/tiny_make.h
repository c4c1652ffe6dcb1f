/* tiny_make.h - a whole model of two layers that says nothing sensible, and a
 * batch over it whose steps a test makes and counts. Weights are F32 and from a
 * fixed seed; tokens are the numbers from TINY_FIRST to TINY_WORDS.
 *
 * Its numbers are the same bits in whatever batch and whichever cells a token
 * is computed. Rows that are no multiple of 8 floats keep ggml's CPU code from
 * its ways for many tokens at once, which round otherwise; and each head looks
 * at one token alone, so that its sum has one term and no order. */
#pragma once
#include "llama/batch_priv.h"
#include "llama/weights.h"

#include <gguf.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <uv.h>
#include <cmocka.h>

#define TINY_FIRST 300
#define TINY_WORDS 512
#define TINY_HEADS 3
#define TINY_HEAD 18
#define TINY_WIDTH (TINY_HEADS * TINY_HEAD)
#define TINY_FEED 100
#define TINY_LAYERS 2
#define TINY_SHARP 2000.0f /* of queries and keys */
#define TINY_MOST 2048	   /* tokens of an answer that are noted */

/* ---- the file ---- */

static inline uint32_t tiny_random(uint32_t *seed)
{
	*seed = *seed * 1664525 + 1013904223;
	return *seed >> 8;
}

/* Without rows a norm. */
static inline void tiny_tensor(struct gguf_context *g, struct ggml_context *c,
			       const char *name, int64_t rows, int64_t columns,
			       float scale, uint32_t *seed)
{
	struct ggml_tensor *t =
		rows ? ggml_new_tensor_2d(c, GGML_TYPE_F32, columns, rows)
		     : ggml_new_tensor_1d(c, GGML_TYPE_F32, columns);
	float *p = t->data;
	for (int64_t i = 0; i < columns * MAX(rows, 1); i++) {
		float x = (float)tiny_random(seed) / (float)(1 << 24) - 0.5f;
		p[i] = rows ? x * scale : 1 + x / 4;
	}
	ggml_set_name(t, name);
	gguf_add_tensor(g, t);
}

static inline void tiny_words(struct gguf_context *g)
{
	static char names[TINY_WORDS][16];
	const char *words[TINY_WORDS];
	float scores[TINY_WORDS];
	int32_t types[TINY_WORDS];
	for (int i = 0; i < TINY_WORDS; i++) {
		bool is_byte = i >= 3 && i < 3 + 256;
		snprintf(names[i], sizeof names[i],
			 is_byte ? "<0x%02X>" : "w%d", is_byte ? i - 3 : i);
		words[i] = names[i];
		scores[i] = (float)-i;
		types[i] = i == 0 ? 2 : i < 3 ? 3 : is_byte ? 6 : 1;
	}
	words[0] = "<unk>";
	words[1] = "<s>";
	words[2] = "</s>";
	gguf_set_val_str(g, "tokenizer.ggml.model", "llama");
	gguf_set_arr_str(g, "tokenizer.ggml.tokens", words, TINY_WORDS);
	gguf_set_arr_data(g, "tokenizer.ggml.scores", GGUF_TYPE_FLOAT32, scores,
			  TINY_WORDS);
	gguf_set_arr_data(g, "tokenizer.ggml.token_type", GGUF_TYPE_INT32,
			  types, TINY_WORDS);
	gguf_set_val_u32(g, "tokenizer.ggml.bos_token_id", 1);
	gguf_set_val_u32(g, "tokenizer.ggml.eos_token_id", 2);
}

static inline void tiny_write(const char *path)
{
	static const struct {
		const char *name;
		int64_t rows, columns;
		float scale;
	} shapes[] = {
		{ "attn_norm", 0, TINY_WIDTH, 0.5f },
		{ "attn_q", TINY_WIDTH, TINY_WIDTH, TINY_SHARP },
		{ "attn_k", TINY_WIDTH, TINY_WIDTH, TINY_SHARP },
		{ "attn_v", TINY_WIDTH, TINY_WIDTH, 0.5f },
		{ "attn_output", TINY_WIDTH, TINY_WIDTH, 0.5f },
		{ "ffn_norm", 0, TINY_WIDTH, 0.5f },
		{ "ffn_gate", TINY_FEED, TINY_WIDTH, 0.5f },
		{ "ffn_down", TINY_WIDTH, TINY_FEED, 0.5f },
		{ "ffn_up", TINY_FEED, TINY_WIDTH, 0.5f },
	};
	struct gguf_context *g = gguf_init_empty();
	struct ggml_context *c =
		ggml_init((struct ggml_init_params){ .mem_size = 8 << 20 });
	uint32_t seed = 7;
	char name[64];
	gguf_set_val_str(g, "general.architecture", "llama");
	gguf_set_val_u32(g, "llama.context_length", 4096);
	gguf_set_val_u32(g, "llama.embedding_length", TINY_WIDTH);
	gguf_set_val_u32(g, "llama.block_count", TINY_LAYERS);
	gguf_set_val_u32(g, "llama.feed_forward_length", TINY_FEED);
	gguf_set_val_u32(g, "llama.attention.head_count", TINY_HEADS);
	gguf_set_val_u32(g, "llama.rope.dimension_count", TINY_HEAD);
	gguf_set_val_f32(g, "llama.attention.layer_norm_rms_epsilon", 1e-5f);
	tiny_words(g);
	tiny_tensor(g, c, "token_embd.weight", TINY_WORDS, TINY_WIDTH, 0.5f,
		    &seed);
	tiny_tensor(g, c, "output_norm.weight", 0, TINY_WIDTH, 0.5f, &seed);
	tiny_tensor(g, c, "output.weight", TINY_WORDS, TINY_WIDTH, 0.5f, &seed);
	for (int i = 0; i < TINY_LAYERS; i++)
		for (size_t k = 0; k < ARRAY_LEN(shapes); k++) {
			snprintf(name, sizeof name, "blk.%d.%s.weight", i,
				 shapes[k].name);
			tiny_tensor(g, c, name, shapes[k].rows,
				    shapes[k].columns, shapes[k].scale, &seed);
		}
	assert_true(gguf_write_to_file(g, path, false));
	ggml_free(c);
	gguf_free(g);
}

static struct weights *tiny_weights;

static inline void tiny_on_progress(void *ctx, float fraction)
{
	(void)ctx;
	(void)fraction;
}

/* Group set-up and its end. */
static inline int tiny_load(void **state)
{
	char path[] = "/tmp/tiny-XXXXXX";
	const char *p = path;
	struct err e;
	int fd = mkstemp(path);
	(void)state;
	if (fd < 0)
		return -1;
	close(fd);
	tiny_write(path);
	struct weights_options o = { .paths = &p,
				     .n_paths = 1,
				     .on_progress = tiny_on_progress };
	int rc = weights_init(&e) || weights_load(&o, &tiny_weights, &e);
	unlink(path);
	return rc ? -1 : 0;
}

static inline int tiny_unload(void **state)
{
	(void)state;
	weights_free(tiny_weights);
	return 0;
}

/* ---- the batch ---- */

struct tiny {
	uv_loop_t loop;
	struct batch *b;
	size_t n_steps;
};

/* What came of an ask. */
struct tiny_told {
	struct batch_task *task; /* until is_over */
	int32_t ids[TINY_MOST];
	float leads[TINY_MOST]; /* of the likeliest before the second */
	size_t n;
	size_t n_cached;
	bool is_over;
	enum batch_end why;
};

static inline void tiny_open_keeping(struct tiny *t, int context, int slots,
				     int batch, size_t cache_bytes)
{
	/* More threads divide some sums otherwise. */
	struct batch_options o = { .weights = tiny_weights,
				   .context = context,
				   .slots = slots,
				   .threads = 1,
				   .batch_tokens = batch,
				   .cache_bytes = cache_bytes,
				   .pooling = -1 };
	struct err e;
	t->n_steps = 0;
	assert_int_equal(uv_loop_init(&t->loop), 0);
	assert_int_equal(batch_new_still(&t->loop, &o, &t->b, &e), 0);
}

static inline void tiny_open(struct tiny *t, int context, int slots, int batch)
{
	tiny_open_keeping(t, context, slots, batch, 0);
}

static inline void tiny_close(struct tiny *t)
{
	batch_free(t->b);
	uv_run(&t->loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&t->loop), 0);
}

static inline void tiny_on_token(void *ctx, const struct batch_token *token)
{
	struct tiny_told *told = ctx;
	assert_true(told->n < TINY_MOST);
	assert_int_equal(token->n_top, 2);
	told->leads[told->n] = token->top[0].logprob - token->top[1].logprob;
	told->ids[told->n++] = token->id;
	told->n_cached = batch_times(told->task).n_cached;
}

static inline void tiny_on_end(void *ctx, enum batch_end why,
			       const struct err *e)
{
	struct tiny_told *told = ctx;
	(void)e;
	told->n_cached = batch_times(told->task).n_cached;
	told->task = NULL;
	told->is_over = true;
	told->why = why;
}

/* Tokens of a text of its own for each `text`. */
static inline void tiny_text(struct tokens *out, uint32_t text, size_t n)
{
	uint32_t seed = text * 2654435761u + 1;
	for (size_t i = 0; i < n; i++)
		tokens_push(out, (int32_t)(TINY_FIRST +
					   tiny_random(&seed) %
						   (TINY_WORDS - TINY_FIRST)));
}

/* Asks; the tokens stay the test's. */
static inline void tiny_ask(struct tiny *t, const char *owner,
			    const struct tokens *prompt, int64_t max_tokens,
			    struct tiny_told *told)
{
	static const struct batch_fns fns = { .on_token = tiny_on_token,
					      .on_end = tiny_on_end };
	/* Its end, banned: an answer is as long as it may be. */
	struct sample_bias bias = { 2, -INFINITY };
	struct sample_spec spec = { .top_p = 1,
				    .repeat = 1,
				    .budget = -1,
				    .biases = &bias,
				    .n_biases = 1 };
	struct batch_ask ask = { .max_tokens = max_tokens, .n_top = 2 };
	struct err e;
	snprintf(ask.owner.name, sizeof ask.owner.name, "%s", owner);
	for (size_t i = 0; i < prompt->n; i++)
		tokens_push(&ask.tokens, prompt->p[i]);
	assert_int_equal(sample_new(t->b->weights, &spec, &ask.sample, &e), 0);
	*told = (struct tiny_told){ 0 };
	told->task = batch_start(t->b, &ask, &fns, told);
}

/* One batch; false: there was nothing to do. */
static inline bool tiny_step(struct tiny *t)
{
	bool did = batch_step(t->b);
	t->n_steps += did;
	uv_run(&t->loop, UV_RUN_NOWAIT);
	return did;
}

/* Steps until nothing is left to do. */
static inline void tiny_settle(struct tiny *t)
{
	for (int i = 0; tiny_step(t); i++)
		assert_true(i < 100000);
}
