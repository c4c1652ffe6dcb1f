#include "llama/choice.h"

#include "base/limits.h"

#include <math.h>

void choice_init(struct choice *c, const struct llama_vocab *vocab,
		 const struct str *words, size_t n_words,
		 const struct common_shim_prompt *prompt)
{
	c->vocab = vocab;
	c->prompt = prompt;
	c->parser = prompt ? common_shim_parser_new(prompt) : NULL;
	stops_init(&c->stops, words, n_words);
	buf_init(&c->piece, LIMIT_ANSWER_BYTES);
	c->content = WRITER(LIMIT_ANSWER_BYTES);
	c->reasoning = WRITER(LIMIT_ANSWER_BYTES);
	for (size_t i = 0; i < CHOICE_LISTS; i++)
		c->probs[i] = WRITER(LIMIT_ANSWER_BYTES);
}

void choice_fini(struct choice *c)
{
	sample_free(c->ask.sample);
	tokens_fini(&c->ask.tokens);
	runs_fini(&c->ask.runs);
	common_shim_parser_free(c->parser);
	stops_fini(&c->stops);
	buf_fini(&c->piece);
	writer_fini(&c->content);
	writer_fini(&c->reasoning);
	for (size_t i = 0; i < CHOICE_LISTS; i++)
		writer_fini(&c->probs[i]);
	for (size_t i = 0; i < c->n_calls; i++) {
		free(c->calls[i].id);
		free(c->calls[i].name);
		writer_fini(&c->calls[i].arguments);
	}
	free(c->calls);
}

static struct str spell(struct choice *c, int32_t token, bool special)
{
	buf_clear(&c->piece);
	/* One token is far shorter than the ceiling. */
	if (tokens_put_text(c->vocab, token, special, &c->piece))
		buf_clear(&c->piece);
	return buf_str(&c->piece);
}

void choice_put_logprob(struct writer *w, float logprob)
{
	writer_put(w, "%.6g", isfinite(logprob) ? (double)logprob : -9999.0);
}

struct str choice_spell(struct choice *c, int32_t token)
{
	return spell(c, token, true);
}

static int parse(struct choice *c, struct str text, enum common_shim_more more,
		 common_shim_delta_fn on_delta, void *ctx, struct err *e)
{
	if (c->parser)
		return common_shim_parse(c->parser, text, more, on_delta, ctx,
					 e);
	struct common_shim_delta d = { .content = text, .tool = -1 };
	if (text.n)
		on_delta(ctx, &d);
	return 0;
}

int choice_add(struct choice *c, int32_t token, common_shim_delta_fn on_delta,
	       void *ctx, struct err *e)
{
	bool special = c->prompt && common_shim_prompt_keeps(c->prompt, token);
	struct str text;
	int hit = stops_add(&c->stops, spell(c, token, special), &text);
	if (parse(c, text, COMMON_SHIM_MORE, on_delta, ctx, e))
		return -1;
	return hit ? CHOICE_STOPPED : 0;
}

int choice_end(struct choice *c, enum batch_end why,
	       common_shim_delta_fn on_delta, void *ctx, struct err *e)
{
	return parse(c, stops_flush(&c->stops),
		     why == BATCH_STOP ? COMMON_SHIM_END : COMMON_SHIM_CUT,
		     on_delta, ctx, e);
}

void choice_show_probs(struct choice *c)
{
	for (size_t i = 0; i < CHOICE_LISTS; i++)
		c->probs_shown[i] = c->probs[i].buf.n;
}

void choice_cut_probs(struct choice *c)
{
	for (size_t i = 0; i < CHOICE_LISTS; i++)
		buf_cut(&c->probs[i].buf, c->probs_shown[i]);
}

void choice_clear_probs(struct choice *c)
{
	for (size_t i = 0; i < CHOICE_LISTS; i++)
		writer_clear(&c->probs[i]);
	choice_show_probs(c);
}

size_t choice_bytes(const struct choice *c)
{
	size_t n = c->content.buf.n + c->reasoning.buf.n;
	for (size_t i = 0; i < CHOICE_LISTS; i++)
		n += c->probs[i].buf.n;
	return n;
}

void choice_keep(struct choice *c, const struct common_shim_delta *d)
{
	writer_raw(&c->content, d->content);
	writer_raw(&c->reasoning, d->reasoning);
	if (d->tool < 0)
		return;
	size_t i = (size_t)d->tool;
	if (i >= c->n_calls) {
		c->calls = xrealloc(c->calls, (i + 1) * sizeof *c->calls);
		for (; c->n_calls <= i; c->n_calls++) {
			c->calls[c->n_calls] = (struct choice_call){ 0 };
			c->calls[c->n_calls].arguments =
				WRITER(LIMIT_ANSWER_BYTES);
		}
	}
	if (d->id.n && !c->calls[i].id) {
		c->calls[i].id = str_dup(d->id);
		c->calls[i].name = str_dup(d->name);
	}
	writer_raw(&c->calls[i].arguments, d->arguments);
}
