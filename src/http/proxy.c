/* proxy.c - two halves that meet: an exchange and a call.
 *
 * Each read from the upstream becomes one write to the client. When the client
 * does not keep up, the exchange says STREAM_FULL, the call is paused, and the
 * kernel's buffers stop the upstream.
 *
 * Of an event stream only whole events are passed on, so that an error event
 * can follow in the place of one that never came whole. */
#include "http/proxy.h"
#include "base/buf.h"
#include "base/json.h"
#include "http/sse.h"

#include <assert.h>

enum proxy_state {
	PROXY_WAITING, /* for the answer's head */
	PROXY_PASSING, /* its body goes through */
	PROXY_EVENTS,  /* so do the events of a stream */
	PROXY_REFUSED, /* an answer that has to become an error event */
};

struct proxy {
	struct http_exchange *x;
	struct http_call *call; /* NULL: it has ended */
	const struct proxy_fns *fns;
	void *ctx;
	enum proxy_state state;
	bool is_inside;	 /* the client has a part of an event */
	int status;	 /* PROXY_REFUSED: the upstream's */
	struct buf held; /* a part of an event, or the refusal's body */
};

/* The proxy is gone when the callback comes. */
static void over(struct proxy *p, int outcome, const struct err *e)
{
	const struct proxy_fns *fns = p->fns;
	void *ctx = p->ctx;
	buf_fini(&p->held);
	free(p);
	fns->on_over(ctx, outcome, e);
}

/* ---- the request ---- */

/* Credentials are for us, not for an engine; Origin was judged here; a coded
 * answer could not be looked into or get an error event. What we tell an engine
 * about a client no client may tell. */
static bool stays_here(const struct http_head *h, struct str name)
{
	static const char *const names[] = {
		"Host",		  "Authorization",   "Cookie",
		"Content-Length", "Accept-Encoding", "Expect",
		"Origin",	  "X-Api-Key",	     "Api-Key",
	};
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (str_eq_nocase(name, names[i]))
			return true;
	const size_t n = sizeof PROXY_OWN_FIELDS - 1;
	return str_eq_nocase(str_head(name, n), PROXY_OWN_FIELDS) ||
	       head_is_hop_by_hop(h, name);
}

static char *put(char *at, struct str s)
{
	if (s.n)
		memcpy(at, s.p, s.n);
	return at + s.n;
}

/* The fields that go on, then those that are added. */
static struct str make_fields(struct http_exchange *x, struct str added)
{
	const struct http_head *h = exchange_head(x);
	size_t n = added.n;
	for (size_t i = 0; i < h->n_fields; i++)
		n += h->fields[i].name.n + h->fields[i].value.n + 4;
	char *text = arena_alloc(exchange_arena(x), n);
	char *at = text;
	for (size_t i = 0; i < h->n_fields; i++) {
		struct http_field f = h->fields[i];
		if (stays_here(h, f.name))
			continue;
		at = put(put(put(at, f.name), STR(": ")), f.value);
		at = put(at, STR("\r\n"));
	}
	at = put(at, added);
	return (struct str){ text, (size_t)(at - text) };
}

/* ---- the answer ---- */

static void forward(struct proxy *p, struct str piece)
{
	if (piece.n && exchange_write(p->x, piece) == STREAM_FULL && p->call)
		http_call_pause(p->call);
}

/* What an engine says of its own host (the last four; a cloud's is often behind
 * a front that sends them) would make a browser change how it treats ours, for
 * every port of localhost. */
static bool comes_from_here(const struct http_head *h, struct str name)
{
	static const char *const names[] = {
		"Content-Length",  "Date",
		"Server",	   "Set-Cookie",
		"Clear-Site-Data", "Strict-Transport-Security",
		"Alt-Svc",
	};
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (str_eq_nocase(name, names[i]))
			return true;
	return (name.n > 15 &&
		str_eq_nocase(str_head(name, 15), "Access-Control-")) ||
	       head_is_hop_by_hop(h, name);
}

static bool is_event_stream(const struct http_head *h)
{
	const struct http_field *type = head_find(h, "Content-Type");
	const size_t n = sizeof(SSE_TYPE) - 1;
	return type && str_eq_nocase(str_head(type->value, n), SSE_TYPE);
}

/* The length that is told for what has no body (HEAD) or a known one. */
static int64_t answer_length(const struct http_head *h)
{
	uint64_t n = 0;
	const struct http_field *f;
	switch (h->framing) {
	case HTTP_LENGTH:
		return (int64_t)h->length;
	case HTTP_NO_BODY:
		f = head_find(h, "Content-Length");
		if (!f)
			return EXCHANGE_CHUNKED;
		return str_to_u64(f->value, &n) && n <= INT64_MAX ? (int64_t)n
								  : 0;
	case HTTP_CHUNKED:
	case HTTP_UNTIL_CLOSE:
		break;
	}
	return EXCHANGE_CHUNKED;
}

static void on_head(void *ctx, const struct http_head *h)
{
	struct proxy *p = ctx;
	bool is_events = is_event_stream(h);
	if (p->fns->on_head)
		p->fns->on_head(p->ctx, h);
	if (exchange_is_started(p->x)) {
		bool is_good = h->status == 200 && is_events;
		p->state = is_good ? PROXY_EVENTS : PROXY_REFUSED;
		p->status = h->status;
		return;
	}
	int64_t length = answer_length(h);
	p->state = is_events && length == EXCHANGE_CHUNKED ? PROXY_EVENTS
							   : PROXY_PASSING;
	for (size_t i = 0; i < h->n_fields; i++) {
		struct http_field f = h->fields[i];
		if (comes_from_here(h, f.name))
			continue;
		char name[128];
		if (f.name.n < sizeof name) {
			*put(name, f.name) = '\0';
			exchange_add(p->x, name, f.value);
		}
	}
	exchange_start(p->x, h->status, length);
}

/* Up to where this consists of whole events; no blank line ends before `from`.
 */
static size_t whole_events(struct str s, size_t from)
{
	for (size_t n = s.n; n > from && n >= 2; n--) {
		if (s.p[n - 1] != '\n')
			continue;
		if (s.p[n - 2] == '\n' ||
		    (n >= 4 && memcmp(s.p + n - 4, "\r\n\r\n", 4) == 0))
			return n;
	}
	return 0;
}

static void pass_events(struct proxy *p, struct str piece)
{
	size_t seen = p->held.n;
	size_t whole = whole_events(piece, 0);
	if (!seen && whole == piece.n) {
		forward(p, piece);
		return;
	}
	/* More than any event needs: pass it on as it is. */
	if (buf_put(&p->held, piece.p, piece.n)) {
		forward(p, buf_str(&p->held));
		forward(p, piece);
		p->is_inside = whole != piece.n;
		buf_release(&p->held);
		return;
	}
	whole = whole_events(buf_str(&p->held), seen);
	if (!whole)
		return;
	forward(p, str_head(buf_str(&p->held), whole));
	p->is_inside = false;
	buf_drop(&p->held, whole);
	if (!p->held.n)
		buf_release(&p->held);
}

static void on_body(void *ctx, struct str piece)
{
	struct proxy *p = ctx;
	if (p->fns->on_piece)
		p->fns->on_piece(p->ctx, piece);
	switch (p->state) {
	case PROXY_PASSING:
		forward(p, piece);
		return;
	case PROXY_EVENTS:
		pass_events(p, piece);
		return;
	case PROXY_REFUSED:
		/* Too long for an error: it will not be JSON when cut. */
		if (buf_put(&p->held, piece.p, piece.n))
			p->held.max = p->held.n;
		return;
	case PROXY_WAITING:
		break;
	}
	abort();
}

/* Ends an event stream with an error. */
static void end_with_error(struct proxy *p, struct str json)
{
	auto_buf struct buf b;
	buf_init(&b, json.n + 64);
	int full = p->is_inside ? buf_puts(&b, "\n\n") : 0;
	full = full || sse_put(&b, json) || buf_puts(&b, SSE_DONE);
	assert(!full);
	forward(p, buf_str(&b));
	exchange_end(p->x);
}

/* The upstream's own error object, in one line, or one that we make. */
static void end_refused(struct proxy *p)
{
	struct err e;
	auto_json *answer = NULL;
	if (json_parse(buf_str(&p->held), &answer, &e) == 0 &&
	    json_is_object(answer) && json_object_get(answer, "error")) {
		auto_free char *line = json_text(answer);
		end_with_error(p, str_of(line));
		return;
	}
	if (p->status == 200)
		err_set(&e, ERR_ENGINE,
			"the engine answered with something other than an "
			"event stream");
	else
		err_set(&e, ERR_ENGINE, "the engine answered with status %d",
			p->status);
	end_with_error(p, p->fns->error_body(p->ctx, &e, exchange_arena(p->x)));
}

static void end_failed(struct proxy *p, const struct err *e)
{
	struct http_exchange *x = p->x;
	exchange_set_fns(x, NULL, NULL);
	switch (p->state) {
	case PROXY_WAITING:
		p->fns->on_fail(p->ctx, x, e);
		return;
	case PROXY_EVENTS:
	case PROXY_REFUSED:
		end_with_error(
			p, p->fns->error_body(p->ctx, e, exchange_arena(x)));
		return;
	case PROXY_PASSING:
		exchange_abort(x);
		return;
	}
	abort();
}

static void on_end(void *ctx, int outcome, const struct err *e)
{
	struct proxy *p = ctx;
	p->call = NULL;
	if (outcome < 0) {
		end_failed(p, e);
	} else if (p->state == PROXY_REFUSED) {
		end_refused(p);
	} else {
		forward(p, buf_str(&p->held));
		exchange_end(p->x);
	}
	over(p, outcome, e);
}

/* ---- the client ---- */

static void on_gone(void *ctx)
{
	struct proxy *p = ctx;
	struct err e;
	http_call_cancel(p->call);
	over(p, err_set(&e, ERR_GONE, "the client left"), &e);
}

static void on_drain(void *ctx)
{
	struct proxy *p = ctx;
	http_call_resume(p->call);
}

void proxy_start(struct http_exchange *x, struct http_pool *to,
		 const struct http_request *ask, const struct proxy_fns *fns,
		 void *ctx)
{
	static const struct http_call_fns call_fns = { on_head, on_body, on_end,
						       NULL };
	static const struct exchange_fns exchange_fns = { on_gone, on_drain };
	struct proxy *p = xcalloc(1, sizeof *p);
	p->x = x;
	p->fns = fns;
	p->ctx = ctx;
	buf_init(&p->held, LIMIT_SMALL_BODY_BYTES);
	exchange_set_fns(x, &exchange_fns, p);
	struct http_request r = *ask;
	r.method = arena_str(exchange_arena(x), exchange_head(x)->method_text);
	r.fields = make_fields(x, ask->fields);
	p->call = http_call_start(to, &r, &call_fns, p);
}
