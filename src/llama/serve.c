#include "llama/serve.h"

#include "base/limits.h"
#include "base/log.h"
#include "io/timer.h"
#include "llama/prepare.h"
#include "llama/respond.h"
#include "llama/weights.h"

#include <llama.h>

/* ---- what a request must hold to ---- */

int serve_needs_text(const struct serve *s, struct err *e)
{
	if (!batch_facts(s->batch)->is_embedding)
		return 0;
	if (batch_facts(s->batch)->is_ranking)
		return err_field(e, "model",
				 "this model ranks texts and makes none: it "
				 "answers on /v1/rerank");
	return err_field(e, "model",
			 "this model makes embeddings, not text: it answers on "
			 "/v1/embeddings");
}

int serve_needs_vectors(const struct serve *s, struct err *e)
{
	const struct batch_facts *f = batch_facts(s->batch);
	if (f->is_embedding && !f->is_ranking)
		return 0;
	if (f->is_ranking)
		return err_field(e, "model",
				 "this model ranks texts and makes no "
				 "embeddings: it answers on /v1/rerank");
	return err_field(e, "model",
			 "this model makes text, not embeddings: ask a model "
			 "made for them, or start it with --pooling mean");
}

int serve_needs_ranks(const struct serve *s, struct err *e)
{
	if (batch_facts(s->batch)->is_ranking)
		return 0;
	return err_field(e, "model",
			 "this model makes %s and cannot rank: ask a model "
			 "made for that, a reranker",
			 batch_facts(s->batch)->is_embedding ? "embeddings"
							     : "text");
}

int serve_has_room(const struct serve *s, const struct batch_owner *owner,
		   size_t n_tasks, struct err *e)
{
	const struct batch_facts *f = batch_facts(s->batch);
	size_t most =
		f->is_embedding ? LIMIT_WAITING_TEXTS : LIMIT_WAITING_PER_MODEL;
	size_t waiting = batch_open(s->batch);
	size_t own = batch_open_of(s->batch, owner->name);
	/* One request alone may be larger; and whoever fills this up leaves
	 * the other callers their parts. */
	if (waiting + n_tasks <= most + (size_t)f->slots || !own ||
	    own + n_tasks <= most / LIMIT_WAITING_PARTS)
		return 0;
	return err_set(e, ERR_UNAVAILABLE,
		       "%zu answers are under way or wait, and %zu more are "
		       "too many: try again later",
		       waiting, n_tasks);
}

static int too_long(const struct serve *s, const char *number, size_t n_tokens,
		    const char *field, struct err *e)
{
	size_t most = (size_t)batch_facts(s->batch)->context;
	err_set(e, ERR_CONTEXT,
		"the prompt has %s%zu tokens, and with room for an answer the "
		"context of %zu tokens holds %zu: shorten it",
		number, n_tokens, most, most - 1);
	return err_at(e, field);
}

int serve_fits(const struct serve *s, size_t n_tokens, const char *field,
	       struct err *e)
{
	if (n_tokens < (size_t)batch_facts(s->batch)->context)
		return 0;
	return too_long(s, "", n_tokens, field, e);
}

int serve_tokenize(const struct serve *s, struct str text, int flags,
		   const char *field, struct tokens *out, struct err *e)
{
	/* Megabytes would take seconds of a core that others could have.
	 * Some vocabularies drop spaces: hence the wide margin. */
	size_t least = text.n / MAX(weights_longest(s->weights), (size_t)1);
	if (least / 4 > (size_t)batch_facts(s->batch)->context)
		return too_long(s, "more than ", least, field, e);
	return tokens_from_text(weights_vocab(s->weights), text, flags, out, e);
}

struct str serve_caller(const struct http_exchange *x)
{
	const struct http_field *f =
		head_find(exchange_head(x), SERVE_OWNER_FIELD);
	return f ? f->value : STR("");
}

int serve_read_owner(const struct http_exchange *x, struct batch_owner *out,
		     struct err *e)
{
	struct str name = serve_caller(x);
	if (name.n >= sizeof out->name)
		return err_set(e, ERR_INVALID,
			       SERVE_OWNER_FIELD " is longer than %d bytes",
			       LIMIT_CACHE_ID_BYTES);
	memcpy(out->name, name.p, name.n);
	out->name[name.n] = '\0';
	return 0;
}

size_t serve_open_answers(const struct serve *s)
{
	return batch_open(s->batch) + prepare_count(s->prepare);
}

void serve_on_change(struct serve *s)
{
	if (s->on_change)
		s->on_change(s->ctx);
}

/* ---- small answers ---- */

static void health(void *app, struct http_exchange *x,
		   const struct route_match *m)
{
	struct serve *s = app;
	struct err e;
	(void)m;
	if (s->is_draining) {
		err_set(&e, ERR_UNAVAILABLE, "the server is shutting down");
		respond_error(x, &e);
		return;
	}
	exchange_reply(x, 200, RESPOND_JSON, STR("{\"status\":\"ok\"}"));
}

static void put_model(const struct serve *s, struct writer *w)
{
	const struct batch_facts *f = batch_facts(s->batch);
	struct llama_model *m = weights_model(s->weights);
	char kind[100];
	llama_model_desc(m, kind, sizeof kind);
	writer_raw(w, STR("{\"id\":"));
	writer_json(w, str_of(s->alias));
	writer_put(w,
		   ",\"object\":\"model\",\"created\":%lld,"
		   "\"owned_by\":\"modeld\",\"meta\":{\"context\":%d,"
		   "\"trained_context\":%d,\"embedding_length\":%d,"
		   "\"parameters\":%llu,\"bytes\":%llu,\"vocabulary\":%d,"
		   "\"description\":",
		   (long long)s->started, f->context,
		   llama_model_n_ctx_train(m), llama_model_n_embd(m),
		   (unsigned long long)llama_model_n_params(m),
		   (unsigned long long)llama_model_size(m),
		   llama_vocab_n_tokens(weights_vocab(s->weights)));
	writer_json(w, str_of(kind));
	writer_raw(w, STR("}}"));
}

static void models(void *app, struct http_exchange *x,
		   const struct route_match *m)
{
	auto_writer struct writer w = WRITER(LIMIT_SMALL_BODY_BYTES);
	(void)m;
	writer_raw(&w, STR("{\"object\":\"list\",\"data\":["));
	put_model(app, &w);
	writer_raw(&w, STR("]}"));
	respond_json(x, 200, &w);
}

static void one_model(void *app, struct http_exchange *x,
		      const struct route_match *m)
{
	struct serve *s = app;
	auto_writer struct writer w = WRITER(LIMIT_SMALL_BODY_BYTES);
	struct err e;
	if (!str_eq(m->params[0], s->alias)) {
		err_set(&e, ERR_NOT_FOUND, "there is no model '%.*s' here",
			STR_ARG(m->params[0]));
		respond_error(x, &e);
		return;
	}
	put_model(s, &w);
	respond_json(x, 200, &w);
}

static void metrics(void *app, struct http_exchange *x,
		    const struct route_match *m)
{
	struct serve *s = app;
	const struct serve_counts *n = &s->counts;
	size_t running = batch_running(s->batch);
	size_t open = serve_open_answers(s);
	struct batch_kept kept = batch_kept(s->batch);
	const struct {
		const char *name, *kind, *help;
		double value;
	} rows[] = {
		{ "requests_total", "counter", "Requests that were read.",
		  (double)n->requests },
		{ "failures_total", "counter", "Requests that failed.",
		  (double)n->failures },
		{ "prompt_tokens_total", "counter", "Prompt tokens computed.",
		  (double)n->prompt_tokens },
		{ "cached_tokens_total", "counter",
		  "Prompt tokens taken from the cache.",
		  (double)n->cached_tokens },
		{ "generated_tokens_total", "counter", "Tokens generated.",
		  (double)n->made_tokens },
		{ "prompt_seconds_total", "counter",
		  "Time spent on prompts, summed over requests.", n->prompt_s },
		{ "generated_seconds_total", "counter",
		  "Time spent on answers, summed over requests.", n->made_s },
		{ "kept_states_total", "counter",
		  "States of prompts put into host memory.",
		  (double)kept.n_kept },
		{ "restored_states_total", "counter",
		  "States of prompts taken from host memory.",
		  (double)kept.n_restored },
		{ "kept_states", "gauge", "States in host memory.",
		  (double)kept.n },
		{ "kept_bytes", "gauge", "Bytes that they take up.",
		  (double)kept.bytes },
		{ "running", "gauge", "Answers that have a place.",
		  (double)running },
		{ "queued", "gauge",
		  "Requests that are prepared, and answers that wait for a "
		  "place.",
		  (double)(open > running ? open - running : 0) },
	};
	auto_writer struct writer w = WRITER(LIMIT_SMALL_BODY_BYTES);
	(void)m;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		writer_put(&w,
			   "# HELP modeld_llama_%s %s\n"
			   "# TYPE modeld_llama_%s %s\nmodeld_llama_%s %.17g\n",
			   rows[i].name, rows[i].help, rows[i].name,
			   rows[i].kind, rows[i].name, rows[i].value);
	exchange_reply(x, 200, "text/plain; version=0.0.4; charset=utf-8",
		       writer_str(&w));
}

/* ---- the table ---- */

#define ROUTE(method, pattern, handler)            \
	{                                          \
		HTTP_##method, pattern, 0, handler \
	}

static const struct route routes[] = {
	ROUTE(POST, "/v1/chat/completions", chat_handle),
	ROUTE(POST, "/v1/completions", completion_handle),
	ROUTE(POST, "/v1/embeddings", embedding_handle),
	ROUTE(POST, "/v1/rerank", ranking_rerank),
	ROUTE(POST, "/rerank", ranking_rerank),
	ROUTE(POST, "/v1/score", ranking_score),
	ROUTE(POST, "/score", ranking_score),
	ROUTE(GET, "/v1/models", models),
	ROUTE(GET, "/v1/models/{name...}", one_model),
	ROUTE(POST, "/tokenize", tokenize_handle),
	ROUTE(POST, "/detokenize", tokenize_undo),
	ROUTE(POST, "/apply-template", chat_apply_template),
	ROUTE(GET, "/props", inspect_props),
	ROUTE(GET, "/slots", inspect_slots),
	ROUTE(GET, "/lora-adapters", inspect_adapters),
	ROUTE(GET, "/health", health),
	ROUTE(GET, "/metrics", metrics),
};

static void on_request(void *ctx, struct http_exchange *x)
{
	struct route_match m;
	struct err e;
	struct str path = exchange_target(x)->path;
	switch (router_find(routes, ARRAY_LEN(routes), exchange_head(x)->method,
			    path, &m)) {
	case 0:
		m.route->handler(ctx, x, &m);
		return;
	case ROUTER_NO_METHOD:
		exchange_add(x, "Allow", str_of(m.allow));
		err_set(&e, ERR_METHOD, "%.*s takes %s", STR_ARG(path),
			m.allow);
		break;
	default:
		err_set(&e, ERR_NOT_FOUND, "there is no %.*s here",
			STR_ARG(str_head(path, 200)));
	}
	respond_error(x, &e);
}

static void on_over(void *ctx, struct http_exchange *x, int status,
		    uint64_t sent)
{
	(void)ctx;
	const struct http_head *h = exchange_head(x);
	log_debug(
		"request method=%.*s target=%.*s status=%d bytes=%llu ms=%llu",
		STR_ARG(h->method_text), STR_ARG(h->target), status,
		(unsigned long long)sent,
		(unsigned long long)((timer_now_ns() - exchange_started_ns(x)) /
				     1000000));
}

static void on_accept(void *ctx, struct stream *stream)
{
	struct serve *s = ctx;
	if (s->is_draining) {
		stream_free(stream);
		listener_release(s->listener);
		return;
	}
	http_server_take(s->http, stream, NULL, s->listener);
}

/* ---- listening ---- */

static int listen_tcp(struct serve *s, const char *address, struct err *e)
{
	struct str host = str_of(address), port;
	ptrdiff_t colon = str_find_last(host, ':');
	uint64_t number;
	if (colon < 0)
		return err_set(e, ERR_USAGE,
			       "'%s' is no address: unix:PATH or HOST:PORT",
			       address);
	port = str_tail(host, (size_t)colon + 1);
	host = str_head(host, (size_t)colon);
	if (str_starts(host, "[") && str_ends(host, "]"))
		host = str_head(str_tail(host, 1), host.n - 2);
	if (str_eq(host, "localhost"))
		host = STR("127.0.0.1");
	if (!str_to_u64(port, &number) || number > 65535)
		return err_set(e, ERR_USAGE, "'%.*s' is no port",
			       STR_ARG(port));
	auto_free char *ip = str_dup(host);
	return listener_tcp(s->loop, ip, (int)number, on_accept, s,
			    &s->listener, e);
}

int serve_open(struct serve *s, const char *address, struct err *e)
{
	static const struct http_server_fns fns = {
		.on_request = on_request,
		.error_body = respond_error_body,
		.on_over = on_over,
	};
	struct str a = str_of(address);
	s->http = http_server_new(s->loop, &fns, s);
	if (!str_starts(a, STREAM_UNIX_PREFIX))
		return listen_tcp(s, address, e);
	return listener_unix(s->loop, address + strlen(STREAM_UNIX_PREFIX),
			     0600, on_accept, s, &s->listener, e);
}

int serve_port(const struct serve *s)
{
	return listener_port(s->listener);
}

void serve_drain(struct serve *s)
{
	s->is_draining = true;
	http_server_drain(s->http);
}

void serve_close(struct serve *s)
{
	/* Its streams release the listener. */
	if (s->http)
		http_server_free(steal(&s->http));
	listener_free(steal(&s->listener));
}
