/* completion.c - POST /v1/completions: text that goes on. */
#include "llama/generate.h"
#include "llama/weights.h"

#include <llama.h>

static bool is_token(const struct generate *g, const json_t *j)
{
	json_int_t id = json_integer_value(j);
	return json_is_integer(j) && id >= 0 &&
	       id < llama_vocab_n_tokens(weights_vocab(g->serve->weights));
}

static int read_text(struct generate *g, struct generate_prompt *p,
		     struct str text, struct err *e)
{
	if (g->params.echo)
		p->echo = text;
	return serve_tokenize(g->serve, text,
			      TOKENS_ADD_SPECIAL | TOKENS_PARSE_SPECIAL,
			      "prompt", &p->tokens, e);
}

static int read_tokens(struct generate *g, struct generate_prompt *p,
		       const json_t *ids, struct err *e)
{
	const struct llama_vocab *v = weights_vocab(g->serve->weights);
	size_t i;
	json_t *j;
	struct buf text;
	if (!json_array_size(ids))
		return err_field(e, "prompt", "'prompt' must not be empty");
	json_array_foreach(ids, i, j)
	{
		if (!is_token(g, j))
			return err_field(e, "prompt",
					 "'prompt' holds something that is "
					 "no token of this model at place %zu",
					 i);
		tokens_push(&p->tokens, (int32_t)json_integer_value(j));
	}
	if (!g->params.echo)
		return 0;
	buf_init(&text, LIMIT_ANSWER_BYTES);
	int full = 0;
	for (i = 0; i < p->tokens.n && !full; i++)
		full = tokens_put_text(v, p->tokens.p[i], true, &text);
	p->echo.n = text.n;
	p->echo.p = p->own_echo = buf_take(&text);
	return full ? err_field(e, "prompt", "'prompt' is too long") : 0;
}

/* What stands before and after the text to be filled in, as the model was
 * taught it: the mark that texts begin with, PREFIX before SUFFIX after MIDDLE.
 */
static int add_suffix(struct generate *g, struct generate_prompt *p,
		      struct err *e)
{
	const struct llama_vocab *v = weights_vocab(g->serve->weights);
	auto_tokens struct tokens before = p->tokens;
	size_t i = 0;
	p->tokens = (struct tokens){ 0 };
	if (llama_vocab_get_add_bos(v) && before.n &&
	    before.p[0] == llama_vocab_bos(v))
		tokens_push(&p->tokens, before.p[i++]);
	tokens_push(&p->tokens, llama_vocab_fim_pre(v));
	for (; i < before.n; i++)
		tokens_push(&p->tokens, before.p[i]);
	tokens_push(&p->tokens, llama_vocab_fim_suf(v));
	if (serve_tokenize(g->serve, g->params.suffix, 0, "suffix", &p->tokens,
			   e))
		return -1;
	tokens_push(&p->tokens, llama_vocab_fim_mid(v));
	return 0;
}

/* Nothing to go on from: from the mark that texts begin after. */
static void begin(const struct generate *g, struct generate_prompt *p)
{
	const struct llama_vocab *v = weights_vocab(g->serve->weights);
	int32_t start = llama_vocab_bos(v);
	if (start == LLAMA_TOKEN_NULL)
		start = llama_vocab_eos(v);
	if (!p->tokens.n && start != LLAMA_TOKEN_NULL)
		tokens_push(&p->tokens, start);
}

static int check_suffix(const struct generate *g, struct err *e)
{
	const struct llama_vocab *v = weights_vocab(g->serve->weights);
	if (llama_vocab_fim_pre(v) == LLAMA_TOKEN_NULL ||
	    llama_vocab_fim_suf(v) == LLAMA_TOKEN_NULL ||
	    llama_vocab_fim_mid(v) == LLAMA_TOKEN_NULL)
		return err_field(e, "suffix",
				 "'suffix' is not supported by this model: it "
				 "was not taught to fill in; put what comes "
				 "after into the prompt");
	if (g->params.echo)
		return err_field(e, "suffix",
				 "'suffix' and 'echo' do not go together");
	return 0;
}

static int read_prompt(struct generate *g, struct generate_prompt *p,
		       const json_t *j, struct err *e)
{
	if (json_is_string(j))
		return read_text(g, p, json_str(j), e);
	if (json_is_array(j))
		return read_tokens(g, p, j, e);
	return err_field(e, "prompt",
			 "'prompt' must be a string, an array of strings, an "
			 "array of tokens, or an array of arrays of tokens");
}

static int check(const struct generate *g, struct err *e)
{
	const struct params *p = &g->params;
	if (!p->prompt)
		return err_field(e, "prompt", "'prompt' must be given");
	if (p->suffix.n && check_suffix(g, e))
		return -1;
	if (p->best_of > p->n)
		return err_field(e, "best_of",
				 "'best_of' is not supported: ask for 'n' "
				 "answers");
	return 0;
}

static int completion_read(struct generate *g, struct err *e)
{
	const json_t *prompt = g->params.prompt;
	if (check(g, e))
		return -1;
	/* An array of numbers is one prompt, any other a prompt each. */
	bool is_one = json_is_string(prompt) ||
		      json_is_integer(json_array_get(prompt, 0));
	size_t n = is_one ? 1 : json_array_size(prompt);
	if (n < 1 || n > LIMIT_CHOICES)
		return err_field(e, "prompt",
				 "'prompt' may hold 1 to %d prompts, not %zu",
				 LIMIT_CHOICES, n);
	generate_prompts(g, n);
	for (size_t i = 0; i < n; i++) {
		struct generate_prompt *p = &g->prompts[i];
		if (prepare_check(&g->job, e) ||
		    read_prompt(g, p,
				is_one ? prompt : json_array_get(prompt, i),
				e) ||
		    (g->params.suffix.n && add_suffix(g, p, e)))
			return -1;
		begin(g, p);
	}
	return 0;
}

/* ---- the answer's words ---- */

static void completion_put_delta(struct writer *w, struct choice *c,
				 const struct common_shim_delta *d)
{
	(void)c;
	writer_raw(w, STR("\"text\":"));
	writer_json(w, d ? d->content : STR(""));
}

static void completion_put_whole(struct writer *w, const struct choice *c)
{
	writer_raw(w, STR("\"text\":"));
	writer_json(w, writer_str(&c->content));
}

enum { TEXTS, PROBS, TOPS, OFFSETS };

/* A part of a character is told by its bytes, as OpenAI does it: no two tokens
 * have one name. */
static void put_token(struct writer *w, struct str text)
{
	auto_writer struct writer name = WRITER(LIMIT_ANSWER_BYTES);
	if (str_is_utf8(text)) {
		writer_json(w, text);
		return;
	}
	writer_raw(&name, STR("bytes:"));
	for (size_t i = 0; i < text.n; i++)
		writer_put(&name, "\\x%02x", (unsigned char)text.p[i]);
	writer_json(w, writer_str(&name));
}

/* Of characters, as OpenAI's; a token that goes on with one is where it is. */
static void put_offset(struct choice *c, struct str text)
{
	bool goes_on = text.n && ((unsigned char)text.p[0] & 0xc0) == 0x80;
	size_t at = c->text_chars;
	writer_put(&c->probs[OFFSETS], "%zu", at - (goes_on && at));
	for (size_t i = 0; i < text.n; i++)
		c->text_chars += ((unsigned char)text.p[i] & 0xc0) != 0x80;
}

/* With the token itself, be it among the likeliest or not. */
static void put_top(struct writer *w, struct choice *c,
		    const struct batch_token *t)
{
	bool has_own = false;
	writer_raw(w, STR("{"));
	for (size_t i = 0; i < t->n_top; i++) {
		if (i)
			writer_raw(w, STR(","));
		has_own |= t->top[i].token == t->id;
		put_token(w, choice_spell(c, t->top[i].token));
		writer_raw(w, STR(":"));
		choice_put_logprob(w, t->top[i].logprob);
	}
	if (!has_own) {
		writer_raw(w, t->n_top ? STR(",") : STR(""));
		put_token(w, choice_spell(c, t->id));
		writer_raw(w, STR(":"));
		choice_put_logprob(w, t->logprob);
	}
	writer_raw(w, STR("}"));
}

static void completion_add_prob(struct choice *c, const struct batch_token *t)
{
	struct str text = choice_spell(c, t->id);
	if (c->probs[TEXTS].buf.n)
		for (int i = TEXTS; i <= OFFSETS; i++)
			writer_raw(&c->probs[i], STR(","));
	put_token(&c->probs[TEXTS], text);
	put_offset(c, text);
	if (!t->has_logprob) {
		writer_raw(&c->probs[PROBS], STR("null"));
		writer_raw(&c->probs[TOPS], STR("null"));
		return;
	}
	choice_put_logprob(&c->probs[PROBS], t->logprob);
	put_top(&c->probs[TOPS], c, t);
}

static void completion_put_probs(struct writer *w, const struct choice *c)
{
	static const char *const names[] = { "{\"tokens\":[",
					     "],\"token_logprobs\":[",
					     "],\"top_logprobs\":[",
					     "],\"text_offset\":[" };
	for (int i = TEXTS; i <= OFFSETS; i++) {
		writer_raw(w, str_of(names[i]));
		writer_raw(w, writer_str(&c->probs[i]));
	}
	writer_raw(w, STR("]}"));
}

static const struct generate_kind completion = {
	.where = PARAMS_COMPLETION,
	.id_prefix = "cmpl-",
	.whole = "text_completion",
	.chunk = "text_completion",
	.read = completion_read,
	.put_whole = completion_put_whole,
	.put_delta = completion_put_delta,
	.add_prob = completion_add_prob,
	.put_probs = completion_put_probs,
};

void completion_handle(void *serve, struct http_exchange *x,
		       const struct route_match *m)
{
	(void)m;
	generate_start(serve, x, &completion);
}
