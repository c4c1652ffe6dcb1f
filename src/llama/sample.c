#include "llama/sample.h"

#include "llama/common_shim.h"
#include "llama/weights.h"

#include <llama.h>
#include <math.h>

/* Up to so many candidates are picked by a heap; beyond it llama.cpp's own
 * top-k, which sorts by buckets, is the faster one. */
#define HEAP_MOST 256

struct sample {
	struct sample_spec spec; /* without the borrowed pointers */
	size_t n_vocab;
	struct sample_bias *biases; /* owned */
	size_t n_biases;
	struct common_shim_sampler *bound;   /* owned; with a grammar */
	struct llama_sampler *chain;	     /* owned; NULL if greedy */
	struct llama_token_data *candidates; /* owned */
	float *logits;	 /* owned copy; only if something changes them */
	int32_t *counts; /* owned; how often each token was seen */
	int32_t *recent; /* owned ring of the last spec.last_n tokens */
	size_t n_recent;
	size_t at;
	bool has_room; /* for what follows from the size of the vocabulary */
};

static bool has_penalties(const struct sample_spec *spec)
{
	return spec->last_n > 0 && (spec->repeat != 1 || spec->frequency != 0 ||
				    spec->presence != 0);
}

static struct llama_sampler *chain_new(const struct sample_spec *spec)
{
	struct llama_sampler_chain_params p =
		llama_sampler_chain_default_params();
	p.no_perf = true;
	struct llama_sampler *c = llama_sampler_chain_init(p);
	if (spec->top_k > HEAP_MOST)
		llama_sampler_chain_add(c,
					llama_sampler_init_top_k(spec->top_k));
	if (spec->top_p < 1)
		llama_sampler_chain_add(
			c, llama_sampler_init_top_p(spec->top_p, 0));
	if (spec->min_p > 0)
		llama_sampler_chain_add(
			c, llama_sampler_init_min_p(spec->min_p, 0));
	llama_sampler_chain_add(c, llama_sampler_init_temp(spec->temperature));
	llama_sampler_chain_add(c, llama_sampler_init_dist(spec->seed));
	return c;
}

static size_t n_candidates(const struct sample *s)
{
	bool by_heap = s->spec.top_k > 0 && s->spec.top_k <= HEAP_MOST;
	return by_heap ? MIN((size_t)s->spec.top_k, s->n_vocab) : s->n_vocab;
}

int sample_new(const struct weights *w, const struct sample_spec *spec,
	       struct sample **out, struct err *e)
{
	auto_(sample) s = xcalloc(1, sizeof *s);
	s->spec = *spec;
	s->spec.biases = NULL;
	s->spec.prompt = NULL;
	s->n_vocab = (size_t)llama_vocab_n_tokens(weights_vocab(w));
	if (spec->prompt &&
	    (common_shim_prompt_has_grammar(spec->prompt) ||
	     (spec->budget >= 0 && common_shim_prompt_thinks(spec->prompt)))) {
		if (common_shim_sampler_new(weights_model(w), spec, &s->bound,
					    e))
			return -1;
		*out = steal(&s);
		return 0;
	}
	s->n_biases = spec->n_biases;
	s->biases = xcalloc(s->n_biases + 1, sizeof *s->biases);
	if (s->n_biases)
		memcpy(s->biases, spec->biases,
		       s->n_biases * sizeof *s->biases);
	if (spec->temperature > 0)
		s->chain = chain_new(spec);
	*out = steal(&s);
	return 0;
}

/* At its first token: answers wait by the thousand, with megabytes each where
 * vocabularies are large. */
static void make_room(struct sample *s)
{
	bool counts = has_penalties(&s->spec);
	if (s->has_room)
		return;
	s->has_room = true;
	if (counts) {
		s->counts = xcalloc(s->n_vocab, sizeof *s->counts);
		s->recent = xcalloc((size_t)s->spec.last_n, sizeof *s->recent);
	}
	if (counts || s->n_biases)
		s->logits = xcalloc(s->n_vocab, sizeof *s->logits);
	if (s->chain)
		s->candidates = xcalloc(n_candidates(s), sizeof *s->candidates);
}

void sample_free(struct sample *s)
{
	if (!s)
		return;
	common_shim_sampler_free(s->bound);
	if (s->chain)
		llama_sampler_free(s->chain);
	free(s->biases);
	free(s->candidates);
	free(s->logits);
	free(s->counts);
	free(s->recent);
	free(s);
}

void sample_saw(struct sample *s, int32_t token)
{
	if (s->bound) {
		common_shim_sampler_saw(s->bound, token);
		return;
	}
	make_room(s);
	if (!s->counts || token < 0 || (size_t)token >= s->n_vocab)
		return;
	if (s->n_recent == (size_t)s->spec.last_n)
		s->counts[s->recent[s->at]]--;
	else
		s->n_recent++;
	s->recent[s->at] = token;
	s->counts[token]++;
	s->at = (s->at + 1) % (size_t)s->spec.last_n;
}

static void penalise(const struct sample *s, float *logit, int32_t count)
{
	*logit =
		*logit <= 0 ? *logit * s->spec.repeat : *logit / s->spec.repeat;
	*logit -= (float)count * s->spec.frequency + s->spec.presence;
}

/* A token that was seen twice is met twice in the ring; the sign of its count
 * tells that it is dealt with. */
static void apply_penalties(struct sample *s)
{
	for (size_t i = 0; i < s->n_recent; i++) {
		int32_t t = s->recent[i];
		if (s->counts[t] < 0)
			continue;
		penalise(s, &s->logits[t], s->counts[t]);
		s->counts[t] = -s->counts[t];
	}
	for (size_t i = 0; i < s->n_recent; i++)
		s->counts[s->recent[i]] = abs(s->counts[s->recent[i]]);
}

static const float *edited(struct sample *s, const float *logits)
{
	if (!s->logits)
		return logits;
	memcpy(s->logits, logits, s->n_vocab * sizeof *logits);
	for (size_t i = 0; i < s->n_biases; i++)
		s->logits[s->biases[i].token] += s->biases[i].bias;
	if (s->counts)
		apply_penalties(s);
	return s->logits;
}

/* Blocks of maxima first: the compiler makes vector code of the inner loop,
 * and only the winning block is searched. */
static int32_t likeliest(const float *logits, size_t n)
{
	enum { BLOCK = 256 };
	float best = -INFINITY;
	size_t winner = 0;
	for (size_t at = 0; at < n; at += BLOCK) {
		size_t end = MIN(at + BLOCK, n);
		float most = logits[at];
		for (size_t i = at; i < end; i++)
			most = logits[i] > most ? logits[i] : most;
		if (most > best) {
			best = most;
			winner = at;
		}
	}
	size_t i = winner;
	while (i < n - 1 && logits[i] != best)
		i++;
	return (int32_t)i;
}

/* ---- the k best, most likely first: a heap with the worst on top ---- */

static void sink(struct llama_token_data *heap, size_t n, size_t i)
{
	struct llama_token_data moved = heap[i];
	for (size_t child; (child = 2 * i + 1) < n; i = child) {
		if (child + 1 < n && heap[child + 1].logit < heap[child].logit)
			child++;
		if (moved.logit <= heap[child].logit)
			break;
		heap[i] = heap[child];
	}
	heap[i] = moved;
}

static void best_of(const float *logits, size_t n, struct llama_token_data *out,
		    size_t k)
{
	for (size_t i = 0; i < k; i++)
		out[i] = (struct llama_token_data){ (int32_t)i, logits[i], 0 };
	for (size_t i = k / 2; i-- > 0;)
		sink(out, k, i);
	for (size_t i = k; i < n; i++) {
		if (logits[i] <= out[0].logit)
			continue;
		out[0] = (struct llama_token_data){ (int32_t)i, logits[i], 0 };
		sink(out, k, 0);
	}
	for (size_t left = k; left-- > 1;) {
		struct llama_token_data worst = out[0];
		out[0] = out[left];
		out[left] = worst;
		sink(out, left, 0);
	}
}

static int32_t draw(struct sample *s, const float *logits)
{
	size_t n = n_candidates(s);
	bool by_heap = n < s->n_vocab;
	if (by_heap) {
		best_of(logits, s->n_vocab, s->candidates, n);
	} else {
		for (size_t i = 0; i < n; i++)
			s->candidates[i] =
				(struct llama_token_data){ (int32_t)i,
							   logits[i], 0 };
	}
	struct llama_token_data_array a = { s->candidates, n, -1, by_heap };
	llama_sampler_apply(s->chain, &a);
	return a.data[a.selected].id;
}

int32_t sample_next(struct sample *s, struct llama_context *ctx, int32_t row)
{
	if (s->bound)
		return common_shim_sampler_next(s->bound, ctx, row);
	make_room(s);
	const float *logits = edited(s, llama_get_logits_ith(ctx, row));
	int32_t token =
		s->chain ? draw(s, logits) : likeliest(logits, s->n_vocab);
	sample_saw(s, token);
	return token;
}

float sample_logprobs(const float *logits, size_t n_vocab, int32_t token,
		      struct sample_prob *top, size_t n_top)
{
	double sum = 0;
	float most = logits[likeliest(logits, n_vocab)];
	for (size_t i = 0; i < n_vocab; i++)
		sum += exp((double)(logits[i] - most));
	float total = most + (float)log(sum);
	if (n_top) {
		n_top = MIN(n_top, n_vocab);
		auto_free struct llama_token_data *best =
			xcalloc(n_top, sizeof *best);
		best_of(logits, n_vocab, best, n_top);
		for (size_t i = 0; i < n_top; i++)
			top[i] = (struct sample_prob){ best[i].id,
						       best[i].logit - total };
	}
	return logits[token] - total;
}
