/* sizing.h - how large a model's context is to be, and on how many threads it
 * runs: what was asked for, else what suits the model and the machine. */
#pragma once
#include "base/err.h"
#include "llama/batch.h"

struct ggml_threadpool;
struct llama_context;
struct llama_context_params;

struct sizing {
	int context; /* tokens per request */
	int slots;
	int threads;
	bool is_embedding;
};

/* -1: ERR_MEMORY with both numbers if it cannot fit, ERR_UNSUPPORTED for what
 * the model cannot do. */
must_use int sizing_choose(const struct batch_options *o, struct sizing *out,
			   struct llama_context_params *params, struct err *e);
/* Threads that stay, where each computation would start its own. */
struct ggml_threadpool *sizing_attach_threads(struct llama_context *ctx,
					      int threads);
void sizing_free_threads(struct ggml_threadpool *pool);
