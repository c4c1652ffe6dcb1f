/* conn.c - the life of one connection: what comes in, and when it ends.
 *
 * Bytes are looked at where they were read; what cannot be used yet (half a
 * head, the next request of a client that pipelines, a body that its handler
 * does not want yet) is kept, and from a certain size on the client is not read
 * any more. The next request is looked at only after the answer to the one
 * before was ended, and never from inside the handler's call that ended it.
 *
 * Has a client left, or has it only nothing more to say? Both look the same, a
 * FIN. nginx and Go take it as gone at once, which breaks clients that
 * half-close (`printf ... | nc -N`); Node waits for a failed write, which may
 * never come while an answer is being prepared. Here:
 *
 *   - FIN inside a head or a body: the request can never be whole: gone.
 *   - FIN after a request: its answer goes on as long as it gives the client
 *     something at least every LIMIT_HALF_CLOSED_MS, or the client has
 *     something to read still. Who has left answers the first write with a
 *     reset, so the second fails; in silence the time limit tells.
 *   - A reset or a failed write: gone. */
#include "http/server_priv.h"

#include <assert.h>

static void set_due(struct conn *c, unsigned ms)
{
	c->due = timer_now_ms(c->server->loop) + ms;
	server_watch(c->server, c->due);
}

static uint64_t taken_by_kernel(const struct conn *c)
{
	return c->written - stream_queued(c->stream);
}

static void destroy(struct conn *c)
{
	struct listener *from = c->from;
	struct http_server *s = c->server;
	void *visitor = c->visitor;
	buf_fini(&c->in);
	free(c->peer);
	free(c);
	if (s->fns->on_close)
		s->fns->on_close(s->ctx, visitor);
	if (from)
		listener_release(from);
}

/* After hold() the connection stays in memory until let_go(), which tells
 * whether it is still open. */
static void hold(struct conn *c)
{
	assert(!c->is_held);
	c->is_held = true;
}

static bool let_go(struct conn *c)
{
	c->is_held = false;
	if (c->state != CONN_DEAD)
		return true;
	destroy(c);
	return false;
}

void conn_close(struct conn *c, bool is_gone)
{
	if (c->state == CONN_DEAD)
		return;
	c->state = CONN_DEAD;
	list_remove(&c->link);
	list_remove(&c->ready_link);
	stream_free(steal(&c->stream));
	struct http_exchange *x = c->x;
	if (x) {
		const struct exchange_fns *fns = x->fns;
		x->fns = NULL;
		if (is_gone && fns && fns->on_gone)
			fns->on_gone(x->fns_ctx);
		exchange_over(x);
	}
	if (!c->is_held)
		destroy(c);
}

int conn_write(struct conn *c, const struct str *parts, size_t n)
{
	if (c->state == CONN_DEAD)
		return 0;
	for (size_t i = 0; i < n; i++)
		c->written += parts[i].n;
	int outcome = stream_write(c->stream, parts, n);
	if (!c->stall_due && stream_queued(c->stream)) {
		c->stall_mark = taken_by_kernel(c);
		c->stall_due = timer_now_ms(c->server->loop) +
			       c->server->limits.write_idle_ms;
		server_watch(c->server, c->stall_due);
	}
	return outcome;
}

/* ---- the end ---- */

/* All was said. Closing a socket with unread bytes in it resets the connection,
 * and that may take the answer from the client: so wait for its FIN. */
static void linger(struct conn *c)
{
	c->state = CONN_LINGER;
	c->due = 0;
	stream_finish(c->stream);
	size_t queued = stream_queued(c->stream); /* on_drain comes for it */
	if (!queued && c->is_fin) {
		conn_close(c, false);
		return;
	}
	if (!queued)
		set_due(c, c->server->limits.linger_ms);
	stream_resume(c->stream);
	c->is_paused = false;
}

bool conn_is_body_long(const struct conn *c)
{
	return c->state == CONN_BODY && c->body_left > LIMIT_UNREAD_BODY_BYTES;
}

static void become_idle(struct conn *c)
{
	c->state = CONN_IDLE;
	set_due(c, c->server->limits.keepalive_ms);
}

void conn_answered(struct conn *c, bool is_last)
{
	if (is_last || conn_is_body_long(c)) {
		linger(c);
		return;
	}
	if (c->state == CONN_BODY) {
		c->state = CONN_SKIP;
		set_due(c, c->server->limits.body_idle_ms);
	} else {
		become_idle(c);
	}
	if (!c->is_held && (c->in.n || c->is_fin || c->is_paused))
		server_run_soon(c->server, c);
}

/* ---- requests ---- */

static void open_exchange(struct conn *c, struct http_exchange *x)
{
	x->conn = c;
	x->started_ns = timer_now_ns();
	c->x = x;
	c->due = 0;
	c->state = CONN_ANSWER;
	c->server->open++;
}

static void refuse_head(struct conn *c, struct http_exchange *x,
			const struct err *e)
{
	struct http_head *h = &x->head;
	memset(h, 0, offsetof(struct http_head, fields));
	h->method_text = h->target = h->host = STR("");
	h->minor = 1;
	open_exchange(c, x);
	exchange_refuse(x, e);
}

/* Moves the head's bytes into the arena, and all that points into them. */
static void keep_head(struct http_exchange *x, const char *from, size_t n)
{
	struct http_head *h = &x->head;
	const char *to = arena_str(&x->arena, (struct str){ from, n });
	struct str *one[] = { &h->method_text, &h->target, &h->host };
	for (size_t i = 0; i < ARRAY_LEN(one); i++)
		if (one[i]->p)
			one[i]->p = to + (one[i]->p - from);
	for (size_t i = 0; i < h->n_fields; i++) {
		struct http_field *f = &h->fields[i];
		f->name.p = to + (f->name.p - from);
		f->value.p = to + (f->value.p - from);
	}
}

static void begin_body(struct conn *c, struct http_exchange *x)
{
	bool is_chunked = x->head.framing == HTTP_CHUNKED;
	c->body_left = is_chunked			? UINT64_MAX
		       : x->head.framing == HTTP_LENGTH ? x->head.length
							: 0;
	chunk_decoder_init(&x->chunks);
	if (!c->body_left)
		return;
	x->expects_continue = x->head.expect_continue;
	c->state = CONN_BODY;
	set_due(c, c->server->limits.body_idle_ms);
}

/* A client that asks on and on without reading the answers has to wait;
 * on_drain comes for it. */
static bool is_clogged(const struct conn *c)
{
	return stream_queued(c->stream) >= LIMIT_STREAM_QUEUE_BYTES;
}

static bool read_head(struct conn *c)
{
	struct http_server *s = c->server;
	if (!c->input.n || is_clogged(c))
		return false;
	struct http_exchange *x = server_take_exchange(s);
	size_t used = 0;
	struct err e;
	int r = head_parse_request(c->input, &x->head, &used, &e);
	if (r == HEAD_MORE) {
		server_put_exchange(s, x);
		/* A lone empty line is what old clients put after a body. */
		if (c->state == CONN_IDLE && !str_eq(c->input, "\r\n")) {
			c->state = CONN_HEAD;
			set_due(c, s->limits.head_ms);
		}
		return false;
	}
	if (r < 0) {
		refuse_head(c, x, &e);
		return true;
	}
	keep_head(x, c->input.p, used);
	c->input = str_tail(c->input, used);
	open_exchange(c, x);
	if (url_parse_target(x->head.target, &x->arena, &x->target, &e) < 0) {
		exchange_refuse(x, &e);
		return true;
	}
	begin_body(c, x);
	s->fns->on_request(s->ctx, x);
	return true;
}

/* The next bytes of the body: CHUNK_DONE if they are the last, else 0. */
static int next_piece(struct conn *c, struct http_exchange *x,
		      struct str *piece, struct err *e)
{
	if (x->head.framing == HTTP_CHUNKED) {
		int r = chunk_decode(&x->chunks, &c->input, piece, e);
		return r == CHUNK_MORE ? 0 : r;
	}
	*piece = str_head(c->input, (size_t)MIN(c->body_left, c->input.n));
	c->input = str_tail(c->input, piece->n);
	c->body_left -= piece->n;
	return c->body_left ? 0 : CHUNK_DONE;
}

static bool refuse_large(struct http_exchange *x)
{
	struct err e;
	err_set(&e, ERR_TOO_LARGE,
		"the request's body is larger than %zu bytes",
		(size_t)x->body_max);
	exchange_refuse(x, &e);
	return true;
}

static void collect(struct http_exchange *x, struct str piece)
{
	struct http_server *s = x->conn->server;
	if (piece.n > s->limits.bodies_bytes - s->bodies_bytes) {
		struct err e;
		err_set(&e, ERR_UNAVAILABLE,
			"too many large requests at the same time; try again "
			"later");
		exchange_refuse(x, &e);
		return;
	}
	int full = buf_put(&x->body, piece.p, piece.n);
	assert(!full);
	s->bodies_bytes += piece.n;
}

static void tell_to_continue(struct conn *c, struct http_exchange *x)
{
	static const struct str go = { "HTTP/1.1 100 Continue\r\n\r\n", 25 };
	if (x->expects_continue && !c->input.n && !x->status)
		conn_write(c, &go, 1);
	x->expects_continue = false;
}

static bool read_body(struct conn *c)
{
	struct http_exchange *x = c->x;
	if (x->mode == BODY_UNDECIDED || x->is_body_paused)
		return false;
	if (x->body_max && x->head.length > x->body_max)
		return refuse_large(x);
	tell_to_continue(c, x);
	if (!c->input.n) {
		set_due(c, c->server->limits.body_idle_ms);
		return false;
	}
	struct str piece;
	struct err e;
	int r = next_piece(c, x, &piece, &e);
	if (r < 0) {
		exchange_refuse(x, &e);
		return true;
	}
	x->body_bytes += piece.n;
	if (x->body_max && x->body_bytes > x->body_max)
		return refuse_large(x);
	if (r == CHUNK_DONE) {
		c->state = CONN_ANSWER;
		c->due = 0;
	}
	if (x->mode == BODY_COLLECT)
		collect(x, piece);
	else if (piece.n)
		x->body_fn(x->body_ctx, piece);
	return true;
}

static bool deliver_end(struct http_exchange *x)
{
	if (x->mode == BODY_UNDECIDED || x->mode == BODY_DELIVERED ||
	    x->is_body_paused)
		return false;
	bool is_whole = x->mode == BODY_COLLECT;
	x->mode = BODY_DELIVERED;
	x->body_fn(x->body_ctx, is_whole ? buf_str(&x->body) : STR(""));
	return true;
}

static bool skip_body(struct conn *c)
{
	size_t n = (size_t)MIN(c->body_left, c->input.n);
	c->input = str_tail(c->input, n);
	c->body_left -= n;
	if (c->body_left)
		return false;
	become_idle(c);
	return true;
}

static bool skip_all(struct conn *c)
{
	c->lingered += c->input.n;
	c->input.n = 0;
	if (c->lingered > LIMIT_LINGER_BYTES)
		conn_close(c, false);
	return false;
}

/* Does the next thing that the input allows; false if there is none. */
static bool step(struct conn *c)
{
	switch (c->state) {
	case CONN_IDLE:
	case CONN_HEAD:
		return read_head(c);
	case CONN_BODY:
		return read_body(c);
	case CONN_ANSWER:
		return deliver_end(c->x);
	case CONN_SKIP:
		return skip_body(c);
	case CONN_LINGER:
		return skip_all(c);
	case CONN_DEAD:
		return false;
	}
	abort();
}

/* ---- the stream's events ---- */

/* After FIN: what can still come of it? */
static void look_at_fin(struct conn *c)
{
	bool waits;
	switch (c->state) {
	case CONN_IDLE:
	case CONN_HEAD:
		if (c->in.n && is_clogged(c))
			return;
		linger(c);
		return;
	case CONN_SKIP:
		linger(c);
		return;
	case CONN_BODY:
		waits = c->x->mode == BODY_UNDECIDED || c->x->is_body_paused;
		if (!waits) {
			conn_close(c, true);
			return;
		}
		break;
	case CONN_ANSWER:
		break;
	case CONN_LINGER:
		if (!stream_queued(c->stream))
			conn_close(c, false);
		return;
	case CONN_DEAD:
		return;
	}
	if (!c->due || c->state == CONN_BODY) {
		c->fin_mark = taken_by_kernel(c);
		set_due(c, c->server->limits.half_closed_ms);
	}
}

/* What was not used is kept, and stops the client if it is much. */
static void keep_input(struct conn *c)
{
	if (c->in.n)
		buf_drop(&c->in, c->in.n - c->input.n);
	else if (c->input.n && buf_put(&c->in, c->input.p, c->input.n))
		assert(!"a paused stream gave more");
	if (!c->in.n)
		buf_release(&c->in);
	bool pause = c->in.n >= LIMIT_PIPELINED_BYTES ||
		     (c->x && c->x->is_body_paused);
	if (pause != c->is_paused)
		(pause ? stream_pause : stream_resume)(c->stream);
	c->is_paused = pause;
}

static void run(struct conn *c)
{
	hold(c);
	while (step(c))
		;
	if (c->state != CONN_DEAD)
		keep_input(c);
	if (c->is_fin)
		look_at_fin(c);
	let_go(c);
}

void conn_run(struct conn *c)
{
	c->input = buf_str(&c->in);
	run(c);
}

static void on_data(void *ctx, struct str data)
{
	struct conn *c = ctx;
	c->input = data;
	if (c->state == CONN_LINGER)
		buf_release(&c->in);
	if (c->in.n) {
		int full = buf_put(&c->in, data.p, data.n);
		assert(!full);
		c->input = buf_str(&c->in);
	}
	run(c);
}

static void on_end(void *ctx)
{
	struct conn *c = ctx;
	c->is_fin = true;
	conn_run(c);
}

static void on_drain(void *ctx)
{
	struct conn *c = ctx;
	c->stall_due = 0;
	if (c->state == CONN_LINGER) {
		if (c->is_fin)
			conn_close(c, false);
		else
			set_due(c, c->server->limits.linger_ms);
	} else if (c->x && c->x->fns && c->x->fns->on_drain) {
		c->x->fns->on_drain(c->x->fns_ctx);
	} else if (!c->x) {
		conn_run(c);
	}
}

static void on_fail(void *ctx, const struct err *e)
{
	(void)e; /* clients may leave as they like */
	conn_close(ctx, true);
}

void conn_new(struct http_server *s, struct stream *stream, void *visitor,
	      struct listener *from)
{
	static const struct stream_fns fns = { on_data, on_end, on_drain,
					       on_fail };
	struct conn *c = xcalloc(1, sizeof *c);
	c->server = s;
	c->stream = stream;
	c->visitor = visitor;
	c->from = from;
	buf_init(&c->in, LIMIT_PIPELINED_BYTES + LIMIT_READ_BYTES);
	list_push_back(&s->conns, &c->link);
	list_init(&c->ready_link);
	if (s->is_draining) {
		conn_close(c, false);
		return;
	}
	become_idle(c);
	stream_set_fns(stream, &fns, c);
	stream_resume(stream);
}

/* ---- the clock ---- */

static bool is_stalled(struct conn *c, uint64_t now)
{
	if (!c->stall_due || now < c->stall_due)
		return false;
	uint64_t taken = taken_by_kernel(c);
	bool is_waiting = stream_queued(c->stream) > 0;
	if (is_waiting && taken == c->stall_mark)
		return true;
	c->stall_mark = taken;
	c->stall_due = is_waiting ? now + c->server->limits.write_idle_ms : 0;
	return false;
}

static void time_out(struct conn *c, const char *what, unsigned ms)
{
	struct err e;
	err_set(&e, ERR_TIMEOUT, "%s did not come within %u s", what,
		(ms + 999) / 1000);
	if (c->x)
		exchange_refuse(c->x, &e);
	else
		refuse_head(c, server_take_exchange(c->server), &e);
}

static void expire(struct conn *c)
{
	const struct http_limits *l = &c->server->limits;
	bool waits = c->x && (c->x->mode == BODY_UNDECIDED ||
			      c->x->is_body_paused || c->state == CONN_ANSWER);
	if (c->x && c->is_fin && !stream_queued(c->stream) &&
	    taken_by_kernel(c) == c->fin_mark) {
		conn_close(c, true);
	} else if (c->x && c->is_fin) {
		c->fin_mark = taken_by_kernel(c);
		set_due(c, l->half_closed_ms);
	} else if (waits) {
		set_due(c, l->body_idle_ms); /* for us, not for the client */
	} else if (c->state == CONN_HEAD) {
		time_out(c, "the request's head", l->head_ms);
	} else if (c->state == CONN_BODY) {
		time_out(c, "more of the request's body", l->body_idle_ms);
	} else if (stream_queued(c->stream)) {
		set_due(c, l->keepalive_ms); /* it still reads its answer */
	} else {
		conn_close(c, false);
	}
}

uint64_t conn_check(struct conn *c, uint64_t now)
{
	hold(c);
	if (is_stalled(c, now))
		conn_close(c, true);
	else if (c->due && now >= c->due)
		expire(c);
	if (!let_go(c))
		return 0;
	if (!c->due || !c->stall_due)
		return MAX(c->due, c->stall_due);
	return MIN(c->due, c->stall_due);
}
