/* embedding.c - POST /v1/embeddings: texts to vectors. Each input is a task of
 * its own; the compute thread puts them together. */
#include "llama/respond.h"
#include "llama/floats.h"
#include "llama/params.h"
#include "llama/prepare.h"
#include "llama/serve.h"
#include "llama/weights.h"

#include "io/timer.h"

#include <llama.h>

struct input {
	struct embedding *request;
	struct tokens tokens;
	struct batch_task *task; /* NULL once it has ended */
	struct writer vector;	 /* owned; JSON */
};

struct embedding {
	struct serve *serve;
	struct http_exchange *x;
	struct prepare_job job;
	struct buf text; /* owned; the body, until it is read */
	json_t *body;	 /* owned */
	struct params params;
	struct input *inputs; /* owned */
	size_t n_inputs;
	size_t n_running;
	size_t n_tokens;
	size_t length; /* of the vectors to answer with */
	struct batch_owner owner;
	uint64_t began_ns;
};

static void embedding_free(struct embedding *m)
{
	for (size_t i = 0; i < m->n_inputs; i++) {
		if (m->inputs[i].task)
			batch_cancel(m->inputs[i].task);
		tokens_fini(&m->inputs[i].tokens);
		writer_fini(&m->inputs[i].vector);
	}
	free(m->inputs);
	buf_fini(&m->text);
	prepare_drop(m->serve->prepare, m->body, m->job.ask.n_bytes);
	serve_on_change(m->serve);
	free(m);
}

static void fail(struct embedding *m, const struct err *e)
{
	m->serve->counts.failures++;
	respond_error(m->x, e);
	embedding_free(m);
}

/* ---- the answer ---- */

static void reply(struct embedding *m)
{
	auto_writer struct writer w = WRITER(LIMIT_VECTORS_BYTES);
	writer_raw(&w, STR("{\"object\":\"list\",\"data\":["));
	for (size_t i = 0; i < m->n_inputs; i++) {
		writer_put(&w,
			   "%s{\"object\":\"embedding\",\"index\":%zu,"
			   "\"embedding\":",
			   i ? "," : "", i);
		writer_raw(&w, writer_str(&m->inputs[i].vector));
		w.is_full |= m->inputs[i].vector.is_full;
		writer_raw(&w, STR("}"));
	}
	writer_raw(&w, STR("],\"model\":"));
	writer_json(&w, m->params.model.p ? m->params.model
					  : str_of(m->serve->alias));
	writer_put(&w,
		   ",\"usage\":{\"prompt_tokens\":%zu,\"total_tokens\":%zu}}",
		   m->n_tokens, m->n_tokens);
	respond_json(m->x, 200, &w);
	m->serve->counts.prompt_tokens += m->n_tokens;
	m->serve->counts.prompt_s +=
		(double)(timer_now_ns() - m->began_ns) / 1e9;
	embedding_free(m);
}

/* Written as each comes: all of them at the end would hold the loop up. */
static void on_vector(void *ctx, float *v, size_t n)
{
	struct input *in = ctx;
	struct embedding *m = in->request;
	bool as_text = str_eq(m->params.encoding_format, "base64");
	struct writer *w = &in->vector;
	(void)n;
	/* A shorter vector is its beginning, made length 1 again. */
	floats_normalise(v, m->length);
	*w = WRITER(LIMIT_VECTORS_BYTES);
	w->is_full = as_text ? floats_put_base64(&w->buf, v, m->length)
			     : floats_put_json(&w->buf, v, m->length);
}

static void on_end(void *ctx, enum batch_end why, const struct err *e)
{
	struct input *in = ctx;
	struct embedding *m = in->request;
	in->task = NULL;
	if (why == BATCH_FAILED)
		fail(m, e);
	else if (--m->n_running == 0)
		reply(m);
}

/* ---- the request ---- */

static int read_text(struct embedding *m, struct input *in, const json_t *j,
		     struct err *e)
{
	struct str text = json_str(j);
	if (!text.n)
		return err_field(e, "input", "'input' must not be empty");
	return serve_tokenize(m->serve, text, TOKENS_ADD_SPECIAL, "input",
			      &in->tokens, e);
}

static int read_tokens(struct embedding *m, struct input *in, const json_t *ids,
		       struct err *e)
{
	int32_t n_vocab =
		llama_vocab_n_tokens(weights_vocab(m->serve->weights));
	size_t i;
	json_t *j;
	json_array_foreach(ids, i, j)
	{
		json_int_t id = json_integer_value(j);
		if (!json_is_integer(j) || id < 0 || id >= n_vocab)
			return err_field(e, "input",
					 "'input' holds something that is no "
					 "token of this model at place %zu",
					 i);
		tokens_push(&in->tokens, (int32_t)id);
	}
	return in->tokens.n
		       ? 0
		       : err_field(e, "input", "'input' must not be empty");
}

static int read_input(struct embedding *m, size_t i, const json_t *j,
		      struct err *e)
{
	struct input *in = &m->inputs[i];
	int failed = json_is_string(j)	? read_text(m, in, j, e)
		     : json_is_array(j) ? read_tokens(m, in, j, e)
					: err_field(e, "input",
						    "'input' must hold strings "
						    "or arrays of tokens");
	size_t most = (size_t)batch_facts(m->serve->batch)->context;
	if (failed)
		return err_wrap(e, "input[%zu]", i);
	if (!in->tokens.n)
		return err_field(e, "input", "input[%zu] is empty", i);
	m->n_tokens += in->tokens.n;
	if (in->tokens.n > most) {
		err_set(e, ERR_CONTEXT,
			"input[%zu] has %zu tokens, and this model takes at "
			"most %zu: shorten it",
			i, in->tokens.n, most);
		return err_at(e, "input");
	}
	return 0;
}

static int read_inputs(struct embedding *m, struct err *e)
{
	const json_t *input = m->params.input;
	if (!input)
		return err_field(e, "input", "'input' must be given");
	bool is_one = json_is_string(input) ||
		      json_is_integer(json_array_get(input, 0));
	m->n_inputs = is_one ? 1 : json_array_size(input);
	if (m->n_inputs < 1 || m->n_inputs > LIMIT_PROMPTS) {
		size_t n = m->n_inputs;
		m->n_inputs = 0;
		return err_field(e, "input",
				 "'input' may hold 1 to %d texts, not %zu",
				 LIMIT_PROMPTS, n);
	}
	m->inputs = xcalloc(m->n_inputs, sizeof *m->inputs);
	for (size_t i = 0; i < m->n_inputs; i++)
		if (prepare_check(&m->job, e) ||
		    read_input(m, i, is_one ? input : json_array_get(input, i),
			       e))
			return -1;
	return 0;
}

static int check(struct embedding *m, struct err *e)
{
	const struct params *p = &m->params;
	int longest = batch_facts(m->serve->batch)->vector_length;
	if (p->encoding_format.p && !str_eq(p->encoding_format, "float") &&
	    !str_eq(p->encoding_format, "base64"))
		return err_field(e, "encoding_format",
				 "'encoding_format' must be float or base64");
	if (p->dimensions > longest)
		return err_field(e, "dimensions",
				 "this model's vectors have %d dimensions, not "
				 "%lld",
				 longest, (long long)p->dimensions);
	m->length = (size_t)(p->dimensions ? p->dimensions : longest);
	return 0;
}

static int read(void *ctx, struct err *e)
{
	struct embedding *m = ctx;
	if (params_take_body(&m->text, &m->body, e) ||
	    params_parse(m->body, PARAMS_EMBEDDING, &m->params, e) ||
	    lora_read(m->serve->lora, m->params.lora, &m->owner.lora, e) ||
	    check(m, e))
		return -1;
	return read_inputs(m, e);
}

static void run(struct embedding *m)
{
	static const struct batch_fns fns = { .on_vector = on_vector,
					      .on_end = on_end };
	m->n_running = m->n_inputs;
	m->began_ns = timer_now_ns();
	for (size_t i = 0; i < m->n_inputs; i++) {
		struct input *in = &m->inputs[i];
		struct batch_ask ask = { .tokens = in->tokens,
					 .owner = m->owner };
		in->tokens = (struct tokens){ 0 };
		in->request = m;
		in->task = batch_start(m->serve->batch, &ask, &fns, in);
	}
	serve_on_change(m->serve);
}

static void on_prepared(void *ctx, int outcome, const struct err *failure)
{
	struct embedding *m = ctx;
	struct err e;
	if (outcome == PREPARE_LEFT)
		embedding_free(m);
	else if (outcome)
		fail(m, failure);
	else if (serve_has_room(m->serve, &m->owner, m->n_inputs, &e))
		fail(m, &e);
	else
		run(m);
}

static void on_body(void *ctx, struct str body)
{
	struct embedding *m = ctx;
	struct err e;
	(void)body;
	m->serve->counts.requests++;
	if (serve_needs_vectors(m->serve, &e) ||
	    serve_read_owner(m->x, &m->owner, &e)) {
		fail(m, &e);
		return;
	}
	exchange_take_body(m->x, &m->text);
	struct prepare_ask ask = { .caller = serve_caller(m->x),
				   .n_bytes = m->text.n,
				   .work = read,
				   .done = on_prepared,
				   .ctx = m };
	prepare_start(m->serve->prepare, &m->job, &ask);
	serve_on_change(m->serve);
}

static void on_gone(void *ctx)
{
	struct embedding *m = ctx;
	if (prepare_leave(&m->job))
		embedding_free(m);
	else
		serve_on_change(m->serve);
}

void embedding_handle(void *serve, struct http_exchange *x,
		      const struct route_match *match)
{
	static const struct exchange_fns fns = { .on_gone = on_gone };
	struct embedding *m = xcalloc(1, sizeof *m);
	(void)match;
	m->serve = serve;
	m->x = x;
	exchange_set_fns(x, &fns, m);
	exchange_collect(x, LIMIT_INFER_BODY_BYTES, on_body, m);
}
