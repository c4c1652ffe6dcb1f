/* exchange.c - one request as its handler sees it, and the answer going out. */
#include "http/server_priv.h"

#include <assert.h>

/* ---- the request ---- */

const struct http_head *exchange_head(const struct http_exchange *x)
{
	return &x->head;
}

const struct url_target *exchange_target(const struct http_exchange *x)
{
	return &x->target;
}

struct arena *exchange_arena(struct http_exchange *x)
{
	return &x->arena;
}

void *exchange_visitor(const struct http_exchange *x)
{
	return x->conn->visitor;
}

const struct stream_peer *exchange_peer(struct http_exchange *x)
{
	struct conn *c = x->conn;
	if (!c->peer) {
		c->peer = xcalloc(1, sizeof *c->peer);
		if (c->stream)
			stream_get_peer(c->stream, c->peer);
	}
	return c->peer;
}

uint64_t exchange_started_ns(const struct http_exchange *x)
{
	return x->started_ns;
}

void exchange_set_user(struct http_exchange *x, void *user)
{
	x->user = user;
}

void *exchange_user(const struct http_exchange *x)
{
	return x->user;
}

void exchange_set_fns(struct http_exchange *x, const struct exchange_fns *fns,
		      void *ctx)
{
	x->fns = fns;
	x->fns_ctx = ctx;
}

static void want_body(struct http_exchange *x, enum body_mode mode,
		      uint64_t max, exchange_body_fn fn, void *ctx)
{
	assert(x->mode == BODY_UNDECIDED);
	x->mode = mode;
	x->body_max = max;
	x->body_fn = fn;
	x->body_ctx = ctx;
	buf_init(&x->body, (size_t)max);
	if (!x->conn->is_held)
		server_run_soon(x->conn->server, x->conn);
}

void exchange_collect(struct http_exchange *x, size_t max_bytes,
		      exchange_body_fn fn, void *ctx)
{
	assert(max_bytes > 0);
	want_body(x, BODY_COLLECT, max_bytes, fn, ctx);
}

void exchange_take_body(struct http_exchange *x, struct buf *out)
{
	assert(x->mode == BODY_DELIVERED);
	*out = x->body;
	/* What it counts for stays in body.n. */
	x->body.p = NULL;
	x->body.cap = 0;
}

void exchange_stream(struct http_exchange *x, uint64_t max_bytes,
		     exchange_body_fn fn, void *ctx)
{
	want_body(x, BODY_STREAM, max_bytes, fn, ctx);
}

void exchange_body_pause(struct http_exchange *x)
{
	struct conn *c = x->conn;
	x->is_body_paused = true;
	if (c->is_held || c->is_paused)
		return;
	c->is_paused = true;
	stream_pause(c->stream);
}

void exchange_body_resume(struct http_exchange *x)
{
	x->is_body_paused = false;
	if (!x->conn->is_held)
		server_run_soon(x->conn->server, x->conn);
}

/* ---- the answer ---- */

static void put(struct buf *b, struct str s)
{
	int full = buf_put(b, s.p, s.n);
	assert(!full); /* heads of answers are bounded by those who write them
			*/
}

static void put_field(struct buf *b, struct str name, struct str value)
{
	put(b, name);
	put(b, STR(": "));
	put(b, value);
	put(b, STR("\r\n"));
}

static void put_number(struct buf *b, uint64_t n)
{
	char digits[20];
	char *p = digits + sizeof digits;
	do {
		*--p = (char)('0' + n % 10);
		n /= 10;
	} while (n);
	put(b, (struct str){ p, (size_t)(digits + sizeof digits - p) });
}

void exchange_add(struct http_exchange *x, const char *name, struct str value)
{
	assert(!x->status);
	assert(value.n == 0 || (!memchr(value.p, '\r', value.n) &&
				!memchr(value.p, '\n', value.n)));
	put_field(&x->fields, str_of(name), value);
}

static bool is_last(const struct http_exchange *x)
{
	const struct conn *c = x->conn;
	/* Who waits for our word may never send a body that we do not want. */
	bool unread = x->mode == BODY_UNDECIDED && c->state == CONN_BODY &&
		      (x->expects_continue || conn_is_body_long(c));
	return !x->head.keep_alive || c->server->is_draining || unread ||
	       x->is_unframed;
}

/* The head of the answer, but for its end and the handler's fields. */
static struct str make_head(struct http_exchange *x, int64_t length)
{
	struct http_server *s = x->conn->server;
	struct buf *b = &s->head;
	buf_clear(b);
	put(b, STR("HTTP/1.1 "));
	put_number(b, (uint64_t)x->status);
	put(b, STR(" "));
	put(b, str_of(head_reason(x->status)));
	put(b, STR("\r\n"));
	put(b, server_date(s));
	if (x->is_last)
		put(b, STR("Connection: close\r\n"));
	else if (x->head.minor == 0)
		put(b, STR("Connection: keep-alive\r\n"));
	if (x->status == 204 || x->status == 304 || x->is_unframed)
		return buf_str(b);
	if (x->is_chunked) {
		put(b, STR("Transfer-Encoding: chunked\r\n"));
	} else {
		put(b, STR("Content-Length: "));
		put_number(b, (uint64_t)length);
		put(b, STR("\r\n"));
	}
	return buf_str(b);
}

static void start(struct http_exchange *x, int status, int64_t length,
		  struct str body)
{
	assert(!x->status && status >= 200 && status <= 599);
	x->status = status;
	x->is_chunked = length < 0 && x->head.minor == 1;
	x->is_unframed = length < 0 && x->head.minor == 0;
	x->is_bodyless =
		x->head.method == HTTP_HEAD || status == 204 || status == 304;
	x->is_last |= is_last(x);
	struct str head = make_head(x, length);
	if (x->is_bodyless)
		body.n = 0;
	x->left = length < 0 || x->is_bodyless ? 0 : (uint64_t)length - body.n;
	x->sent_bytes += body.n;
	struct str parts[] = { head, buf_str(&x->fields), STR("\r\n"), body };
	conn_write(x->conn, parts, ARRAY_LEN(parts));
}

void exchange_start(struct http_exchange *x, int status, int64_t length)
{
	start(x, status, length, STR(""));
}

bool exchange_is_started(const struct http_exchange *x)
{
	return x->status != 0;
}

int exchange_write(struct http_exchange *x, struct str piece)
{
	assert(x->status);
	if (x->is_bodyless || piece.n == 0)
		return 0;
	x->sent_bytes += piece.n;
	if (x->is_chunked) {
		char line[CHUNK_HEAD_BYTES];
		struct str parts[] = { chunk_head(piece.n, line), piece,
				       STR(CHUNK_TAIL) };
		return conn_write(x->conn, parts, ARRAY_LEN(parts));
	}
	if (!x->is_unframed) {
		assert(piece.n <= x->left);
		x->left -= piece.n;
	}
	return conn_write(x->conn, &piece, 1);
}

void exchange_end(struct http_exchange *x)
{
	struct conn *c = x->conn;
	bool last = x->is_last;
	assert(x->status && !x->left);
	if (x->is_chunked && !x->is_bodyless) {
		static const struct str end = { CHUNK_LAST,
						sizeof(CHUNK_LAST) - 1 };
		conn_write(c, &end, 1);
	}
	exchange_over(x);
	conn_answered(c, last);
}

void exchange_reply(struct http_exchange *x, int status, const char *type,
		    struct str body)
{
	if (type)
		exchange_add(x, "Content-Type", str_of(type));
	start(x, status, (int64_t)body.n, body);
	exchange_end(x);
}

void exchange_abort(struct http_exchange *x)
{
	/* A plain close would look like the end of such an answer. */
	if (x->is_unframed && x->conn->stream)
		stream_break(x->conn->stream);
	conn_close(x->conn, false);
}

void exchange_over(struct http_exchange *x)
{
	struct conn *c = x->conn;
	struct http_server *s = c->server;
	c->x = NULL;
	s->open--;
	if (s->fns->on_over)
		s->fns->on_over(s->ctx, x, x->status, x->sent_bytes);
	server_put_exchange(s, x);
}

void exchange_refuse(struct http_exchange *x, const struct err *e)
{
	struct conn *c = x->conn;
	const struct exchange_fns *fns = x->fns;
	x->fns = NULL;
	if (fns && fns->on_gone)
		fns->on_gone(x->fns_ctx);
	if (c->state == CONN_DEAD)
		return;
	if (x->status) {
		conn_close(c, false);
		return;
	}
	x->is_last = true;
	struct http_server *s = c->server;
	struct str body = s->fns->error_body(s->ctx, e, &x->arena);
	exchange_reply(x, err_http_status(e->code), "application/json", body);
}
