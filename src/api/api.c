#include "api/api.h"
#include "api/admit.h"
#include "api/caller.h"
#include "api/fresh.h"
#include "api/reply.h"
#include "api/routes.h"
#include "base/log.h"
#include "io/timer.h"

#include <inttypes.h>

/* What is remembered of a request until it is over; in its arena. */
struct note {
	size_t row;
	uint64_t first_byte_ns; /* after the start; 0 not yet */
	struct admit admit;
	bool is_audited;
};

void api_mark_first_byte(struct http_exchange *x)
{
	struct note *note = exchange_user(x);
	if (!note->first_byte_ns)
		note->first_byte_ns = timer_now_ns() - exchange_started_ns(x);
}

struct key *api_key(const struct http_exchange *x)
{
	return ((struct note *)exchange_user(x))->admit.key;
}

bool api_may(const struct http_exchange *x, enum access_class c)
{
	return ((struct note *)exchange_user(x))->admit.classes & (unsigned)c;
}

struct engine *api_find_engine(struct api *api, struct str name, struct err *e)
{
	struct engine *en = engine_set_find(api->engines, name);
	if (!en)
		err_set(e, ERR_NOT_FOUND,
			"there is no engine '%.*s'; GET /engines/status lists "
			"them",
			STR_ARG(str_head(name, 100)));
	return en;
}

size_t api_unload(struct api *api, struct str engine, const char *id,
		  const enum engine_mode *mode)
{
	size_t n = 0;
	list_each (it, &api->engines->engines) {
		struct engine *en = container_of(it, struct engine, link);
		if (!engine.n || str_eq(engine, en->name))
			n += en->kind->unload(en, id, mode);
	}
	return n;
}

static void allow_origin(struct http_exchange *x)
{
	const struct http_field *origin = head_find(exchange_head(x), "Origin");
	if (!origin)
		return;
	exchange_add(x, "Access-Control-Allow-Origin", origin->value);
	exchange_add(x, "Vary", STR("Origin"));
}

/* A preflight (Fetch standard, 3.2.2), or plainly what may be done here. No
 * credentials are ever allowed, since the origin is echoed. */
static void answer_options(struct http_exchange *x, const char *allow)
{
	const struct http_head *h = exchange_head(x);
	const struct http_field *headers =
		head_find(h, "Access-Control-Request-Headers");
	if (head_find(h, "Access-Control-Request-Method")) {
		exchange_add(x, "Access-Control-Allow-Methods", str_of(allow));
		/* "*" would leave Authorization out. */
		if (headers)
			exchange_add(x, "Access-Control-Allow-Headers",
				     headers->value);
		exchange_add(x, "Access-Control-Max-Age", STR("600"));
	}
	exchange_add(x, "Allow", str_of(allow));
	exchange_reply(x, 204, NULL, STR(""));
}

static void refuse_method(struct http_exchange *x, const char *allow)
{
	struct err e;
	const struct http_head *h = exchange_head(x);
	err_set(&e, ERR_METHOD, "%.*s is not possible here; %s is",
		STR_ARG(str_head(h->method_text, 32)), allow);
	exchange_add(x, "Allow", str_of(allow));
	reply_error(x, &e);
}

static void refuse_path(struct http_exchange *x)
{
	struct err e;
	err_set(&e, ERR_NOT_FOUND,
		"there is nothing at '%.*s'; of the OpenAI API there are "
		"chat/completions, completions, embeddings and models, under "
		"/engines/v1/",
		STR_ARG(str_head(exchange_target(x)->path, 200)));
	reply_error(x, &e);
}

static void on_request(void *ctx, struct http_exchange *x)
{
	struct api *api = ctx;
	struct err e;
	struct route_match m;
	size_t n_rows;
	const struct route *rows = routes_table(&n_rows);
	struct note *note = arena_alloc(exchange_arena(x), sizeof *note);
	struct caller *caller = exchange_visitor(x);
	note->row = n_rows;
	exchange_set_user(x, note);
	caller_begin(caller, exchange_head(x));

	if (access_check(api->access, caller, exchange_head(x), &e)) {
		reply_error(x, &e);
		return;
	}
	allow_origin(x);
	switch (router_find(rows, n_rows, exchange_head(x)->method,
			    exchange_target(x)->path, &m)) {
	case ROUTER_NO_PATH:
		if (admit_request(api, x, 0, &note->admit))
			refuse_path(x);
		return;
	case ROUTER_NO_METHOD:
		/* A page's preflight never shows a key. */
		if (exchange_head(x)->method == HTTP_OPTIONS)
			answer_options(x, m.allow);
		else if (admit_request(api, x, 0, &note->admit))
			refuse_method(x, m.allow);
		return;
	}
	note->row = (size_t)(m.route - rows);
	/* A list or a probe is nobody's in particular: no look-up for each. */
	if (m.route->method != HTTP_GET || log_shows(LOG_DEBUG))
		caller_identify(caller);
	note->is_audited = m.route->access == ACCESS_MANAGE;
	if (!admit_request(api, x, (enum access_class)m.route->access,
			   &note->admit))
		return;
	fresh_call(api, x, &m);
}

static struct str error_body(void *ctx, const struct err *e, struct arena *a)
{
	(void)ctx;
	return reply_error_body(e, a);
}

/* Who changed what stands in the log; all else only when it is looked for. */
static void log_request(struct http_exchange *x, bool is_audited, int status,
			uint64_t total_ns, uint64_t sent)
{
	const struct http_head *h = exchange_head(x);
	char who[CALLER_TEXT_BYTES];
	enum log_level level = is_audited ? LOG_INFO : LOG_DEBUG;
	if (!log_shows(level))
		return;
	log_write(level,
		  "request method=%.*s path=%.*s status=%d ms=%" PRIu64
		  " bytes=%" PRIu64 " %s",
		  STR_ARG(h->method_text), STR_ARG(str_head(h->target, 200)),
		  status, total_ns / 1000000, sent,
		  caller_text(exchange_visitor(x), who));
}

static void on_over(void *ctx, struct http_exchange *x, int status,
		    uint64_t sent)
{
	struct api *api = ctx;
	size_t n_rows;
	routes_table(&n_rows);
	struct note *note = exchange_user(x);
	uint64_t total = timer_now_ns() - exchange_started_ns(x);
	uint64_t first = note && note->first_byte_ns ? note->first_byte_ns
			 : status		     ? total
						     : 0;
	metrics_request(api->metrics, note ? note->row : n_rows,
			status ? status : 499, first, total);
	log_request(x, note && note->is_audited, status, total, sent);
	if (note)
		admit_end(&note->admit);
}

static void on_close(void *ctx, void *visitor)
{
	(void)ctx;
	caller_free(visitor);
}

const struct http_server_fns api_server_fns = { .on_request = on_request,
						.error_body = error_body,
						.on_over = on_over,
						.on_close = on_close };
