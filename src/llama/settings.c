#include "llama/settings.h"

#include "llama/weights.h"

#include <llama.h>
#include <math.h>

void settings_stop_at(struct generate *g, struct str word)
{
	g->stops = xrealloc(g->stops, (g->n_stops + 1) * sizeof *g->stops);
	g->stops[g->n_stops++] = word;
}

static int read_stop(struct generate *g, const json_t *j, struct err *e)
{
	struct str word = json_str(j);
	if (!json_is_string(j))
		return err_field(e, "stop", "'stop' must hold strings");
	if (word.n > LIMIT_STOP_BYTES)
		return err_field(e, "stop",
				 "a stop string may have %d bytes, not %zu",
				 LIMIT_STOP_BYTES, word.n);
	if (word.n)
		settings_stop_at(g, word);
	return 0;
}

static int read_stops(struct generate *g, struct err *e)
{
	const json_t *stop = g->params.stop;
	size_t i;
	json_t *j;
	if (json_is_string(stop))
		return read_stop(g, stop, e);
	if (json_array_size(stop) > LIMIT_STOP_STRINGS)
		return err_field(e, "stop",
				 "'stop' may hold %d strings, not %zu",
				 LIMIT_STOP_STRINGS, json_array_size(stop));
	json_array_foreach(stop, i, j)
	{
		if (read_stop(g, j, e))
			return -1;
	}
	return 0;
}

static void add_bias(struct generate *g, int32_t token, double bias)
{
	g->biases = xrealloc(g->biases, (g->n_biases + 1) * sizeof *g->biases);
	g->biases[g->n_biases++] = (struct sample_bias){ token, (float)bias };
}

/* {"1234": -100}: OpenAI's form, token ids as member names. */
static int read_biases(struct generate *g, struct err *e)
{
	const char *key;
	json_t *value;
	uint64_t n_vocab = (uint64_t)llama_vocab_n_tokens(
		weights_vocab(g->serve->weights));
	json_t *all = (json_t *)g->params.logit_bias;
	if (json_object_size(all) > LIMIT_LOGIT_BIASES)
		return err_field(e, "logit_bias",
				 "'logit_bias' may hold %d tokens, not %zu",
				 LIMIT_LOGIT_BIASES, json_object_size(all));
	json_object_foreach(all, key, value)
	{
		uint64_t token;
		double bias = json_number_value(value);
		if (!str_to_u64(str_of(key), &token) || token >= n_vocab)
			return err_field(e, "logit_bias",
					 "'logit_bias' must name tokens by "
					 "their numbers, below %llu",
					 (unsigned long long)n_vocab);
		if (!json_is_number(value) || !(fabs(bias) <= 100))
			return err_field(e, "logit_bias",
					 "a bias must be from -100 to 100");
		/* OpenAI: -100 is a ban. */
		add_bias(g, (int32_t)token, bias <= -100 ? -INFINITY : bias);
	}
	if (g->params.ignore_eos) {
		const struct tokens *ends = weights_enders(g->serve->weights);
		for (size_t i = 0; i < ends->n; i++)
			add_bias(g, ends->p[i], -INFINITY);
	}
	return 0;
}

static int read_probs(struct generate *g, struct err *e)
{
	const struct params *p = &g->params;
	if (g->kind->where == PARAMS_COMPLETION) {
		g->n_top = (int)p->n_logprobs;
		return 0;
	}
	if (p->top_logprobs && !p->logprobs)
		return err_field(e, "top_logprobs",
				 "'top_logprobs' needs 'logprobs': true");
	g->n_top = p->logprobs ? (int)p->top_logprobs : -1;
	return 0;
}

static int read_stream_options(struct generate *g, struct err *e)
{
	const json_t *options = g->params.stream_options;
	if (!options)
		return 0;
	if (!g->params.stream)
		return err_field(e, "stream_options",
				 "'stream_options' needs 'stream': true");
	if (json_get_bool(options, "include_usage", &g->wants_usage, e))
		return err_at(e, "stream_options");
	return 0;
}

int settings_read(struct generate *g, struct err *e)
{
	struct params *p = &g->params;
	if (p->n_predict >= 0)
		p->max_tokens = p->n_predict;
	if (p->max_completion >= 0)
		p->max_tokens = p->max_completion;
	return read_stops(g, e) || read_biases(g, e) || read_probs(g, e) ||
			       read_stream_options(g, e)
		       ? -1
		       : 0;
}

/* At 1e-37 logits become infinite; long before that only ties are random. */
#define COLDEST 1e-6

static float temperature_of(const struct params *p)
{
	return p->temperature < COLDEST ? 0 : (float)p->temperature;
}

/* The bans of ignore_eos come last; an answer that keeps to a format is over
 * when that is, and can only end then. */
static size_t count_biases(const struct generate *g)
{
	bool has_format = g->chat && common_shim_prompt_has_grammar(g->chat);
	return g->n_biases - (has_format && g->params.ignore_eos
				      ? weights_enders(g->serve->weights)->n
				      : 0);
}

/* -1 is all of the context, as for llama-server. */
static int32_t last_n_of(const struct generate *g)
{
	int64_t all = batch_facts(g->serve->batch)->context;
	int64_t n = g->params.repeat_last_n;
	return (int32_t)MIN(n < 0 ? all : n, (int64_t)LIMIT_LAST_N);
}

struct sample_spec settings_sampling(const struct generate *g, size_t index)
{
	const struct params *p = &g->params;
	uint32_t seed = (uint32_t)p->seed + (uint32_t)index;
	/* llama.cpp's word for a random seed; nobody asked for that one. */
	if (seed == LLAMA_DEFAULT_SEED)
		seed--;
	return (struct sample_spec){
		.temperature = temperature_of(p),
		.top_p = (float)p->top_p,
		.min_p = (float)p->min_p,
		.top_k = (int32_t)p->top_k,
		.repeat = (float)p->repeat_penalty,
		.frequency = (float)p->frequency_penalty,
		.presence = (float)p->presence_penalty,
		.last_n = last_n_of(g),
		.budget = (int32_t)p->reasoning_budget,
		.seed = p->seed == -1 ? LLAMA_DEFAULT_SEED : seed,
		.biases = g->biases,
		.n_biases = count_biases(g),
		.prompt = g->chat,
	};
}
