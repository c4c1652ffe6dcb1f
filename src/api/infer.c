/* Requests that an engine answers: from the body to the pipe.
 *
 *   collect the body -> `model` -> catalogue -> engine -> lease (perhaps after
 *   a load) -> proxy -> count tokens -> release
 *
 * A client that asked for a stream and waits for a load gets its head and a
 * comment after LIMIT_SILENT_MS, so that it does not give up; the load goes on
 * whoever leaves. */
#include "api/api.h"
#include "api/allowed.h"
#include "api/caller.h"
#include "api/configure.h"
#include "api/keys.h"
#include "api/recorder.h"
#include "api/reply.h"
#include "api/routes.h"
#include "api/running.h"
#include "api/usage.h"
#include "base/limits.h"
#include "base/log.h"
#include "http/proxy.h"
#include "http/sse.h"
#include "io/timer.h"

#include <stdio.h>

/* An engine that breaks off so soon after it got a request was dying already,
 * and its death had not been noticed: then another one is asked. Twice at most,
 * in case that it is the request that kills. The kernel gives back a dead
 * process's memory before it closes its sockets, which takes a while. */
#define EARLY_NS 1000000000ull
#define TRIES 3

struct infer {
	struct api *api;
	struct http_exchange *x; /* not to be touched once the proxy is over */
	const char *path;	 /* "/v1/chat/completions" */
	struct str engine; /* its name in the path, or ""; the exchange's */
	struct str body;   /* the exchange's */
	size_t body_bytes;
	char *model;	  /* owned; as the client wrote it */
	struct digest id; /* of the store's model, if it is one */
	bool is_stored;
	const char *config; /* its settings; the exchange's */
	struct engine_lease lease;
	struct timer silence; /* while a streaming client waits */
	struct usage usage;
	struct key *key;       /* held; NULL: none was needed */
	struct record *record; /* owned until it is over; may be NULL */
	int status;	       /* of the engine's answer; 0: none yet */
	uint64_t forwarded_ns;
	unsigned tries;
	bool asks_again; /* when the proxy is over */
	bool is_look;	 /* asks about what is in memory, and loads nothing */
};

static struct caller *caller_of(const struct infer *in)
{
	return exchange_visitor(in->x);
}

/* The last that the record hears: an error that was told, or nothing. */
static void end_record(struct infer *in, int status, const struct err *e,
		       struct arena *a)
{
	recorder_end(in->api->recorder, steal(&in->record), status,
		     e ? reply_error_body(e, a) : STR(""));
}

static void infer_free(struct infer *in)
{
	/* Whoever is left here has gone without an answer. */
	end_record(in, in->status ? in->status : 408, NULL, NULL);
	keys_drop(in->key);
	engine_release(&in->lease);
	timer_fini(&in->silence);
	free(in->model);
	free(in);
}

/* Ends the exchange with an error, in its event stream if that was begun. */
static void tell(struct http_exchange *x, const struct err *e)
{
	if (!exchange_is_started(x)) {
		reply_error(x, e);
		return;
	}
	auto_buf struct buf event;
	buf_init(&event, LIMIT_SMALL_BODY_BYTES);
	struct str body = reply_error_body(e, exchange_arena(x));
	if (sse_put(&event, body) == 0 && buf_puts(&event, SSE_DONE) == 0)
		exchange_write(x, buf_str(&event));
	exchange_end(x);
}

static void fail(struct infer *in, const struct err *e)
{
	struct http_exchange *x = in->x;
	end_record(in, err_http_status(e->code), e, exchange_arena(x));
	infer_free(in);
	tell(x, e);
}

static void log_failure(const struct infer *in, const struct err *why)
{
	log_warn("engine failed model=%s error=\"%s\"", in->model, why->msg);
}

static void ask_engine(struct infer *in);

/* ---- the proxy's callbacks ---- */

static void on_proxy_fail(void *ctx, struct http_exchange *x,
			  const struct err *e)
{
	struct infer *in = ctx;
	struct err why = *e;
	bool is_early = timer_now_ns() - in->forwarded_ns < EARLY_NS;
	bool may_help = engine_broke(&in->lease, &why);
	if (may_help && is_early && in->tries < TRIES) {
		in->asks_again = true;
		return;
	}
	log_failure(in, &why);
	in->status = err_http_status(why.code);
	end_record(in, in->status, &why, exchange_arena(x));
	tell(x, &why);
}

static struct str error_event(void *ctx, const struct err *e, struct arena *a)
{
	struct infer *in = ctx;
	struct err why = *e;
	engine_broke(&in->lease, &why);
	log_failure(in, &why);
	end_record(in, err_http_status(why.code), &why, a);
	return reply_error_body(&why, a);
}

static void on_head(void *ctx, const struct http_head *h)
{
	struct infer *in = ctx;
	const struct http_field *type = head_find(h, "Content-Type");
	in->status = h->status;
	if (in->record)
		in->record->is_stream =
			type && str_starts(type->value, SSE_TYPE);
	api_mark_first_byte(in->x);
}

static void on_piece(void *ctx, struct str piece)
{
	struct infer *in = ctx;
	usage_see(&in->usage, piece);
	if (in->key)
		usage_count(&in->usage, piece);
	recorder_see(in->api->recorder, in->record, piece);
}

/* Also of an answer that was cut off: else the cut would make it free. */
static void charge(struct infer *in, uint64_t tokens)
{
	if (in->key && in->status < 400)
		keys_charge(in->key, tokens, timer_now_ms(in->api->loop));
}

static void on_over(void *ctx, int outcome, const struct err *e)
{
	struct infer *in = ctx;
	struct usage_counts n;
	(void)outcome;
	(void)e;
	if (in->asks_again) {
		in->asks_again = false;
		engine_release(&in->lease);
		ask_engine(in);
		return;
	}
	if (usage_read(&in->usage, &n)) {
		metrics_tokens(in->api->metrics, in->model, n.prompt, n.cached,
			       n.completion);
		charge(in, n.prompt + n.completion);
	} else {
		charge(in, usage_guess(&in->usage, in->body_bytes));
	}
	infer_free(in);
}

static const struct proxy_fns proxy_fns = {
	.on_fail = on_proxy_fail,
	.error_body = error_event,
	.on_head = on_head,
	.on_piece = on_piece,
	.on_over = on_over,
};

static bool is_preload(const struct http_exchange *x)
{
	const struct http_field *f =
		head_find(exchange_head(x), "X-Preload-Only");
	return f && str_eq_nocase(f->value, "true");
}

/* The target's own fields, and whose cache this may use. */
static struct str fields_of(const struct infer *in)
{
	const struct engine_target *t = &in->lease.target;
	char id[CALLER_CACHE_ID_BYTES];
	if (!t->owner_field || in->api->shares_cache)
		return t->fields;
	return str_of(arena_printf(exchange_arena(in->x), "%.*s%s: %s\r\n",
				   STR_ARG(t->fields), t->owner_field,
				   caller_cache_id(caller_of(in), id)));
}

static void forward(struct infer *in)
{
	struct http_exchange *x = in->x;
	const struct engine_target *t = &in->lease.target;
	timer_stop(&in->silence);
	if (is_preload(x)) {
		infer_free(in);
		exchange_reply(x, 200, NULL, STR(""));
		return;
	}
	struct str query = exchange_target(x)->query;
	const char *path =
		arena_printf(exchange_arena(x), "%s%s%s%.*s", t->prefix,
			     in->path, query.n ? "?" : "", STR_ARG(query));
	in->forwarded_ns = timer_now_ns();
	in->tries++;
	struct http_request ask = { .host = t->host,
				    .path = str_of(path),
				    .fields = fields_of(in),
				    .body = in->body,
				    .first_byte_limit_ms = t->limit_ms };
	proxy_start(x, t->pool, &ask, &proxy_fns, in);
}

/* ---- waiting for the lease ---- */

static void on_ready(void *ctx, const struct err *e)
{
	struct infer *in = ctx;
	if (e)
		fail(in, e);
	else
		forward(in);
}

static void on_gone(void *ctx)
{
	struct infer *in = ctx;
	caller_wait_cancel(caller_of(in));
	infer_free(in);
}

static const struct exchange_fns waiting_fns = { .on_gone = on_gone };

static void on_silence(void *ctx)
{
	struct infer *in = ctx;
	struct http_exchange *x = in->x;
	auto_buf struct buf comment;
	char text[64];
	buf_init(&comment, sizeof text + 8);
	double loaded =
		in->is_stored
			? running_find(in->api->engines, &in->id, NULL).loaded
			: 0;
	timer_start(&in->silence, LIMIT_SILENT_MS);
	if (!exchange_is_started(x)) {
		exchange_add(x, "Content-Type", STR(SSE_TYPE));
		exchange_add(x, "Cache-Control", STR("no-cache"));
		exchange_start(x, 200, EXCHANGE_CHUNKED);
		api_mark_first_byte(x);
	}
	snprintf(text, sizeof text, "the model loads, %.0f %%", loaded * 100);
	if (sse_put_comment(&comment, text) == 0)
		exchange_write(x, buf_str(&comment));
}

/* Only asked when there is time: while a model loads. */
static bool wants_stream(const struct infer *in)
{
	struct err e;
	bool stream = false;
	return !is_preload(in->x) &&
	       json_scan_true(in->body, "stream", &stream, &e) == 0 && stream;
}

/* ---- from the body to the lease ---- */

static int no_model(const struct infer *in, struct err *e)
{
	err_field(e, "model",
		  "model '%.200s' not found%s; `docker model list` shows the "
		  "models there are",
		  in->model, in->engine.n ? " on this engine" : "");
	e->code = ERR_NOT_FOUND;
	return -1;
}

/* Finds the engine for the model and takes a lease. */
static int acquire(struct infer *in, struct err *e)
{
	struct api *api = in->api;
	const struct catalog_model *m = NULL;
	struct str name = str_of(in->model);
	int got = catalog_find(api->catalog, name, CATALOG_STRICT,
			       exchange_arena(in->x), &m, e);
	if (got < 0)
		return -1;
	in->is_stored = got == 0;
	if (in->is_stored)
		in->id = m->id;
	else
		m = NULL;
	if (allowed_check(api, in->x, name, m, e))
		return -1;
	/* Not kept since the head came: a reload may have taken it away. */
	struct engine *en;
	if (!in->engine.n)
		en = engine_set_for_model(api->engines, name, m);
	else if (!(en = api_find_engine(api, in->engine, e)))
		return -1;
	else if (!en->kind->serves(en, name, m, true))
		return no_model(in, e);
	if (!en && !m)
		return no_model(in, e);
	if (!en)
		return engine_refuse(m, e);
	in->config = m ? configure_text(api, m, in->lease.mode,
					exchange_arena(in->x))
		       : "{}";
	in->lease.on_ready = on_ready;
	in->lease.ctx = in;
	return engine_acquire(en, name, m, &in->lease, e);
}

static int read_model(struct infer *in, struct err *e)
{
	int got = json_scan_str(in->body, "model", &in->model, e);
	if (got == JSON_ABSENT || (got == 0 && !in->model[0]))
		return err_field(e, "model",
				 "'model' is required: the name of a model");
	if (got == 0 && strlen(in->model) > LIMIT_REFERENCE_BYTES)
		return err_field(e, "model", "'model' is longer than %d bytes",
				 LIMIT_REFERENCE_BYTES);
	return got;
}

static void begin_record(struct infer *in)
{
	const struct http_head *h = exchange_head(in->x);
	const struct http_field *agent = head_find(h, "User-Agent");
	const struct http_field *origin = head_find(h, "Origin");
	char id[DIGEST_TEXT_BYTES], caller[CALLER_TEXT_BYTES];
	struct str path = exchange_target(in->x)->path;
	if (in->record || in->is_look || is_preload(in->x))
		return;
	struct record_facts facts = {
		.model_id =
			in->is_stored ? digest_text(&in->id, id) : in->model,
		.model = in->model,
		.method = head_method_name(h->method),
		.url = arena_printf(exchange_arena(in->x), "%s%.*s",
				    str_starts(path, "/engines/") ? ""
								  : "/engines",
				    STR_ARG(path)),
		.caller = caller_text(caller_of(in), caller),
		.config = in->config,
		.user_agent = agent ? agent->value : STR(""),
		.origin = origin ? origin->value : STR(""),
	};
	in->record = recorder_begin(in->api->recorder, &facts, in->body);
}

static void ask_engine(struct infer *in)
{
	struct err e;
	int got = acquire(in, &e);
	if (got >= 0)
		begin_record(in);
	if (got < 0) {
		fail(in, &e);
		return;
	}
	if (got == 0) {
		forward(in);
		return;
	}
	exchange_set_fns(in->x, &waiting_fns, in);
	if (wants_stream(in))
		timer_start(&in->silence, LIMIT_SILENT_MS);
}

static void on_caller_known(void *ctx)
{
	ask_engine(ctx);
}

static void on_body(void *ctx, struct str body)
{
	struct infer *in = ctx;
	struct err e;
	in->body = body;
	in->body_bytes = body.n;
	if (read_model(in, &e))
		fail(in, &e);
	else if (caller_wait(caller_of(in), on_caller_known, in) == 0)
		ask_engine(in);
}

/* What the engine is asked: the path without what names the engine. */
static const char *path_of(const char *pattern)
{
	static const char *const before[] = { "/engines/{engine}", "/engines" };
	for (size_t i = 0; i < ARRAY_LEN(before); i++)
		if (str_starts(str_of(pattern), before[i]))
			return pattern + strlen(before[i]);
	return pattern;
}

static enum engine_mode mode_of(const char *path)
{
	struct str p = str_of(path);
	return str_ends(p, "/embeddings") ? ENGINE_EMBEDDING
	       : str_ends(p, "/rerank") || str_ends(p, "/score")
		       ? ENGINE_RERANKING
		       : ENGINE_COMPLETION;
}

static struct infer *new_infer(struct api *api, struct http_exchange *x,
			       const struct route_match *m, struct str engine)
{
	struct infer *in = xcalloc(1, sizeof *in);
	in->api = api;
	in->x = x;
	in->path = path_of(m->route->pattern);
	in->lease.mode = mode_of(in->path);
	in->engine = engine;
	in->key = api_key(x) ? keys_hold(api_key(x)) : NULL;
	timer_init(&in->silence, api->loop, on_silence, in);
	exchange_set_fns(x, &waiting_fns, in);
	return in;
}

static void start(struct api *api, struct http_exchange *x,
		  const struct route_match *m, struct str engine)
{
	struct infer *in = new_infer(api, x, m, engine);
	exchange_collect(x, LIMIT_INFER_BODY_BYTES, on_body, in);
}

void infer_general(void *app, struct http_exchange *x,
		   const struct route_match *m)
{
	start(app, x, m, STR(""));
}

void infer_engine(void *app, struct http_exchange *x,
		  const struct route_match *m)
{
	struct api *api = app;
	struct err e;
	if (api_find_engine(api, m->params[0], &e))
		start(api, x, m, m->params[0]);
	else
		reply_error(x, &e);
}

/* ---- what a model's process tells of itself ---- */

/* Of a model that has one in each mode, the one of ?mode=. */
static int find_running(struct infer *in, const struct catalog_model *m,
			struct err *e)
{
	struct arena *a = exchange_arena(in->x);
	struct str word = STR("");
	enum engine_mode mode;
	bool has_mode = url_query_get(exchange_target(in->x)->query, "mode", a,
				      &word) &&
			word.n;
	if (has_mode && !engine_mode_parse(word, &mode))
		return err_field(e, "mode",
				 "'mode' must be completion, embedding or "
				 "reranking");
	struct running r =
		running_find(in->api->engines, &m->id, has_mode ? &mode : NULL);
	in->lease.mode = r.mode;
	if (!r.is_loaded)
		return err_set(e, ERR_UNAVAILABLE,
			       "the model is not loaded; `docker model ps` "
			       "shows those that are");
	return 0;
}

static int check_look(struct infer *in, struct err *e)
{
	const struct catalog_model *m;
	struct str name = STR("");
	struct arena *a = exchange_arena(in->x);
	if (!url_query_get(exchange_target(in->x)->query, "model", a, &name) ||
	    !name.n)
		return err_field(e, "model",
				 "'model' is required: ?model=NAME");
	in->model = str_dup(name);
	int got =
		catalog_find(in->api->catalog, name, CATALOG_STRICT, a, &m, e);
	if (got < 0 ||
	    allowed_check(in->api, in->x, name, got == 0 ? m : NULL, e))
		return -1;
	/* What an engine elsewhere has in memory is not known here. */
	return got == 0 ? find_running(in, m, e) : 0;
}

static void look(struct api *api, struct http_exchange *x,
		 const struct route_match *m, struct str engine)
{
	struct infer *in = new_infer(api, x, m, engine);
	struct err e;
	in->is_look = true;
	if (check_look(in, &e))
		fail(in, &e);
	else
		ask_engine(in);
}

void infer_look(void *app, struct http_exchange *x, const struct route_match *m)
{
	look(app, x, m, STR(""));
}

void infer_look_engine(void *app, struct http_exchange *x,
		       const struct route_match *m)
{
	struct api *api = app;
	struct err e;
	if (api_find_engine(api, m->params[0], &e))
		look(api, x, m, m->params[0]);
	else
		reply_error(x, &e);
}
