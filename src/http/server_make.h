/* server_make.h - for tests: a server with a small application behind it, and a
 * raw client in front. The path says what is done: /fixed /pieces /empty /large
 * /cut /cut-pieces answer at once; /echo and /count read the body; any other is
 * held in place.x for the test to answer. */
#pragma once
#include "http/server.h"
#include "http/wire_make.h"
#include "io/timer.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

/* What a handler needs to stay small here. */
#define BODY_MAX 1000
#define LARGE_BYTES 10000

struct place {
	uv_loop_t loop;
	struct http_server *server;
	struct listener *l;
	char dir[32];
	char path[64];
	struct wire w;
	struct http_exchange *x; /* of "/held" */
	size_t requests;
	bool is_gone;
	bool is_drained;
	int over_status;
	size_t overs;
	uint64_t over_bytes;
	size_t taken, closes; /* connections */
	size_t body_bytes, body_pieces;
	bool is_body_over;
};

/* ---- a small application ---- */

static inline void on_gone(void *ctx)
{
	struct place *p = ctx;
	p->is_gone = true;
	p->x = NULL;
}

static inline void on_drain(void *ctx)
{
	((struct place *)ctx)->is_drained = true;
}

static inline void echo(void *ctx, struct str body)
{
	struct place *p = ctx;
	exchange_reply(steal(&p->x), 200, "text/plain", body);
}

static inline void count(void *ctx, struct str piece)
{
	struct place *p = ctx;
	p->body_bytes += piece.n;
	p->body_pieces++;
	p->is_body_over = piece.n == 0;
	if (p->is_body_over)
		exchange_reply(steal(&p->x), 200, "text/plain", STR("counted"));
	else if (p->body_pieces == 1)
		exchange_body_pause(p->x);
}

static inline void on_request(void *ctx, struct http_exchange *x)
{
	static const struct exchange_fns fns = { on_gone, on_drain };
	struct place *p = ctx;
	struct str path = exchange_target(x)->path;
	p->requests++;
	p->is_gone = false;
	if (str_eq(path, "/fixed")) {
		exchange_add(x, "X-Name", STR("value"));
		exchange_reply(x, 200, "text/plain", STR("hello\n"));
	} else if (str_eq(path, "/pieces")) {
		exchange_start(x, 200, EXCHANGE_CHUNKED);
		assert_int_equal(exchange_write(x, STR("first ")), 0);
		assert_int_equal(exchange_write(x, STR("")), 0);
		assert_int_equal(exchange_write(x, STR("second")), 0);
		exchange_end(x);
	} else if (str_eq(path, "/empty")) {
		exchange_reply(x, 204, NULL, STR(""));
	} else if (str_eq(path, "/large")) {
		static const char large[LARGE_BYTES] = "large";
		exchange_reply(x, 200, NULL,
			       (struct str){ large, sizeof large });
	} else if (str_eq(path, "/cut-pieces")) {
		exchange_start(x, 200, EXCHANGE_CHUNKED);
		exchange_abort(x);
	} else if (str_eq(path, "/cut")) {
		exchange_start(x, 200, 100);
		assert_int_equal(exchange_write(x, STR("half")), 0);
		exchange_abort(x);
	} else {
		p->x = x;
		exchange_set_fns(x, &fns, p);
		if (str_eq(path, "/echo"))
			exchange_collect(x, BODY_MAX, echo, p);
		else if (str_eq(path, "/count"))
			exchange_stream(x, BODY_MAX, count, p);
	}
}

static inline struct str error_body(void *ctx, const struct err *e,
				    struct arena *a)
{
	(void)ctx;
	return str_of(arena_printf(a, "{\"error\":\"%s\"}", e->msg));
}

static inline void on_over(void *ctx, struct http_exchange *x, int status,
			   uint64_t sent)
{
	struct place *p = ctx;
	assert_non_null(exchange_head(x)->method_text.p);
	p->overs++;
	p->over_status = status;
	p->over_bytes = sent;
}

static inline void on_close(void *ctx, void *visitor)
{
	struct place *p = ctx;
	assert_ptr_equal(visitor, p);
	assert_true(++p->closes <= p->taken);
}

static inline void on_accept(void *ctx, struct stream *s)
{
	struct place *p = ctx;
	p->taken++;
	http_server_take(p->server, s, p, p->l);
}

static inline int server_set_up(void **state)
{
	static const struct http_server_fns fns = { on_request, error_body,
						    on_over, on_close };
	struct place *p = xcalloc(1, sizeof *p);
	struct err e;
	alarm(60);
	uv_loop_init(&p->loop);
	snprintf(p->dir, sizeof p->dir, "/tmp/server-test-XXXXXX");
	assert_non_null(mkdtemp(p->dir));
	snprintf(p->path, sizeof p->path, "%s/s", p->dir);
	p->server = http_server_new(&p->loop, &fns, p);
	assert_int_equal(
		listener_unix(&p->loop, p->path, 0600, on_accept, p, &p->l, &e),
		0);
	wire_open(&p->w, &p->loop, p->path);
	*state = p;
	return 0;
}

static inline int server_tear_down(void **state)
{
	struct place *p = *state;
	wire_close(&p->w);
	http_server_free(p->server);
	assert_int_equal(p->closes, p->taken);
	listener_free(p->l);
	uv_run(&p->loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&p->loop), 0);
	assert_int_equal(rmdir(p->dir), 0);
	free(p);
	return 0;
}

/* Every limit but the one under test is far away. */
static inline void set_limits(struct place *p, struct http_limits l)
{
	unsigned *const ms[] = { &l.head_ms,	    &l.body_idle_ms,
				 &l.keepalive_ms,   &l.write_idle_ms,
				 &l.half_closed_ms, &l.linger_ms };
	for (size_t i = 0; i < ARRAY_LEN(ms); i++)
		if (!*ms[i])
			*ms[i] = 1000000;
	if (!l.bodies_bytes)
		l.bodies_bytes = 1000000;
	http_server_set_limits(p->server, &l);
}

/* From here on over TCP, where leaving looks different. */
static inline void talk_tcp(struct place *p)
{
	struct err e;
	wire_close(&p->w);
	listener_free(steal(&p->l));
	assert_int_equal(
		listener_tcp(&p->loop, "127.0.0.1", 0, on_accept, p, &p->l, &e),
		0);
	wire_open_tcp(&p->w, &p->loop, listener_port(p->l));
}

static inline void ask(struct place *p, const char *text)
{
	buf_clear(&p->w.got);
	wire_send(&p->w, text);
}

#define HOST "Host: x\r\n"
#define GET(path) "GET " path " HTTP/1.1\r\n" HOST "\r\n"
