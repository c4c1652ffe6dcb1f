/* sample.h - picks the next token from a model's logits.
 *
 * Greedy choice and top-k look at each logit once and never sort the
 * vocabulary; what is left goes through llama.cpp's samplers in its own order
 * (penalties, top-k, top-p, min-p, temperature), so that a seed means here what
 * it means there. With a grammar llama.cpp's common sampler does all of it. */
#pragma once
#include "base/err.h"
#include "llama/tokens.h"

struct common_shim_prompt;
struct llama_context;
struct sample;
struct weights;

struct sample_bias {
	int32_t token;
	float bias;
};

struct sample_spec {
	float temperature; /* 0: always the likeliest */
	float top_p, min_p;
	int32_t top_k; /* 0 or less: all */
	float repeat, frequency, presence;
	int32_t last_n; /* tokens that the penalties look back on */
	uint32_t seed;
	int32_t budget; /* tokens of reasoning; below 0: no limit */
	const struct sample_bias *biases; /* borrowed for sample_new() */
	size_t n_biases;
	/* Its grammar, if it has one, binds the answer, and it tells where its
	 * reasoning ends; NULL for none. */
	const struct common_shim_prompt *prompt;
};

must_use int sample_new(const struct weights *w, const struct sample_spec *spec,
			struct sample **out, struct err *e);
void sample_free(struct sample *s);
BASE_AUTO(sample);
/* A token of the prompt: the penalties count it. */
void sample_saw(struct sample *s, int32_t token);
/* The next token, from row `row` of the last batch; counted as seen. */
int32_t sample_next(struct sample *s, struct llama_context *ctx, int32_t row);

struct sample_prob {
	int32_t token;
	float logprob;
};

/* Natural logarithms of probabilities at temperature 1: of `token`, and of the
 * n_top likeliest tokens (most likely first) into top. Pure. */
float sample_logprobs(const float *logits, size_t n_vocab, int32_t token,
		      struct sample_prob *top, size_t n_top);
