/* client.c - calls, and the connections that they go over.
 *
 * A connection (`struct line`) belongs to a call or lies idle in its pool, most
 * recently used first. Its stream is read all the time: that an upstream closed
 * an idle connection is seen at once, as is one that talks unasked. */
#include "http/client.h"
#include "base/buf.h"
#include "base/list.h"
#include "base/log.h"
#include "http/chunk.h"
#include "io/timer.h"
#include "io/tls.h"

#include <assert.h>
#include <stdio.h>

/* The clock does not tick faster than this. */
#define CLOCK_MIN_MS 10
/* The pool keeps no more than this for making heads. */
#define SPARE_HEAD_BYTES 8192

struct http_pool {
	struct uv_loop_s *loop;
	char *address;
	struct tls *tls;  /* owned; NULL: without */
	char *host;	  /* owned; that its certificate must be for */
	struct list idle; /* line.link, most recently used first */
	size_t n_idle;
	struct list calls; /* http_call.link */
	struct list soon;  /* http_call.soon_link */
	struct timer clock;
	uint64_t clock_due;
	struct timer soon_timer;
	struct buf head; /* of the request being written */
};

struct line {
	struct http_pool *pool;
	struct list link;
	struct stream *stream;	/* owned */
	struct http_call *call; /* NULL: idle */
	uint64_t idle_since;
};

enum call_state {
	CALL_CONNECT, /* the connection is not open yet */
	CALL_HEAD,    /* waits for the answer's head */
	CALL_BODY,
	CALL_OVER,	/* on_end is to be told */
	CALL_CANCELLED, /* nothing is to be told */
};

struct http_call {
	struct http_pool *pool;
	struct list link;
	struct list soon_link;
	struct line *line; /* owned; NULL before and after */
	const struct http_call_fns *fns;
	void *ctx;
	enum call_state state;
	bool is_held;	 /* on_data() below us will look at us again */
	bool is_reused;	 /* goes over a connection that was idle */
	bool has_answer; /* a byte of it came */
	enum http_method method;
	struct str head;	/* owned; kept for a second try */
	struct str body;	/* borrowed */
	unsigned first_byte_ms; /* 0: no limit */
	uint64_t due;		/* for a connection or the first byte, or 0 */
	/* A streamed request body. */
	bool is_streamed;
	bool is_sent; /* the whole request is */
	bool is_chunked;
	uint64_t unsent;
	/* The answer. */
	struct str input; /* while held: not looked at yet */
	struct buf in;	  /* a part of a head */
	enum http_framing framing;
	struct chunk_decoder chunks;
	uint64_t left;
	bool keep_alive;
	int outcome;
	struct err err;
};

/* ---- the pool's clock ---- */

static void watch(struct http_pool *p, uint64_t due)
{
	uint64_t now = timer_now_ms(p->loop);
	due = MAX(due, now + CLOCK_MIN_MS);
	if (p->clock_due && p->clock_due <= due)
		return;
	p->clock_due = due;
	timer_start(&p->clock, due - now);
}

static void set_due(struct http_call *c, unsigned ms)
{
	c->due = ms ? timer_now_ms(c->pool->loop) + ms : 0;
	if (c->due)
		watch(c->pool, c->due);
}

/* ---- connections ---- */

static void line_free(struct line *l)
{
	if (!l)
		return;
	list_remove(&l->link);
	stream_free(l->stream);
	free(l);
}

static void drop_idle(struct line *l)
{
	l->pool->n_idle--;
	line_free(l);
}

static void give_back(struct line *l)
{
	struct http_pool *p = l->pool;
	l->call = NULL;
	l->idle_since = timer_now_ms(p->loop);
	list_push_front(&p->idle, &l->link);
	if (++p->n_idle > LIMIT_POOL_IDLE)
		drop_idle(container_of(p->idle.prev, struct line, link));
	stream_resume(l->stream); /* its call may have paused it */
	watch(p, l->idle_since + LIMIT_POOL_IDLE_MS);
}

/* ---- the end of a call ---- */

static void forget(struct http_call *c)
{
	list_remove(&c->link);
	list_remove(&c->soon_link);
	line_free(steal(&c->line));
}

static void destroy(struct http_call *c)
{
	base_freep(&c->head.p);
	buf_fini(&c->in);
	free(c);
}

/* Tells on_end; the caller touches nothing after. */
static void end(struct http_call *c)
{
	forget(c);
	struct err e = c->err;
	int outcome = c->outcome;
	const struct http_call_fns *fns = c->fns;
	void *ctx = c->ctx;
	destroy(c);
	fns->on_end(ctx, outcome, outcome < 0 ? &e : NULL);
}

static void fail(struct http_call *c, enum err_code code, const char *why)
{
	c->state = CALL_OVER;
	c->outcome = err_set(&c->err, code, "%s", why);
	if (!c->is_held)
		end(c);
}

void http_call_cancel(struct http_call *c)
{
	c->state = CALL_CANCELLED;
	forget(c);
	if (!c->is_held)
		destroy(c);
}

/* ---- requests ---- */

static void put(struct buf *b, struct str s)
{
	int full = buf_put(b, s.p, s.n);
	assert(!full);
}

static void put_length(struct buf *b, uint64_t n)
{
	int full = buf_printf(b, "Content-Length: %llu\r\n",
			      (unsigned long long)n);
	assert(!full);
}

static void make_head(struct http_call *c, const struct http_request *r)
{
	struct buf *b = &c->pool->head;
	buf_clear(b);
	put(b, str_of(r->method));
	put(b, STR(" "));
	put(b, r->path);
	put(b, STR(" HTTP/1.1\r\nHost: "));
	put(b, str_of(r->host));
	put(b, STR("\r\n"));
	put(b, r->fields);
	if (c->is_chunked)
		put(b, STR("Transfer-Encoding: chunked\r\n"));
	else if (c->is_streamed)
		put_length(b, c->unsent);
	else if (r->body.n || c->method == HTTP_POST || c->method == HTTP_PUT)
		put_length(b, r->body.n);
	put(b, STR("\r\n"));
}

static void send_request(struct http_call *c, struct str head)
{
	struct str parts[] = { head, c->body };
	stream_write(c->line->stream, parts, ARRAY_LEN(parts));
}

static const struct stream_fns line_fns;
static void on_open(void *ctx);

/* Asks for a new connection; -1 with the call's error set. */
static int dial(struct http_call *c)
{
	struct http_pool *p = c->pool;
	struct line *l = xcalloc(1, sizeof *l);
	list_init(&l->link);
	l->pool = p;
	l->call = c;
	if (stream_connect(p->loop, p->address, &line_fns, l, on_open,
			   &l->stream, &c->err) < 0) {
		line_free(l);
		return -1;
	}
	if (p->tls)
		tls_start(p->tls, l->stream, p->host);
	c->line = l;
	c->state = CALL_CONNECT;
	c->is_reused = false;
	stream_resume(l->stream);
	set_due(c, LIMIT_CONNECT_MS);
	return 0;
}

static void run_soon(struct http_call *c)
{
	struct http_pool *p = c->pool;
	list_push_back(&p->soon, &c->soon_link);
	if (!timer_is_active(&p->soon_timer))
		timer_start(&p->soon_timer, 0);
}

static void take_idle(struct http_call *c)
{
	struct http_pool *p = c->pool;
	c->line = container_of(list_pop_front(&p->idle), struct line, link);
	c->line->call = c;
	p->n_idle--;
	c->state = CALL_HEAD;
	c->is_reused = true;
	/* The upstream may be closing it right now. */
	if (!c->is_streamed)
		c->head = (struct str){ xstrndup(p->head.p, p->head.n),
					p->head.n };
	set_due(c, c->first_byte_ms);
	if (c->is_streamed)
		run_soon(c);
}

static enum http_method method_of(const char *name)
{
	for (enum http_method m = HTTP_GET; m <= HTTP_PATCH; m++)
		if (strcmp(name, head_method_name(m)) == 0)
			return m;
	return HTTP_OTHER;
}

struct http_call *http_call_start(struct http_pool *p,
				  const struct http_request *r,
				  const struct http_call_fns *fns, void *ctx)
{
	struct http_call *c = xcalloc(1, sizeof *c);
	c->pool = p;
	c->fns = fns;
	c->ctx = ctx;
	c->method = method_of(r->method);
	c->body = r->body;
	c->first_byte_ms = r->first_byte_limit_ms;
	c->is_streamed = r->body_is_streamed;
	c->is_chunked = r->body_is_streamed && r->body_length < 0;
	c->unsent = c->is_streamed ? (uint64_t)r->body_length : 0;
	c->is_sent = !c->is_streamed;
	buf_init(&c->in, LIMIT_HEAD_BYTES + LIMIT_READ_BYTES);
	list_init(&c->soon_link);
	list_push_back(&p->calls, &c->link);
	make_head(c, r);
	if (!list_is_empty(&p->idle)) {
		take_idle(c);
	} else if (dial(c) < 0) {
		c->state = CALL_OVER;
		c->outcome = -1;
		run_soon(c);
		return c;
	}
	send_request(c, buf_str(&p->head));
	if (p->head.cap > SPARE_HEAD_BYTES)
		buf_release(&p->head);
	return c;
}

int http_call_write(struct http_call *c, struct str piece)
{
	if (!piece.n)
		return 0;
	if (c->is_chunked) {
		char line[CHUNK_HEAD_BYTES];
		struct str parts[] = { chunk_head(piece.n, line), piece,
				       STR(CHUNK_TAIL) };
		return stream_write(c->line->stream, parts, ARRAY_LEN(parts));
	}
	assert(piece.n <= c->unsent);
	c->unsent -= piece.n;
	return stream_write(c->line->stream, &piece, 1);
}

void http_call_finish(struct http_call *c)
{
	static const struct str last = { CHUNK_LAST, sizeof(CHUNK_LAST) - 1 };
	assert(c->is_chunked || !c->unsent);
	c->is_sent = true;
	if (c->is_chunked)
		stream_write(c->line->stream, &last, 1);
}

void http_call_pause(struct http_call *c)
{
	if (c->line)
		stream_pause(c->line->stream);
}

void http_call_resume(struct http_call *c)
{
	if (c->line)
		stream_resume(c->line->stream);
}

/* ---- answers ---- */

/* The answer is whole: may its connection serve another call? */
static bool complete(struct http_call *c)
{
	bool is_clean = c->keep_alive && c->is_sent && !c->input.n &&
			!stream_queued(c->line->stream);
	c->state = CALL_OVER;
	if (is_clean)
		give_back(steal(&c->line));
	return false;
}

static bool read_head(struct http_call *c)
{
	struct http_head h;
	struct err e;
	size_t used;
	int r = head_parse_response(c->input, c->method, &h, &used, &e);
	if (r == HEAD_MORE)
		return false;
	if (r == 0 && h.status == 101)
		r = err_set(&e, ERR_ENGINE, "it changes the protocol unasked");
	if (r < 0) {
		err_wrap(&e, "the engine's answer");
		fail(c, ERR_ENGINE, e.msg);
		return false;
	}
	c->input = str_tail(c->input, used);
	if (h.status < 200)
		return true;
	c->state = CALL_BODY;
	c->framing = h.framing;
	c->left = h.length;
	c->keep_alive = h.keep_alive;
	chunk_decoder_init(&c->chunks);
	c->fns->on_head(c->ctx, &h);
	if (c->state != CALL_BODY)
		return false;
	bool is_empty = h.framing == HTTP_NO_BODY ||
			(h.framing == HTTP_LENGTH && !h.length);
	return is_empty ? complete(c) : true;
}

static bool read_body(struct http_call *c)
{
	struct str piece = c->input;
	struct err e;
	bool is_last = false;
	if (!c->input.n)
		return false;
	if (c->framing == HTTP_CHUNKED) {
		int r = chunk_decode(&c->chunks, &c->input, &piece, &e);
		if (r < 0) {
			err_wrap(&e, "the engine's answer");
			fail(c, ERR_ENGINE, e.msg);
			return false;
		}
		is_last = r == CHUNK_DONE;
	} else {
		if (c->framing == HTTP_LENGTH)
			piece = str_head(piece, (size_t)MIN(c->left, piece.n));
		c->left -= piece.n;
		is_last = c->framing == HTTP_LENGTH && !c->left;
		c->input = str_tail(c->input, piece.n);
	}
	if (piece.n)
		c->fns->on_body(c->ctx, piece);
	if (c->state != CALL_BODY)
		return false;
	return is_last ? complete(c) : true;
}

static bool step(struct http_call *c)
{
	switch (c->state) {
	case CALL_CONNECT: /* no data comes before it is open */
	case CALL_HEAD:
		return read_head(c);
	case CALL_BODY:
		return read_body(c);
	case CALL_OVER:
	case CALL_CANCELLED:
		return false;
	}
	abort();
}

static void keep_input(struct http_call *c)
{
	if (c->in.n)
		buf_drop(&c->in, c->in.n - c->input.n);
	else if (c->input.n && buf_put(&c->in, c->input.p, c->input.n))
		assert(!"a head is bounded by its parser");
	if (!c->in.n)
		buf_release(&c->in);
}

static void on_data(void *ctx, struct str data)
{
	struct line *l = ctx;
	struct http_call *c = l->call;
	if (!c) {
		drop_idle(l); /* it talks out of turn */
		return;
	}
	c->has_answer = true;
	c->due = 0;
	c->input = data;
	if (c->in.n) {
		put(&c->in, data);
		c->input = buf_str(&c->in);
	}
	c->is_held = true;
	while (step(c))
		;
	c->is_held = false;
	if (c->state == CALL_CANCELLED)
		destroy(c);
	else if (c->state == CALL_OVER)
		end(c);
	else
		keep_input(c);
}

/* ---- what else happens to a connection ---- */

static void on_open(void *ctx)
{
	struct http_call *c = ((struct line *)ctx)->call;
	c->state = CALL_HEAD;
	set_due(c, c->first_byte_ms);
	if (c->is_streamed)
		c->fns->on_want_body(c->ctx);
}

static void on_drain(void *ctx)
{
	struct http_call *c = ((struct line *)ctx)->call;
	if (c && !c->is_sent)
		c->fns->on_want_body(c->ctx);
}

/* An upstream closes idle connections when it likes, also while we write. */
static bool try_again(struct http_call *c)
{
	if (!c->is_reused || c->has_answer || c->is_streamed)
		return false;
	line_free(steal(&c->line));
	if (dial(c) < 0)
		return false;
	send_request(c, c->head);
	return true;
}

static void on_end(void *ctx)
{
	struct line *l = ctx;
	struct http_call *c = l->call;
	if (!c) {
		drop_idle(l);
	} else if (c->state == CALL_BODY) {
		if (c->framing != HTTP_UNTIL_CLOSE) {
			fail(c, ERR_ENGINE,
			     "the engine closed the connection in the middle "
			     "of its answer");
			return;
		}
		c->state = CALL_OVER;
		end(c);
	} else if (!try_again(c)) {
		fail(c, ERR_ENGINE,
		     c->has_answer ? "the engine closed the connection in the "
				     "middle of its answer's head"
				   : "the engine closed the connection without "
				     "an answer");
	}
}

static void on_fail(void *ctx, const struct err *e)
{
	struct line *l = ctx;
	struct http_call *c = l->call;
	if (!c) {
		drop_idle(l);
		return;
	}
	/* The address may be a path, which is not for the client's eyes. */
	struct str msg = str_of(e->msg);
	ptrdiff_t colon = str_find_last(msg, ':');
	char why[200];
	log_debug("%s", e->msg);
	if (colon >= 0)
		msg = str_trim(str_tail(msg, (size_t)colon + 1));
	if (c->state == CALL_CONNECT && e->code == ERR_TLS) {
		snprintf(why, sizeof why, "no TLS with the engine: %.*s",
			 STR_ARG(msg));
		fail(c, ERR_TLS, why);
		return;
	}
	if (c->state == CALL_CONNECT) {
		snprintf(why, sizeof why,
			 "the engine takes no connections: %.*s", STR_ARG(msg));
	} else if (c->state == CALL_BODY || c->has_answer) {
		snprintf(why, sizeof why,
			 "the engine broke off in the middle of its answer: "
			 "%.*s",
			 STR_ARG(msg));
	} else {
		if (try_again(c))
			return;
		snprintf(why, sizeof why,
			 "the engine broke off without an answer: %.*s",
			 STR_ARG(msg));
	}
	fail(c, c->state == CALL_CONNECT ? ERR_REFUSED : ERR_ENGINE, why);
}

static const struct stream_fns line_fns = { on_data, on_end, on_drain,
					    on_fail };

/* ---- the pool ---- */

static void on_soon(void *ctx)
{
	struct http_pool *p = ctx;
	struct list *link = list_pop_front(&p->soon);
	if (!link)
		return;
	if (!list_is_empty(&p->soon))
		timer_start(&p->soon_timer, 0);
	struct http_call *c = container_of(link, struct http_call, soon_link);
	if (c->state == CALL_OVER)
		end(c);
	else
		c->fns->on_want_body(c->ctx);
}

/* Ends at most one call, as its last act: that may free the pool. */
static void on_clock(void *ctx)
{
	struct http_pool *p = ctx;
	uint64_t now = timer_now_ms(p->loop);
	struct http_call *late = NULL;
	uint64_t next = UINT64_MAX;
	p->clock_due = 0;
	while (!list_is_empty(&p->idle)) {
		struct line *l = container_of(p->idle.prev, struct line, link);
		uint64_t due = l->idle_since + LIMIT_POOL_IDLE_MS;
		next = MIN(next, MAX(due, now));
		if (due > now)
			break;
		drop_idle(l);
	}
	list_each (link, &p->calls) {
		struct http_call *c =
			container_of(link, struct http_call, link);
		if (c->due && c->due <= now && !late)
			late = c;
		else if (c->due)
			next = MIN(next, c->due);
	}
	if (next != UINT64_MAX)
		watch(p, next);
	if (!late)
		return;
	fail(late, ERR_ENGINE_SLOW,
	     late->state == CALL_CONNECT
		     ? "the engine did not take the connection in time"
		     : "the engine did not begin to answer in time");
}

struct http_pool *http_pool_new(struct uv_loop_s *loop, const char *address)
{
	struct http_pool *p = xcalloc(1, sizeof *p);
	p->loop = loop;
	p->address = xstrdup(address);
	list_init(&p->idle);
	list_init(&p->calls);
	list_init(&p->soon);
	timer_init(&p->clock, loop, on_clock, p);
	timer_init(&p->soon_timer, loop, on_soon, p);
	buf_init(&p->head, SIZE_MAX / 2);
	return p;
}

void http_pool_use_tls(struct http_pool *p, struct tls *tls)
{
	/* Checked by stream_connect(): "host:port" or "[host]:port". */
	struct str host = str_of(p->address);
	ptrdiff_t colon = str_find_last(host, ':');
	host = str_head(host, colon < 0 ? host.n : (size_t)colon);
	if (str_starts(host, "[") && str_ends(host, "]"))
		host = (struct str){ host.p + 1, host.n - 2 };
	p->tls = tls;
	p->host = str_dup(host);
}

void http_pool_free(struct http_pool *p)
{
	if (!p)
		return;
	while (!list_is_empty(&p->calls))
		http_call_cancel(
			container_of(p->calls.next, struct http_call, link));
	while (!list_is_empty(&p->idle))
		drop_idle(container_of(p->idle.next, struct line, link));
	timer_fini(&p->clock);
	timer_fini(&p->soon_timer);
	buf_fini(&p->head);
	tls_free(p->tls);
	free(p->host);
	free(p->address);
	free(p);
}
