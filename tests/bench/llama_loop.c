/* llama_loop.c - the least that libllama needs to write N tokens: one
 * sequence, greedy, nothing else. What modeld-llama is measured against.
 *
 *   llama_loop MODEL [TOKENS [THREADS [PROMPT]]]
 *
 * Prints one line: tokens, threads, prompt tokens/s, tokens/s. */
#include "base/log.h"
#include "llama/cores.h"
#include "llama/sizing.h"
#include "llama/tokens.h"
#include "llama/weights.h"

#include "io/timer.h"

#include <llama.h>
#include <stdio.h>

static void on_progress(void *ctx, float fraction)
{
	(void)ctx;
	(void)fraction;
}

static int32_t likeliest(const float *logits, int32_t n)
{
	int32_t best = 0;
	for (int32_t i = 1; i < n; i++)
		if (logits[i] > logits[best])
			best = i;
	return best;
}

static int measure(struct weights *w, int n_tokens, int threads,
		   const char *prompt, struct err *e)
{
	auto_tokens struct tokens t = { 0 };
	const struct llama_vocab *v = weights_vocab(w);
	struct llama_context_params p = llama_context_default_params();
	p.n_ctx = 4096;
	p.n_batch = p.n_ubatch = 512;
	p.n_threads = p.n_threads_batch = threads;
	p.no_perf = true;
	struct llama_context *c = llama_init_from_model(weights_model(w), p);
	if (!c)
		return weights_complaint(ERR_MEMORY, e);
	struct ggml_threadpool *pool = sizing_attach_threads(c, threads);
	if (tokens_from_text(v, str_of(prompt), TOKENS_ADD_SPECIAL, &t, e))
		return -1;
	uint64_t start = timer_now_ns(), first = 0;
	struct llama_batch b = llama_batch_get_one(t.p, (int32_t)t.n);
	for (int i = 0; i < n_tokens; i++) {
		if (llama_decode(c, b))
			return weights_complaint(ERR_ENGINE, e);
		int32_t next = likeliest(llama_get_logits_ith(c, -1),
					 llama_vocab_n_tokens(v));
		if (!first)
			first = timer_now_ns();
		tokens_push(&t, next);
		b = llama_batch_get_one(&t.p[t.n - 1], 1);
	}
	double prompt_s = (double)(first - start) / 1e9;
	double answer_s = (double)(timer_now_ns() - first) / 1e9;
	printf("tokens=%d threads=%d prompt_per_s=%.1f tokens_per_s=%.1f\n",
	       n_tokens, threads, (double)(t.n - (size_t)n_tokens) / prompt_s,
	       (n_tokens - 1) / answer_s);
	llama_free(c);
	sizing_free_threads(pool);
	return 0;
}

int main(int argc, char **argv)
{
	struct err e = { 0 };
	auto_(weights) w = NULL;
	if (argc < 2) {
		fputs("usage: llama_loop MODEL [TOKENS [THREADS [PROMPT]]]\n",
		      stderr);
		return 2;
	}
	log_init("llama_loop", LOG_ERROR);
	const char *path = argv[1];
	struct weights_options o = { .paths = &path,
				     .n_paths = 1,
				     .on_progress = on_progress };
	int n = argc > 2 ? (int)strtol(argv[2], NULL, 10) : 128;
	int threads = argc > 3 ? (int)strtol(argv[3], NULL, 10) : 0;
	const char *prompt = argc > 4 ? argv[4] : "The capital of France is";
	if (weights_init(&e) || weights_load(&o, &w, &e) ||
	    measure(w, n, threads > 0 ? threads : cores_usable(), prompt, &e)) {
		fprintf(stderr, "llama_loop: %s\n", e.msg);
		return 1;
	}
	return 0;
}
