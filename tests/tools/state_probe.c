/* state_probe MODEL - do states come back from host memory as they went?
 *
 * Asks a model (of text, its last 90 tokens usable) for this and that, so that
 * states are kept and restored as in modeld-llama, and compares what llama.cpp
 * says of a sequence before and after, byte by byte. One line of JSON:
 * {"whole_bytes": 1, "whole_same": true, "parts": 2, "parts_same": true,
 * "cells": 3, "ns_per_mib": 4}; "cells" is how many tokens came back. */
#include "base/log.h"
#include "io/timer.h"
#include "llama/batch_priv.h"
#include "llama/prefix.h"
#include "llama/weights.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <uv.h>

#define CONTEXT 2048
#define PROMPT 300
#define LETTERS 90
#define PARTS 16

struct state {
	uint8_t *p;
	size_t n;
};

static struct weights *weights;
static struct batch *b;
static uv_loop_t loop;

static void on_token(void *ctx, const struct batch_token *t)
{
	(void)ctx;
	(void)t;
}

static void on_end(void *ctx, enum batch_end why, const struct err *e)
{
	(void)e;
	assert(why != BATCH_FAILED);
	*(bool *)ctx = true;
}

static void fail(const struct err *e)
{
	fprintf(stderr, "state_probe: %s\n", e->msg);
	exit(1);
}

static void on_progress(void *ctx, float fraction)
{
	(void)ctx;
	(void)fraction;
}

static void text(struct tokens *out, unsigned seed, size_t n)
{
	int32_t words = llama_vocab_n_tokens(weights_vocab(weights));
	for (size_t i = 0; i < n; i++) {
		seed = seed * 1664525u + 1013904223u;
		tokens_push(out, words - 1 - (int32_t)((seed >> 8) % LETTERS));
	}
}

static void ask(const struct tokens *prompt, int64_t max_tokens)
{
	static const struct batch_fns fns = { .on_token = on_token,
					      .on_end = on_end };
	struct sample_spec spec = { .top_p = 1, .repeat = 1, .budget = -1 };
	struct batch_ask a = { .max_tokens = max_tokens, .n_top = -1 };
	bool is_over = false;
	struct err e;
	for (size_t i = 0; i < prompt->n; i++)
		tokens_push(&a.tokens, prompt->p[i]);
	if (sample_new(weights, &spec, &a.sample, &e))
		fail(&e);
	batch_start(b, &a, &fns, &is_over);
	while (!is_over) {
		batch_step(b);
		uv_run(&loop, UV_RUN_NOWAIT);
	}
}

static struct state state_of(llama_state_seq_flags flags)
{
	struct state s = { .n = llama_state_seq_get_size_ext(b->ctx, 0,
							     flags) };
	s.p = xcalloc(s.n, 1);
	size_t n = llama_state_seq_get_data_ext(b->ctx, s.p, s.n, 0, flags);
	assert(n == s.n && n);
	return s;
}

static bool is_same(const uint8_t *p, size_t n, struct state s)
{
	bool same = n == s.n && memcmp(p, s.p, n) == 0;
	free(s.p);
	return same;
}

/* What the slot holds when a prompt of these tokens and another is placed. */
static size_t place(const struct tokens *first)
{
	struct batch_task t = { .batch = b };
	for (size_t i = 0; i < first->n; i++)
		tokens_push(&t.ask.tokens, first->p[i]);
	tokens_push(&t.ask.tokens, 0);
	t.n_prompt = t.ask.tokens.n;
	size_t n = prefix_place(b, &t)->cells.n;
	tokens_fini(&t.ask.tokens);
	return n;
}

static void check_whole(void)
{
	auto_tokens struct tokens one = { 0 }, other = { 0 }, held = { 0 };
	text(&one, 1, PROMPT);
	text(&other, 2, PROMPT);
	ask(&one, 8);
	for (size_t i = 0; i < b->slots[0].cells.n; i++)
		tokens_push(&held, b->slots[0].cells.p[i]);
	struct state before = state_of(LLAMA_STATE_SEQ_FLAGS_NONE);
	ask(&other, 8);
	size_t n = place(&held);
	bool same = is_same(before.p, before.n,
			    state_of(LLAMA_STATE_SEQ_FLAGS_NONE));
	printf("{\"whole_bytes\":%zu,\"whole_same\":%s,\"cells\":%zu,"
	       "\"held\":%zu",
	       before.n, same ? "true" : "false", n, held.n);
	free(before.p);
}

/* Each part that is there now, laid over whatever holds its tokens. */
static void check_parts(void)
{
	struct keep_state *parts[PARTS];
	bool same = true;
	size_t n = 0, n_parts = 0;
	/* Those that are used change places. */
	list_each (it, &b->keep.states) {
		struct keep_state *k =
			container_of(it, struct keep_state, link);
		if (k->is_whole == b->parts_are_whole && n_parts < PARTS)
			parts[n_parts++] = k;
	}
	for (size_t i = 0; i < n_parts; i++) {
		struct keep_state *k = parts[i];
		k->is_held = true;
		if (place(&k->tokens) == k->tokens.n) {
			n++;
			same &= is_same(
				k->p, k->n,
				state_of(
					b->parts_are_whole
						? LLAMA_STATE_SEQ_FLAGS_NONE
						: LLAMA_STATE_SEQ_FLAGS_PARTIAL_ONLY));
		}
		k->is_held = false;
	}
	printf(",\"parts\":%zu,\"parts_same\":%s,\"ns_per_mib\":%.0f}\n", n,
	       same ? "true" : "false", b->copy_ns * (1 << 20));
}

int main(int argc, char **argv)
{
	struct err e;
	const char *path = argv[1];
	if (argc != 2)
		return 2;
	log_init("state_probe", LOG_WARN);
	struct weights_options w = { .paths = &path,
				     .n_paths = 1,
				     .on_progress = on_progress };
	uv_loop_init(&loop);
	if (weights_init(&e) || weights_load(&w, &weights, &e))
		fail(&e);
	struct batch_options o = { .weights = weights,
				   .context = CONTEXT,
				   .slots = 1,
				   .threads = 1,
				   .batch_tokens = 64,
				   .pooling = -1,
				   .cache_bytes = 256u << 20 };
	if (batch_new_still(&loop, &o, &b, &e))
		fail(&e);
	check_whole();
	check_parts();
	batch_free(b);
	uv_run(&loop, UV_RUN_DEFAULT);
	uv_loop_close(&loop);
	weights_free(weights);
	return 0;
}
