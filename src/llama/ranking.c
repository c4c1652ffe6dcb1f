/* ranking.c - POST /rerank and /score: how well texts answer a query, by a
 * model with a head for that. Each pair of texts is a task of its own, as for
 * embeddings.
 *
 * /rerank is Jina's and Cohere's form: {"query","documents","top_n"}, the best
 * first. /score is vLLM's: {"text_1","text_2"}, in the order given. */
#include "llama/params.h"
#include "llama/prepare.h"
#include "llama/respond.h"
#include "llama/serve.h"
#include "llama/weights.h"

#include "io/timer.h"

#include <llama.h>
#include <math.h>
#include <stdlib.h>
#include <time.h>

struct pair {
	struct ranking *request;
	struct str query, document; /* in the request's body */
	struct tokens tokens;
	struct batch_task *task; /* NULL once it has ended */
	size_t index;
	float score;
};

struct ranking {
	struct serve *serve;
	struct http_exchange *x;
	enum params_where where;
	struct batch_owner owner;
	struct prepare_job job;
	struct buf text; /* owned; the body, until it is read */
	json_t *body;	 /* owned */
	struct params params;
	struct pair *pairs; /* owned */
	size_t n_pairs;
	size_t n_running;
	size_t n_tokens;
	uint64_t began_ns;
};

static void ranking_free(struct ranking *r)
{
	for (size_t i = 0; i < r->n_pairs; i++) {
		if (r->pairs[i].task)
			batch_cancel(r->pairs[i].task);
		tokens_fini(&r->pairs[i].tokens);
	}
	free(r->pairs);
	buf_fini(&r->text);
	prepare_drop(r->serve->prepare, r->body, r->job.ask.n_bytes);
	serve_on_change(r->serve);
	free(r);
}

static void fail(struct ranking *r, const struct err *e)
{
	r->serve->counts.failures++;
	respond_error(r->x, e);
	ranking_free(r);
}

/* ---- the answer ---- */

static int by_score(const void *a, const void *b)
{
	const struct pair *p = a, *q = b;
	if (p->score != q->score)
		return p->score < q->score ? 1 : -1;
	return p->index < q->index ? -1 : 1;
}

/* JSON has no word for what is no number; a model that makes one is broken, and
 * null tells so. */
static void put_score(struct writer *w, const struct pair *pair)
{
	if (isfinite(pair->score))
		writer_put(w, "%.9g", (double)pair->score);
	else
		writer_raw(w, STR("null"));
}

static void put_results(struct ranking *r, struct writer *w)
{
	const struct params *p = &r->params;
	size_t n = r->n_pairs;
	if (p->top_n && (uint64_t)p->top_n < n)
		n = (size_t)p->top_n;
	qsort(r->pairs, r->n_pairs, sizeof *r->pairs, by_score);
	writer_raw(w, STR(",\"results\":["));
	for (size_t i = 0; i < n; i++) {
		const struct pair *pair = &r->pairs[i];
		writer_put(w, "%s{\"index\":%zu,\"relevance_score\":",
			   i ? "," : "", pair->index);
		put_score(w, pair);
		if (p->return_documents) {
			writer_raw(w, STR(",\"document\":{\"text\":"));
			writer_json(w, pair->document);
			writer_raw(w, STR("}"));
		}
		writer_raw(w, STR("}"));
	}
	writer_raw(w, STR("]"));
}

static void put_scores(const struct ranking *r, struct writer *w)
{
	writer_put(w, ",\"created\":%lld,\"data\":[", (long long)time(NULL));
	for (size_t i = 0; i < r->n_pairs; i++) {
		writer_put(w,
			   "%s{\"index\":%zu,\"object\":\"score\","
			   "\"score\":",
			   i ? "," : "", i);
		put_score(w, &r->pairs[i]);
		writer_raw(w, STR("}"));
	}
	writer_raw(w, STR("]"));
}

static void reply(struct ranking *r)
{
	auto_writer struct writer w = WRITER(LIMIT_VECTORS_BYTES);
	writer_raw(&w, STR("{\"object\":\"list\",\"model\":"));
	writer_json(&w, r->params.model.p ? r->params.model
					  : str_of(r->serve->alias));
	if (r->where == PARAMS_RERANK)
		put_results(r, &w);
	else
		put_scores(r, &w);
	writer_put(&w,
		   ",\"usage\":{\"prompt_tokens\":%zu,\"total_tokens\":%zu}}",
		   r->n_tokens, r->n_tokens);
	respond_json(r->x, 200, &w);
	r->serve->counts.prompt_tokens += r->n_tokens;
	r->serve->counts.prompt_s +=
		(double)(timer_now_ns() - r->began_ns) / 1e9;
	ranking_free(r);
}

static void on_vector(void *ctx, float *v, size_t n)
{
	struct pair *pair = ctx;
	/* Of several classes the first is the answer "relevant". */
	pair->score = n && isfinite(v[0]) ? v[0] : -INFINITY;
}

static void on_end(void *ctx, enum batch_end why, const struct err *e)
{
	struct pair *pair = ctx;
	struct ranking *r = pair->request;
	pair->task = NULL;
	if (why == BATCH_FAILED)
		fail(r, e);
	else if (--r->n_running == 0)
		reply(r);
}

/* ---- the tokens of a pair ---- */

/* The model's own words around the two: one pass, so that neither text can
 * stand for the other. */
static int fill_template(const struct ranking *r, const struct pair *pair,
			 const char *template, struct tokens *out,
			 struct err *e)
{
	static const char query[] = "{query}", document[] = "{document}";
	struct str rest = str_of(template);
	auto_buf struct buf text;
	buf_init(&text, LIMIT_INFER_BODY_BYTES);
	int full = 0;
	while (rest.n && !full) {
		if (str_starts(rest, query)) {
			full = buf_put(&text, pair->query.p, pair->query.n);
			rest = str_tail(rest, sizeof query - 1);
		} else if (str_starts(rest, document)) {
			full = buf_put(&text, pair->document.p,
				       pair->document.n);
			rest = str_tail(rest, sizeof document - 1);
		} else {
			full = buf_put(&text, rest.p, 1);
			rest = str_tail(rest, 1);
		}
	}
	if (full)
		return err_set(e, ERR_CONTEXT, "the texts are too long");
	return serve_tokenize(r->serve, buf_str(&text), TOKENS_PARSE_SPECIAL,
			      "documents", out, e);
}

/* BERT's form of a pair: [CLS] query [SEP] document [SEP]. */
static int join(const struct ranking *r, const struct pair *pair,
		struct tokens *out, struct err *e)
{
	const struct llama_vocab *v = weights_vocab(r->serve->weights);
	int32_t end = llama_vocab_eos(v), sep = llama_vocab_sep(v);
	bool adds_end = llama_vocab_get_add_eos(v);
	bool adds_sep = llama_vocab_get_add_sep(v) && sep != LLAMA_TOKEN_NULL;
	if (end == LLAMA_TOKEN_NULL)
		end = sep;
	adds_end &= end != LLAMA_TOKEN_NULL;
	if (llama_vocab_get_add_bos(v) && llama_vocab_bos(v) >= 0)
		tokens_push(out, llama_vocab_bos(v));
	if (serve_tokenize(r->serve, pair->query, 0, "query", out, e))
		return -1;
	if (adds_end)
		tokens_push(out, end);
	if (adds_sep)
		tokens_push(out, sep);
	if (serve_tokenize(r->serve, pair->document, 0, "documents", out, e))
		return -1;
	if (adds_end || adds_sep)
		tokens_push(out, adds_end ? end : sep);
	return 0;
}

static int read_pair(struct ranking *r, struct pair *pair, const char *field,
		     struct err *e)
{
	const char *template = llama_model_chat_template(
		weights_model(r->serve->weights), "rerank");
	size_t most = (size_t)batch_facts(r->serve->batch)->context;
	int failed =
		template ? fill_template(r, pair, template, &pair->tokens, e)
			 : join(r, pair, &pair->tokens, e);
	if (failed)
		return err_wrap(e, "%s[%zu]", field, pair->index);
	r->n_tokens += pair->tokens.n;
	if (pair->tokens.n > 0 && pair->tokens.n <= most)
		return 0;
	if (!pair->tokens.n)
		return err_field(e, field, "%s[%zu] is empty", field,
				 pair->index);
	err_set(e, ERR_CONTEXT,
		"%s[%zu] has %zu tokens with the query, and this model takes "
		"at most %zu: shorten it",
		field, pair->index, pair->tokens.n, most);
	return err_at(e, field);
}

/* ---- the request ---- */

/* A text, or Cohere's {"text": ...}. */
static int read_text(const json_t *j, const char *field, size_t i,
		     struct str *out, struct err *e)
{
	if (json_is_object(j))
		j = json_object_get(j, "text");
	if (!json_is_string(j))
		return err_field(e, field,
				 "%s[%zu] must be a string or an object with a "
				 "string 'text'",
				 field, i);
	*out = json_str(j);
	return 0;
}

static size_t count_of(const json_t *texts)
{
	return json_is_array(texts) ? json_array_size(texts) : 1;
}

/* One text stands for as many as there are of the others. */
static const json_t *text_at(const json_t *texts, size_t i)
{
	return json_is_array(texts)
		       ? json_array_get(texts,
					json_array_size(texts) == 1 ? 0 : i)
		       : texts;
}

static int make_pairs(struct ranking *r, const json_t *queries,
		      const char *query_field, const json_t *documents,
		      const char *field, struct err *e)
{
	size_t n = count_of(documents), n_queries = count_of(queries);
	if (n < 1 || n > LIMIT_PROMPTS)
		return err_field(e, field,
				 "'%s' may hold 1 to %d texts, not %zu", field,
				 LIMIT_PROMPTS, n);
	if (n_queries != 1 && n_queries != n)
		return err_field(e, field,
				 "'%s' has %zu texts and '%s' %zu: give one, "
				 "or as many",
				 query_field, n_queries, field, n);
	r->pairs = xcalloc(n, sizeof *r->pairs);
	for (; r->n_pairs < n; r->n_pairs++) {
		size_t i = r->n_pairs;
		struct pair *pair = &r->pairs[i];
		pair->request = r;
		pair->index = i;
		if (prepare_check(&r->job, e) ||
		    read_text(text_at(queries, i), query_field, i, &pair->query,
			      e) ||
		    read_text(text_at(documents, i), field, i, &pair->document,
			      e))
			return -1;
		if (!pair->query.n)
			return err_field(e, query_field,
					 "'%s' must not be empty", query_field);
		if (read_pair(r, pair, field, e)) {
			tokens_fini(&pair->tokens);
			return -1;
		}
	}
	return 0;
}

static int read_pairs(struct ranking *r, struct err *e)
{
	const struct params *p = &r->params;
	bool has_form = p->query.p || p->documents;
	if (r->where == PARAMS_SCORE && (p->text_1 || p->text_2 || !has_form)) {
		if (!p->text_1 || !p->text_2)
			return err_field(e, p->text_1 ? "text_2" : "text_1",
					 "'text_1' and 'text_2' must both be "
					 "given");
		return make_pairs(r, p->text_1, "text_1", p->text_2, "text_2",
				  e);
	}
	if (!p->query.p)
		return err_field(e, "query", "'query' must be given");
	if (!p->documents)
		return err_field(e, "documents", "'documents' must be given");
	return make_pairs(r, json_object_get(r->body, "query"), "query",
			  p->documents, "documents", e);
}

static int read(void *ctx, struct err *e)
{
	struct ranking *r = ctx;
	if (params_take_body(&r->text, &r->body, e) ||
	    params_parse(r->body, r->where, &r->params, e) ||
	    lora_read(r->serve->lora, r->params.lora, &r->owner.lora, e))
		return -1;
	return read_pairs(r, e);
}

static void run(struct ranking *r)
{
	static const struct batch_fns fns = { .on_vector = on_vector,
					      .on_end = on_end };
	r->n_running = r->n_pairs;
	r->began_ns = timer_now_ns();
	for (size_t i = 0; i < r->n_pairs; i++) {
		struct pair *pair = &r->pairs[i];
		struct batch_ask ask = { .tokens = pair->tokens,
					 .owner = r->owner };
		pair->tokens = (struct tokens){ 0 };
		pair->task = batch_start(r->serve->batch, &ask, &fns, pair);
	}
	serve_on_change(r->serve);
}

static void on_prepared(void *ctx, int outcome, const struct err *failure)
{
	struct ranking *r = ctx;
	struct err e;
	if (outcome == PREPARE_LEFT)
		ranking_free(r);
	else if (outcome)
		fail(r, failure);
	else if (serve_has_room(r->serve, &r->owner, r->n_pairs, &e))
		fail(r, &e);
	else
		run(r);
}

static void on_body(void *ctx, struct str body)
{
	struct ranking *r = ctx;
	struct err e;
	(void)body;
	r->serve->counts.requests++;
	if (serve_needs_ranks(r->serve, &e) ||
	    serve_read_owner(r->x, &r->owner, &e)) {
		fail(r, &e);
		return;
	}
	exchange_take_body(r->x, &r->text);
	struct prepare_ask ask = { .caller = serve_caller(r->x),
				   .n_bytes = r->text.n,
				   .work = read,
				   .done = on_prepared,
				   .ctx = r };
	prepare_start(r->serve->prepare, &r->job, &ask);
	serve_on_change(r->serve);
}

static void on_gone(void *ctx)
{
	struct ranking *r = ctx;
	if (prepare_leave(&r->job))
		ranking_free(r);
	else
		serve_on_change(r->serve);
}

static void start(struct serve *s, struct http_exchange *x,
		  enum params_where where)
{
	static const struct exchange_fns fns = { .on_gone = on_gone };
	struct ranking *r = xcalloc(1, sizeof *r);
	r->serve = s;
	r->x = x;
	r->where = where;
	exchange_set_fns(x, &fns, r);
	exchange_collect(x, LIMIT_INFER_BODY_BYTES, on_body, r);
}

void ranking_rerank(void *serve, struct http_exchange *x,
		    const struct route_match *m)
{
	(void)m;
	start(serve, x, PARAMS_RERANK);
}

void ranking_score(void *serve, struct http_exchange *x,
		   const struct route_match *m)
{
	(void)m;
	start(serve, x, PARAMS_SCORE);
}
