#include "http/server.h"
#include "http/wire_test.h"
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
	size_t body_bytes, body_pieces;
	bool is_body_over;
};

/* ---- a small application ---- */

static void on_gone(void *ctx)
{
	struct place *p = ctx;
	p->is_gone = true;
	p->x = NULL;
}

static void on_drain(void *ctx)
{
	((struct place *)ctx)->is_drained = true;
}

static void echo(void *ctx, struct str body)
{
	struct place *p = ctx;
	exchange_reply(steal(&p->x), 200, "text/plain", body);
}

static void count(void *ctx, struct str piece)
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

static void on_request(void *ctx, struct http_exchange *x)
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

static struct str error_body(void *ctx, const struct err *e, struct arena *a)
{
	(void)ctx;
	return str_of(arena_printf(a, "{\"error\":\"%s\"}", e->msg));
}

static void on_over(void *ctx, struct http_exchange *x, int status,
		    uint64_t sent)
{
	struct place *p = ctx;
	assert_non_null(exchange_head(x)->method_text.p);
	p->overs++;
	p->over_status = status;
	p->over_bytes = sent;
}

static void on_accept(void *ctx, struct stream *s)
{
	struct place *p = ctx;
	http_server_take(p->server, s, 7, p->l);
}

static int set_up(void **state)
{
	static const struct http_server_fns fns = { on_request, error_body,
						    on_over };
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

static int tear_down(void **state)
{
	struct place *p = *state;
	wire_close(&p->w);
	http_server_free(p->server);
	listener_free(p->l);
	uv_run(&p->loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&p->loop), 0);
	assert_int_equal(rmdir(p->dir), 0);
	free(p);
	return 0;
}

/* Every limit but the one under test is far away. */
static void set_limits(struct place *p, struct http_limits l)
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
static void talk_tcp(struct place *p)
{
	struct err e;
	wire_close(&p->w);
	listener_free(steal(&p->l));
	assert_int_equal(
		listener_tcp(&p->loop, "127.0.0.1", 0, on_accept, p, &p->l, &e),
		0);
	wire_open_tcp(&p->w, &p->loop, listener_port(p->l));
}

static void ask(struct place *p, const char *text)
{
	buf_clear(&p->w.got);
	wire_send(&p->w, text);
}

#define HOST "Host: x\r\n"
#define GET(path) "GET " path " HTTP/1.1\r\n" HOST "\r\n"

/* ---- answers ---- */

static void an_answer_has_date_length_and_fields(void **state)
{
	struct place *p = *state;
	ask(p, GET("/fixed"));
	assert_true(wire_wait(&p->w, "\r\n\r\nhello\n"));
	assert_memory_equal(p->w.got.p, "HTTP/1.1 200 OK\r\nDate: ", 23);
	assert_true(wire_has(&p->w, " GMT\r\nContent-Length: 6\r\n"
				    "X-Name: value\r\n"
				    "Content-Type: text/plain\r\n\r\n"));
	assert_false(wire_has(&p->w, "Server:"));
	assert_int_equal(p->over_status, 200);
	assert_int_equal(p->over_bytes, 6);
	ask(p, GET("/fixed"));
	assert_true(wire_wait(&p->w, "hello\n"));
	assert_false(p->w.is_over);
}

static void head_gets_the_same_head_and_no_body(void **state)
{
	struct place *p = *state;
	ask(p, "HEAD /fixed HTTP/1.1\r\n" HOST "\r\n"
	       "HEAD /pieces HTTP/1.1\r\n" HOST "\r\n" GET("/empty"));
	assert_true(wire_wait(&p->w, "204 No Content\r\n"));
	assert_true(wire_has(&p->w, "Content-Length: 6\r\n"));
	assert_true(wire_has(&p->w, "Transfer-Encoding: chunked\r\n"));
	assert_false(wire_has(&p->w, "hello"));
	assert_false(wire_has(&p->w, "first"));
	assert_int_equal(wire_count(&p->w, "\r\n\r\n"), 3);
	assert_int_equal(wire_count(&p->w, "Content-Length"), 1);
}

static void an_answer_in_pieces_is_chunked(void **state)
{
	struct place *p = *state;
	ask(p, GET("/pieces"));
	assert_true(wire_wait(&p->w, "0\r\n\r\n"));
	assert_true(wire_has(&p->w, "Transfer-Encoding: chunked\r\n\r\n"
				    "6\r\nfirst \r\n6\r\nsecond\r\n"
				    "0\r\n\r\n"));
	assert_int_equal(p->over_bytes, 12);
}

static void http_1_0_gets_pieces_up_to_the_close(void **state)
{
	struct place *p = *state;
	ask(p, "GET /pieces HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
	wire_wait_end(&p->w);
	assert_true(wire_has(&p->w, "Connection: close\r\n\r\n"
				    "first second"));
}

static void http_1_0_is_kept_open_only_if_it_asks(void **state)
{
	struct place *p = *state;
	ask(p, "GET /fixed HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
	assert_true(wire_wait(&p->w, "hello\n"));
	assert_true(wire_has(&p->w, "Connection: keep-alive\r\n"));
	ask(p, "GET /fixed HTTP/1.0\r\n\r\n");
	wire_wait_end(&p->w);
	assert_true(wire_has(&p->w, "Connection: close\r\n"));
	assert_true(wire_has(&p->w, "hello\n"));
}

static void connection_close_is_honoured(void **state)
{
	struct place *p = *state;
	ask(p, "GET /fixed HTTP/1.1\r\nConnection: close\r\n" HOST "\r\n");
	wire_wait_end(&p->w);
	assert_true(wire_has(&p->w, "Connection: close\r\n"));
	assert_true(wire_has(&p->w, "hello\n"));
}

static void an_aborted_answer_up_to_the_close_is_reset(void **state)
{
	struct place *p = *state;
	talk_tcp(p);
	ask(p, "GET /cut-pieces HTTP/1.0\r\n\r\n");
	wire_wait_end(&p->w);
	assert_true(p->w.is_reset);
}

static void an_aborted_answer_is_seen_as_cut(void **state)
{
	struct place *p = *state;
	ask(p, GET("/cut"));
	wire_wait_end(&p->w);
	assert_int_equal(p->over_status, 200);
	assert_int_equal(p->over_bytes, 4);
	assert_true(wire_has(&p->w, "Content-Length: 100\r\n\r\nhalf"));
}

/* ---- requests ---- */

static void pipelined_requests_are_answered_in_order(void **state)
{
	struct place *p = *state;
	ask(p, GET("/held") GET("/fixed") "POST /echo HTTP/1.1\r\n" HOST
					  "Content-Length: 3\r\n\r\nabc" GET(
						  "/fixed") "GET /fi");
	while (!p->x)
		wire_turn(&p->w);
	assert_int_equal(p->requests, 1);
	struct http_exchange *x = steal(&p->x);
	exchange_start(x, 200, 4);
	assert_int_equal(exchange_write(x, STR("held")), 0);
	exchange_end(x);
	assert_int_equal(p->requests, 1); /* not inside our call */
	assert_true(wire_wait(&p->w, "abc"));
	while (p->requests < 4)
		wire_turn(&p->w);
	while (wire_count(&p->w, "hello\n") < 2)
		wire_turn(&p->w);
	const char *got = p->w.got.p;
	assert_true(strstr(got, "held") < strstr(got, "hello\n"));
	assert_true(strstr(got, "hello\n") < strstr(got, "abc"));
	ask(p, "xed HTTP/1.1\r\n" HOST "\r\n");
	assert_true(wire_wait(&p->w, "hello\n"));
}

static void bytes_that_come_one_by_one_make_the_same_request(void **state)
{
	struct place *p = *state;
	static const char text[] =
		"POST /echo HTTP/1.1\r\n" HOST
		"Transfer-Encoding: chunked\r\n\r\n"
		"3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nT: v\r\n\r\n"
		"\r\n" GET("/fixed");
	for (const char *b = text; *b; b++) {
		wire_send_bytes(&p->w, b, 1);
		uv_run(&p->loop, UV_RUN_NOWAIT);
		uv_run(&p->loop, UV_RUN_NOWAIT);
	}
	assert_true(wire_wait(&p->w, "hello\n"));
	assert_true(wire_has(&p->w, "Content-Length: 5\r\n"));
	assert_true(wire_has(&p->w, "\r\n\r\nabcde"));
}

static void post(struct place *p, size_t n, const char *fields)
{
	char head[200];
	char body[BODY_MAX + 1];
	memset(body, 'b', sizeof body);
	snprintf(head, sizeof head,
		 "POST /echo HTTP/1.1\r\n" HOST "%s"
		 "Content-Length: %zu\r\n\r\n",
		 fields, n);
	ask(p, head);
	if (!*fields)
		wire_send_bytes(&p->w, body, n);
}

static void a_body_at_the_limit_is_taken_and_one_above_is_413(void **state)
{
	struct place *p = *state;
	post(p, BODY_MAX, "");
	assert_true(wire_wait(&p->w, "bbbb"));
	assert_true(wire_has(&p->w, "Content-Length: 1000\r\n"));
	post(p, BODY_MAX + 1, "");
	wire_wait_end(&p->w);
	assert_true(wire_has(&p->w, "HTTP/1.1 413 Content Too Large\r\n"));
	assert_true(wire_has(&p->w, "Connection: close\r\n"));
	assert_true(wire_has(&p->w, "larger than 1000 bytes"));
	assert_true(p->is_gone);
}

static void a_chunked_body_above_the_limit_is_413(void **state)
{
	struct place *p = *state;
	char body[BODY_MAX + 1];
	memset(body, 'b', sizeof body);
	ask(p, "POST /echo HTTP/1.1\r\n" HOST
	       "Transfer-Encoding: chunked\r\n\r\n3e8\r\n");
	wire_send_bytes(&p->w, body, BODY_MAX);
	wire_send(&p->w, "\r\n1\r\n");
	assert_int_equal(p->requests, 0);
	wire_send(&p->w, "x");
	wire_wait_end(&p->w);
	assert_true(wire_has(&p->w, "HTTP/1.1 413 "));
}

static void a_broken_chunk_is_400(void **state)
{
	struct place *p = *state;
	ask(p, "POST /echo HTTP/1.1\r\n" HOST
	       "Transfer-Encoding: chunked\r\n\r\nxyz\r\n");
	wire_wait_end(&p->w);
	assert_true(wire_has(&p->w, "HTTP/1.1 400 "));
	assert_true(p->is_gone);
}

static void a_body_can_be_streamed_and_pressed_back(void **state)
{
	struct place *p = *state;
	ask(p,
	    "POST /count HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n"
	    "3\r\nabc\r\n4\r\ndefg\r\n0\r\n\r\n");
	while (!p->body_pieces)
		wire_turn(&p->w);
	wire_turn(&p->w);
	assert_int_equal(p->body_bytes, 3);
	exchange_body_resume(p->x);
	assert_int_equal(p->body_bytes, 3); /* not inside our call */
	assert_true(wire_wait(&p->w, "counted"));
	assert_int_equal(p->body_bytes, 7);
	assert_int_equal(p->body_pieces, 3);
}

static void who_waits_for_100_gets_it_if_the_body_is_wanted(void **state)
{
	struct place *p = *state;
	post(p, 3, "Expect: 100-continue\r\n");
	assert_true(wire_wait(&p->w, "HTTP/1.1 100 Continue\r\n\r\n"));
	wire_send(&p->w, "abc");
	assert_true(wire_wait(&p->w, "abc"));
	assert_true(wire_has(&p->w, "HTTP/1.1 200 OK\r\n"));
	post(p, BODY_MAX + 1, "Expect: 100-continue\r\n");
	wire_wait_end(&p->w);
	assert_memory_equal(p->w.got.p, "HTTP/1.1 413 ", 13);
}

static void who_waits_for_100_in_vain_is_disconnected(void **state)
{
	struct place *p = *state;
	ask(p, "POST /fixed HTTP/1.1\r\n" HOST
	       "Content-Length: 3\r\nExpect: 100-continue\r\n\r\n");
	wire_wait_end(&p->w);
	assert_memory_equal(p->w.got.p, "HTTP/1.1 200 OK\r\n", 17);
	assert_true(wire_has(&p->w, "Connection: close\r\n"));
}

static void bad_heads_have_their_own_status(void **state)
{
	static char long_target[LIMIT_TARGET_BYTES + 50];
	static char long_head[LIMIT_HEAD_BYTES + 50];
	memset(long_target, 'a', LIMIT_TARGET_BYTES + 5);
	memcpy(long_target, "GET /", 5);
	memcpy(long_target + LIMIT_TARGET_BYTES + 5,
	       " HTTP/1.1\r\n" HOST "\r\n", 23);
	memset(long_head, 'a', LIMIT_HEAD_BYTES);
	memcpy(long_head, "GET / HTTP/1.1\r\nX: ", 19);
	static const struct {
		const char *text, *status;
	} cases[] = {
		{ "GET / HTTP/1.1\r\n\r\n", "400 Bad Request" },
		{ "GET / HTTP/1.1\n", "400 Bad Request" },
		{ "\x16\x03\x01", "400 Bad Request" },
		{ "GET /%zz HTTP/1.1\r\n" HOST "\r\n", "400 Bad Request" },
		{ "GET / HTTP/1.1\r\n" HOST "Content-Length: 1\r\n"
		  "Transfer-Encoding: chunked\r\n\r\n",
		  "400 Bad Request" },
		{ "GET / HTTP/1.1\r\n" HOST "Expect: tea\r\n\r\n",
		  "417 Expectation Failed" },
		{ "GET / HTTP/1.1\r\n" HOST "Transfer-Encoding: gzip\r\n\r\n",
		  "501 Not Implemented" },
		{ "GET / HTTP/2.0\r\n" HOST "\r\n",
		  "505 HTTP Version Not Supported" },
		{ long_target, "414 URI Too Long" },
		{ long_head, "431 Request Header Fields Too Large" },
	};
	struct place *p = *state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		wire_close(&p->w);
		wire_open(&p->w, &p->loop, p->path);
		wire_send(&p->w, cases[i].text);
		wire_wait_end(&p->w);
		assert_memory_equal(p->w.got.p, "HTTP/1.1 ", 9);
		assert_memory_equal(p->w.got.p + 9, cases[i].status,
				    strlen(cases[i].status));
		assert_true(wire_has(&p->w, "application/json"));
		assert_true(wire_has(&p->w, "{\"error\":\""));
		assert_int_equal(p->overs, i + 1);
	}
	assert_int_equal(p->requests, 0);
}

static void what_a_client_pipelines_is_bounded(void **state)
{
	struct place *p = *state;
	static char many[LIMIT_PIPELINED_BYTES + LIMIT_READ_BYTES];
	memset(many, 'x', sizeof many);
	wire_send(&p->w, GET("/held"));
	while (!p->x)
		wire_turn(&p->w);
	size_t sent = 0;
	for (int quiet = 0; quiet < 3;) {
		ssize_t n = send(p->w.fd, many, sizeof many, MSG_NOSIGNAL);
		quiet = n < 0 ? quiet + 1 : 0;
		sent += n < 0 ? 0 : (size_t)n;
		wire_turn(&p->w);
		assert_true(sent < (16u << 20)); /* the kernel's buffers */
	}
	exchange_reply(steal(&p->x), 200, NULL, STR("done"));
	assert_true(wire_wait(&p->w, "done"));
	wire_wait_end(&p->w);
	assert_true(wire_has(&p->w, "HTTP/1.1 4"));
}

static void who_pipelines_without_reading_has_to_wait(void **state)
{
	struct place *p = *state;
	static char many[60000];
	const char one[] = GET("/large");
	for (size_t i = 0; i + sizeof one < sizeof many; i += sizeof one - 1)
		memcpy(many + i, one, sizeof one);
	size_t sent = 0, length = strlen(many);
	for (int quiet = 0; quiet < 20;) {
		size_t at = sent % length;
		ssize_t n = send(p->w.fd, many + at, length - at, MSG_NOSIGNAL);
		quiet = n < 0 ? quiet + 1 : 0;
		sent += n < 0 ? 0 : (size_t)n;
		uv_run(&p->loop, UV_RUN_NOWAIT);
	}
	/* Each is answered with 10 KB: what was not read lies in the kernel's
	 * buffers, one queue, and one answer above it. */
	size_t held = (LIMIT_STREAM_QUEUE_BYTES + (1u << 20)) / LARGE_BYTES + 1;
	assert_in_range(p->requests, 5, held);
	/* When it reads, it goes on, and FIN does not end it before its time.
	 */
	size_t whole = sent / (sizeof one - 1);
	shutdown(p->w.fd, SHUT_WR);
	wire_wait_end(&p->w);
	assert_int_equal(p->requests, whole);
}

static void all_bodies_together_are_bounded(void **state)
{
	struct place *p = *state;
	struct wire other;
	set_limits(p, (struct http_limits){ .bodies_bytes = 1500 });
	ask(p, "POST /echo HTTP/1.1\r\n" HOST "Content-Length: 1000\r\n\r\n");
	static const char body[1000] = "body";
	wire_send_bytes(&p->w, body, 999);
	while (!p->requests)
		wire_turn(&p->w);
	wire_turn(&p->w);
	struct http_exchange *first = p->x;
	wire_open(&other, &p->loop, p->path);
	wire_send(&other,
		  "POST /echo HTTP/1.1\r\n" HOST "Content-Length: 600\r\n\r\n");
	wire_send_bytes(&other, body, 600);
	wire_wait_end(&other);
	assert_memory_equal(other.got.p, "HTTP/1.1 503 ", 13);
	wire_close(&other);
	p->x = first;
	wire_send_bytes(&p->w, body, 1);
	assert_true(wire_wait(&p->w, "body"));
	/* Answered bodies do not count. */
	post(p, BODY_MAX, "");
	assert_true(wire_wait(&p->w, "bbbb"));
}

/* ---- bodies that nobody read ---- */

static void a_short_body_nobody_wanted_is_skipped(void **state)
{
	struct place *p = *state;
	ask(p, "POST /fixed HTTP/1.1\r\n" HOST "Content-Length: 6\r\n\r\nabc");
	assert_true(wire_wait(&p->w, "hello\n"));
	assert_false(wire_has(&p->w, "Connection:"));
	ask(p, "def" GET("/fixed"));
	assert_true(wire_wait(&p->w, "hello\n"));
	assert_false(p->w.is_over);
}

static void a_long_body_nobody_wanted_ends_the_connection(void **state)
{
	struct place *p = *state;
	static char body[300000];
	ask(p,
	    "POST /fixed HTTP/1.1\r\n" HOST "Content-Length: 300000\r\n\r\n");
	assert_true(wire_wait(&p->w, "hello\n"));
	assert_true(wire_has(&p->w, "Connection: close\r\n"));
	/* It may be sent all the same, and nothing is reset meanwhile. */
	wire_send_bytes(&p->w, body, sizeof body);
	wire_wait_end(&p->w);
	assert_int_equal(send(p->w.fd, "x", 1, MSG_NOSIGNAL), 1);
}

static void who_sends_for_ever_after_the_end_is_cut(void **state)
{
	struct place *p = *state;
	static char body[1 << 20];
	ask(p, "POST /fixed HTTP/1.1\r\n" HOST
	       "Transfer-Encoding: chunked\r\n\r\n");
	size_t sent = 0;
	for (;;) {
		ssize_t n = send(p->w.fd, body, sizeof body, MSG_NOSIGNAL);
		if (n < 0 && errno != EAGAIN)
			break;
		sent += n < 0 ? 0 : (size_t)n;
		assert_true(sent < 2 * LIMIT_LINGER_BYTES + (4u << 20));
		uv_run(&p->loop, UV_RUN_NOWAIT);
	}
	assert_true(sent > LIMIT_LINGER_BYTES);
}

static void who_stays_silent_after_the_end_is_closed(void **state)
{
	struct place *p = *state;
	set_limits(p, (struct http_limits){ .linger_ms = 30 });
	ask(p, "GET /fixed HTTP/1.1\r\nConnection: close\r\n" HOST "\r\n");
	wire_wait_end(&p->w);
	while (send(p->w.fd, "x", 1, MSG_NOSIGNAL) == 1)
		uv_run(&p->loop, UV_RUN_ONCE);
	assert_int_equal(errno, EPIPE);
}

/* ---- time limits ---- */

static void a_slow_head_is_408(void **state)
{
	struct place *p = *state;
	set_limits(p, (struct http_limits){ .head_ms = 30 });
	ask(p, "GET / HT");
	wire_wait_end(&p->w);
	assert_memory_equal(p->w.got.p, "HTTP/1.1 408 Request Timeout\r\n", 30);
	assert_int_equal(p->requests, 0);
}

static void a_slow_body_is_408(void **state)
{
	struct place *p = *state;
	set_limits(p, (struct http_limits){ .body_idle_ms = 30 });
	ask(p, "POST /echo HTTP/1.1\r\n" HOST "Content-Length: 3\r\n\r\nab");
	wire_wait_end(&p->w);
	assert_memory_equal(p->w.got.p, "HTTP/1.1 408 Request Timeout\r\n", 30);
	assert_true(p->is_gone);
}

static void a_body_that_its_handler_does_not_want_yet_is_not_slow(void **state)
{
	struct place *p = *state;
	set_limits(p, (struct http_limits){ .body_idle_ms = 100 });
	ask(p, "POST /held HTTP/1.1\r\n" HOST "Content-Length: 3\r\n\r\n");
	uint64_t until = timer_now_ns() + 250000000;
	while (timer_now_ns() < until)
		wire_turn(&p->w);
	assert_false(p->is_gone);
	exchange_collect(p->x, BODY_MAX, echo, p);
	wire_send(&p->w, "abc");
	assert_true(wire_wait(&p->w, "abc"));
}

static void an_idle_connection_is_closed_without_a_word(void **state)
{
	struct place *p = *state;
	set_limits(p, (struct http_limits){ .keepalive_ms = 30 });
	ask(p, GET("/fixed"));
	assert_true(wire_wait(&p->w, "hello\n"));
	buf_clear(&p->w.got);
	wire_wait_end(&p->w);
	assert_int_equal(p->w.got.n, 0);
}

static void who_does_not_read_its_answer_is_gone(void **state)
{
	struct place *p = *state;
	static char piece[10000];
	set_limits(p, (struct http_limits){ .write_idle_ms = 30 });
	wire_send(&p->w, GET("/held"));
	while (!p->x)
		wire_turn(&p->w);
	exchange_start(p->x, 200, EXCHANGE_CHUNKED);
	struct str bytes = { piece, sizeof piece };
	while (exchange_write(p->x, bytes) == 0)
		;
	while (!p->is_gone)
		uv_run(&p->loop, UV_RUN_ONCE);
	assert_int_equal(p->over_status, 200);
}

static void who_reads_on_gets_told_to_go_on(void **state)
{
	struct place *p = *state;
	static char piece[10000];
	wire_send(&p->w, GET("/held"));
	while (!p->x)
		wire_turn(&p->w);
	exchange_start(p->x, 200, EXCHANGE_CHUNKED);
	struct str bytes = { piece, sizeof piece };
	while (exchange_write(p->x, bytes) == 0)
		;
	while (!p->is_drained)
		wire_turn(&p->w);
	exchange_end(steal(&p->x));
	assert_true(wire_wait(&p->w, "\r\n0\r\n\r\n"));
}

/* ---- clients that leave ---- */

static uint64_t wait_until_gone(struct place *p)
{
	uint64_t start = timer_now_ns();
	while (!p->is_gone)
		uv_run(&p->loop, UV_RUN_ONCE);
	return (timer_now_ns() - start) / 1000000;
}

static void who_leaves_while_it_waits_is_gone_in_time(void **state)
{
	struct place *p = *state;
	wire_send(&p->w, GET("/held"));
	while (!p->x)
		wire_turn(&p->w);
	close(steal_fd(&p->w.fd));
	assert_in_range(wait_until_gone(p), 200, 500);
	assert_int_equal(p->over_status, 0);
	assert_int_equal(http_server_count(p->server), 0);
}

static void who_leaves_a_silent_stream_is_gone_in_time(void **state)
{
	struct place *p = *state;
	wire_send(&p->w, GET("/held"));
	while (!p->x)
		wire_turn(&p->w);
	exchange_start(p->x, 200, EXCHANGE_CHUNKED);
	assert_true(wire_wait(&p->w, "chunked"));
	close(steal_fd(&p->w.fd));
	assert_in_range(wait_until_gone(p), 200, 500);
}

static void who_leaves_a_running_stream_is_gone_in_two_writes(void **state)
{
	struct place *p = *state;
	wire_send(&p->w, GET("/held"));
	while (!p->x)
		wire_turn(&p->w);
	exchange_start(p->x, 200, EXCHANGE_CHUNKED);
	assert_true(wire_wait(&p->w, "chunked"));
	close(steal_fd(&p->w.fd));
	for (int i = 0; i < 2 && p->x; i++) {
		exchange_write(p->x, STR("token"));
		uv_run(&p->loop, UV_RUN_NOWAIT);
		uv_run(&p->loop, UV_RUN_NOWAIT);
	}
	assert_true(p->is_gone);
}

static void leaving_over_tcp_is_seen_as_soon(void **state)
{
	talk_tcp(*state);
	who_leaves_while_it_waits_is_gone_in_time(state);
	talk_tcp(*state);
	who_leaves_a_silent_stream_is_gone_in_time(state);
	talk_tcp(*state);
	who_leaves_a_running_stream_is_gone_in_two_writes(state);
}

static void who_resets_is_gone_at_once(void **state)
{
	struct place *p = *state;
	talk_tcp(p);
	wire_send(&p->w, GET("/held"));
	while (!p->x)
		wire_turn(&p->w);
	struct linger reset = { 1, 0 };
	setsockopt(p->w.fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
	close(steal_fd(&p->w.fd));
	assert_in_range(wait_until_gone(p), 0, 100);
}

static void who_only_has_nothing_more_to_say_gets_its_answers(void **state)
{
	struct place *p = *state;
	wire_send(&p->w, GET("/fixed") GET("/held") GET("/fixed"));
	shutdown(p->w.fd, SHUT_WR);
	while (!p->x)
		wire_turn(&p->w);
	exchange_start(p->x, 200, EXCHANGE_CHUNKED);
	/* Longer than the limit, but never silent for so long. */
	uint64_t until = timer_now_ns() + 600000000;
	for (uint64_t next = 0; timer_now_ns() < until;) {
		if (timer_now_ns() > next) {
			next = timer_now_ns() + 100000000;
			assert_int_equal(exchange_write(p->x, STR("token")), 0);
		}
		wire_turn(&p->w);
		assert_false(p->is_gone);
	}
	exchange_end(steal(&p->x));
	wire_wait_end(&p->w);
	assert_int_equal(wire_count(&p->w, "hello\n"), 2);
	assert_true(wire_has(&p->w, "token\r\n0\r\n\r\n"));
}

static void who_leaves_in_its_body_is_gone_at_once(void **state)
{
	struct place *p = *state;
	ask(p, "POST /echo HTTP/1.1\r\n" HOST "Content-Length: 3\r\n\r\nab");
	while (!p->x)
		wire_turn(&p->w);
	shutdown(p->w.fd, SHUT_WR);
	assert_in_range(wait_until_gone(p), 0, 100);
}

static void who_leaves_in_its_head_is_let_go(void **state)
{
	struct place *p = *state;
	ask(p, "GET / HT");
	shutdown(p->w.fd, SHUT_WR);
	wire_wait_end(&p->w);
	assert_int_equal(p->w.got.n, 0);
	assert_int_equal(p->overs, 0);
}

/* ---- the server's own end ---- */

static void draining_closes_the_idle_and_lets_the_busy_finish(void **state)
{
	struct place *p = *state;
	struct wire busy;
	ask(p, GET("/fixed"));
	assert_true(wire_wait(&p->w, "hello\n"));
	wire_open(&busy, &p->loop, p->path);
	wire_send(&busy, GET("/held"));
	while (!p->x)
		wire_turn(&busy);
	http_server_drain(p->server);
	wire_wait_end(&p->w);
	assert_int_equal(http_server_count(p->server), 1);
	exchange_reply(steal(&p->x), 200, NULL, STR("bye"));
	wire_wait_end(&busy);
	assert_true(wire_has(&busy, "Connection: close\r\n"));
	assert_true(wire_has(&busy, "bye"));
	wire_close(&busy);
}

static void freeing_the_server_tells_its_handlers(void **state)
{
	struct place *p = *state;
	wire_send(&p->w, GET("/held"));
	while (!p->x)
		wire_turn(&p->w);
	assert_int_equal(exchange_tag(p->x), 7);
	assert_true(exchange_peer(p->x)->is_unix);
	http_server_free(steal(&p->server));
	assert_true(p->is_gone);
	assert_int_equal(p->overs, 1);
	wire_wait_end(&p->w);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(an_answer_has_date_length_and_fields),
		TEST(head_gets_the_same_head_and_no_body),
		TEST(an_answer_in_pieces_is_chunked),
		TEST(http_1_0_gets_pieces_up_to_the_close),
		TEST(http_1_0_is_kept_open_only_if_it_asks),
		TEST(connection_close_is_honoured),
		TEST(an_aborted_answer_up_to_the_close_is_reset),
		TEST(an_aborted_answer_is_seen_as_cut),
		TEST(pipelined_requests_are_answered_in_order),
		TEST(bytes_that_come_one_by_one_make_the_same_request),
		TEST(a_body_at_the_limit_is_taken_and_one_above_is_413),
		TEST(a_chunked_body_above_the_limit_is_413),
		TEST(a_broken_chunk_is_400),
		TEST(a_body_can_be_streamed_and_pressed_back),
		TEST(who_waits_for_100_gets_it_if_the_body_is_wanted),
		TEST(who_waits_for_100_in_vain_is_disconnected),
		TEST(bad_heads_have_their_own_status),
		TEST(what_a_client_pipelines_is_bounded),
		TEST(who_pipelines_without_reading_has_to_wait),
		TEST(all_bodies_together_are_bounded),
		TEST(a_short_body_nobody_wanted_is_skipped),
		TEST(a_long_body_nobody_wanted_ends_the_connection),
		TEST(who_sends_for_ever_after_the_end_is_cut),
		TEST(who_stays_silent_after_the_end_is_closed),
		TEST(a_slow_head_is_408),
		TEST(a_slow_body_is_408),
		TEST(a_body_that_its_handler_does_not_want_yet_is_not_slow),
		TEST(an_idle_connection_is_closed_without_a_word),
		TEST(who_does_not_read_its_answer_is_gone),
		TEST(who_reads_on_gets_told_to_go_on),
		TEST(who_leaves_while_it_waits_is_gone_in_time),
		TEST(who_leaves_a_silent_stream_is_gone_in_time),
		TEST(who_leaves_a_running_stream_is_gone_in_two_writes),
		TEST(leaving_over_tcp_is_seen_as_soon),
		TEST(who_resets_is_gone_at_once),
		TEST(who_only_has_nothing_more_to_say_gets_its_answers),
		TEST(who_leaves_in_its_body_is_gone_at_once),
		TEST(who_leaves_in_its_head_is_let_go),
		TEST(draining_closes_the_idle_and_lets_the_busy_finish),
		TEST(freeing_the_server_tells_its_handlers),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
