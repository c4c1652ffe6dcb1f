#include "http/proxy.h"
#include "http/sse.h"
#include "http/wire_make.h"
#include "io/timer.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

/* A client, the proxy, and an upstream that says what it is told. */
struct place {
	uv_loop_t loop;
	struct http_server *server;
	struct listener *front, *back;
	char dir[32];
	char front_path[64], back_path[64];
	struct http_pool *pool;
	struct wire w;
	bool starts_early; /* the event stream, before the upstream answers */

	struct stream *s; /* the upstream's end */
	struct buf heard;
	const char *says;
	bool then_closes;
	bool is_left;		    /* the proxy closed its connection */
	size_t producing, produced; /* bytes of a body without end */

	int seen_status;
	size_t seen_bytes;
	size_t overs;
	int outcome;
	struct err err;
};

/* ---- the upstream ---- */

static void produce(void *ctx)
{
	static char piece[10000];
	struct place *p = ctx;
	struct str bytes = { piece, sizeof piece };
	while (p->produced < p->producing) {
		p->produced += sizeof piece;
		if (stream_write(p->s, &bytes, 1) == STREAM_FULL)
			return;
	}
}

static void on_heard(void *ctx, struct str data)
{
	struct place *p = ctx;
	assert_int_equal(buf_put(&p->heard, data.p, data.n), 0);
	if (!p->says || !memmem(data.p, data.n, "\r\n\r\n", 4))
		return;
	struct str answer = str_of(p->says);
	stream_write(p->s, &answer, 1);
	if (p->then_closes)
		stream_finish(p->s);
	produce(p);
}

static void on_upstream_end(void *ctx)
{
	((struct place *)ctx)->is_left = true;
}

static void on_upstream_fail(void *ctx, const struct err *e)
{
	(void)e;
	((struct place *)ctx)->is_left = true;
}

static void on_back(void *ctx, struct stream *s)
{
	static const struct stream_fns fns = { on_heard, on_upstream_end,
					       produce, on_upstream_fail };
	struct place *p = ctx;
	stream_free(p->s);
	p->s = s;
	p->is_left = false;
	stream_set_fns(s, &fns, p);
	stream_resume(s);
}

/* ---- the application ---- */

static struct str error_body(void *ctx, const struct err *e, struct arena *a)
{
	(void)ctx;
	return str_of(
		arena_printf(a, "{\"error\":{\"message\":\"%s\"}}", e->msg));
}

static void on_fail(void *ctx, struct http_exchange *x, const struct err *e)
{
	struct str text = error_body(ctx, e, exchange_arena(x));
	if (!exchange_is_started(x)) {
		exchange_reply(x, err_http_status(e->code), "application/json",
			       text);
		return;
	}
	assert_int_equal(exchange_write(x, text), 0);
	exchange_end(x);
}

static void see_head(void *ctx, const struct http_head *h)
{
	((struct place *)ctx)->seen_status = h->status;
}

static void see_piece(void *ctx, struct str piece)
{
	((struct place *)ctx)->seen_bytes += piece.n;
}

static void on_over(void *ctx, int outcome, const struct err *e)
{
	struct place *p = ctx;
	p->overs++;
	p->outcome = outcome;
	if (e)
		p->err = *e;
}

static void on_request(void *ctx, struct http_exchange *x)
{
	static const struct proxy_fns fns = { on_fail, error_body, see_head,
					      see_piece, on_over };
	struct place *p = ctx;
	exchange_add(x, "X-Ours", STR("yes"));
	if (p->starts_early) {
		exchange_add(x, "Content-Type", STR(SSE_TYPE));
		exchange_start(x, 200, EXCHANGE_CHUNKED);
		assert_int_equal(exchange_write(x, STR(": wait\n\n")), 0);
	}
	struct http_request ask = { .host = "engine",
				    .path = STR("/v1/there?q"),
				    .fields = STR("X-Key: k\r\n"),
				    .body = STR("body") };
	proxy_start(x, p->pool, &ask, &fns, p);
}

static void on_front(void *ctx, struct stream *s)
{
	struct place *p = ctx;
	http_server_take(p->server, s, NULL, p->front);
}

static int set_up(void **state)
{
	static const struct http_server_fns fns = { on_request, error_body,
						    NULL, NULL };
	struct place *p = xcalloc(1, sizeof *p);
	struct err e;
	char address[80];
	alarm(60);
	uv_loop_init(&p->loop);
	buf_init(&p->heard, SIZE_MAX / 2);
	snprintf(p->dir, sizeof p->dir, "/tmp/proxy-test-XXXXXX");
	assert_non_null(mkdtemp(p->dir));
	snprintf(p->front_path, sizeof p->front_path, "%s/front", p->dir);
	snprintf(p->back_path, sizeof p->back_path, "%s/back", p->dir);
	snprintf(address, sizeof address, "unix:%s", p->back_path);
	p->server = http_server_new(&p->loop, &fns, p);
	p->pool = http_pool_new(&p->loop, address);
	assert_int_equal(listener_unix(&p->loop, p->front_path, 0600, on_front,
				       p, &p->front, &e),
			 0);
	assert_int_equal(listener_unix(&p->loop, p->back_path, 0600, on_back, p,
				       &p->back, &e),
			 0);
	wire_open(&p->w, &p->loop, p->front_path);
	*state = p;
	return 0;
}

static int tear_down(void **state)
{
	struct place *p = *state;
	wire_close(&p->w);
	http_server_free(p->server);
	http_pool_free(p->pool);
	stream_free(p->s);
	listener_free(p->front);
	listener_free(p->back);
	uv_run(&p->loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&p->loop), 0);
	buf_fini(&p->heard);
	assert_int_equal(rmdir(p->dir), 0);
	free(p);
	return 0;
}

static void ask_with(struct place *p, const char *fields)
{
	wire_send(&p->w, "POST /here?not HTTP/1.1\r\nHost: front\r\n");
	wire_send(&p->w, fields);
	wire_send(&p->w, "\r\n");
}

static void run_to_over(struct place *p)
{
	while (!p->overs)
		wire_turn(&p->w);
}

#define OK "HTTP/1.1 200 OK\r\n"
#define EVENTS OK "Content-Type: text/event-stream; charset=utf-8\r\n"
#define CHUNKED "Transfer-Encoding: chunked\r\n\r\n"

/* ---- whole answers ---- */

static void what_is_for_the_upstream_goes_through_and_no_more(void **state)
{
	struct place *p = *state;
	p->says = OK "Content-Length: 2\r\n\r\nok";
	ask_with(p, "X-Theirs: 1\r\nAuthorization: Bearer secret\r\n"
		    "X-API-Key: secret\r\napi-key: secret\r\n"
		    "Cookie: c=1\r\nConnection: keep-alive, X-Hop\r\n"
		    "X-Hop: 1\r\nAccept-Encoding: gzip\r\nTE: trailers\r\n"
		    "Origin: http://x\r\nAccept: */*\r\n");
	run_to_over(p);
	assert_string_equal(p->heard.p, "POST /v1/there?q HTTP/1.1\r\n"
					"Host: engine\r\nX-Theirs: 1\r\n"
					"Accept: */*\r\nX-Key: k\r\n"
					"Content-Length: 4\r\n\r\nbody");
}

static void an_answer_goes_through_with_its_end_to_end_fields(void **state)
{
	struct place *p = *state;
	p->says = "HTTP/1.1 404 Nope\r\nX-Engine: e\r\nServer: secret\r\n"
		  "Date: never\r\nKeep-Alive: timeout=5\r\n"
		  "Access-Control-Allow-Origin: *\r\n"
		  "Strict-Transport-Security: max-age=1\r\nSet-Cookie: a=b\r\n"
		  "alt-svc: h3=\":443\"\r\nClear-Site-Data: *\r\n"
		  "Content-Type: text/x\r\nContent-Length: 2\r\n\r\nno";
	ask_with(p, "");
	assert_true(wire_wait(&p->w, "\r\n\r\nno"));
	assert_memory_equal(p->w.got.p, "HTTP/1.1 404 Not Found\r\nDate: ", 30);
	assert_true(wire_has(&p->w, "Content-Length: 2\r\nX-Ours: yes\r\n"
				    "X-Engine: e\r\n"
				    "Content-Type: text/x\r\n\r\nno"));
	run_to_over(p);
	assert_int_equal(p->outcome, 0);
	assert_int_equal(p->seen_status, 404);
	assert_int_equal(p->seen_bytes, 2);
}

static void head_answers_keep_their_length(void **state)
{
	struct place *p = *state;
	p->says = OK "Content-Length: 12345\r\n\r\n";
	wire_send(&p->w, "HEAD / HTTP/1.1\r\nHost: front\r\n\r\n");
	assert_true(wire_wait(&p->w, "Content-Length: 12345\r\n"));
	run_to_over(p);
	assert_int_equal(p->outcome, 0);
	assert_false(p->w.is_over);
}

static void chunks_and_a_body_up_to_the_close_are_framed_anew(void **state)
{
	struct place *p = *state;
	p->says = OK CHUNKED "3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n";
	ask_with(p, "");
	assert_true(wire_wait(&p->w, "3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"));
	run_to_over(p);
	buf_clear(&p->w.got);
	p->says = "HTTP/1.0 200 OK\r\n\r\nabcde";
	p->then_closes = true;
	ask_with(p, "");
	assert_true(wire_wait(&p->w, "5\r\nabcde\r\n0\r\n\r\n"));
	assert_false(p->w.is_over);
}

/* ---- back-pressure ---- */

static void a_stalled_reader_stops_the_upstream(void **state)
{
	struct place *p = *state;
	const size_t all = 100u << 20;
	p->says = OK "Content-Length: 104857600\r\n\r\n";
	p->producing = all - all % 10000;
	ask_with(p, "");
	/* Nobody reads: it must come to rest, by far not at the end. */
	size_t was = SIZE_MAX;
	for (int quiet = 0; quiet < 20;) {
		quiet = was == p->produced ? quiet + 1 : 0;
		was = p->produced;
		uv_run(&p->loop, UV_RUN_NOWAIT);
	}
	/* What we hold: the queues of two streams and the reads on the way.
	 * What the kernel holds in two Unix sockets is well below 1 MiB. */
	assert_in_range(p->produced, 1,
			2 * LIMIT_STREAM_QUEUE_BYTES + 2 * LIMIT_READ_BYTES +
				(1u << 20));
	assert_in_range(p->seen_bytes, 1,
			LIMIT_STREAM_QUEUE_BYTES + 2 * LIMIT_READ_BYTES +
				(1u << 19));
	size_t got = 0;
	while (got < p->producing) {
		wire_turn(&p->w);
		got += p->w.got.n;
		buf_clear(&p->w.got);
	}
	assert_int_equal(p->seen_bytes, p->producing);
}

/* ---- clients that leave ---- */

static void who_leaves_before_the_answer_closes_the_upstream(void **state)
{
	struct place *p = *state;
	ask_with(p, "");
	while (!p->heard.n)
		wire_turn(&p->w);
	uint64_t start = timer_now_ns();
	close(steal_fd(&p->w.fd));
	while (!p->is_left)
		uv_run(&p->loop, UV_RUN_ONCE);
	assert_in_range((timer_now_ns() - start) / 1000000, 0, 500);
	assert_int_equal(p->overs, 1);
	assert_int_equal(p->outcome, -1);
	assert_int_equal(p->err.code, ERR_GONE);
}

static void who_leaves_a_stream_closes_the_upstream_in_two_events(void **state)
{
	struct place *p = *state;
	p->says = EVENTS CHUNKED "9\r\ndata: 1\n\n\r\n";
	ask_with(p, "");
	assert_true(wire_wait(&p->w, "data: 1\n\n"));
	close(steal_fd(&p->w.fd));
	struct str event = STR("9\r\ndata: 1\n\n\r\n");
	for (int i = 0; i < 2 && !p->is_left; i++) {
		stream_write(p->s, &event, 1);
		for (int turns = 0; turns < 4; turns++)
			uv_run(&p->loop, UV_RUN_NOWAIT);
	}
	assert_true(p->is_left);
	assert_int_equal(p->err.code, ERR_GONE);
}

/* ---- upstreams that fail ---- */

static void an_upstream_that_is_not_there_is_502(void **state)
{
	struct place *p = *state;
	listener_free(steal(&p->back));
	ask_with(p, "");
	assert_true(wire_wait(&p->w, "takes no connections"));
	assert_memory_equal(p->w.got.p, "HTTP/1.1 502 Bad Gateway\r\n", 26);
	run_to_over(p);
	assert_int_equal(p->outcome, -1);
	assert_int_equal(p->err.code, ERR_REFUSED);
}

static void a_cut_body_is_cut_for_the_client_too(void **state)
{
	struct place *p = *state;
	p->says = OK "Content-Length: 10\r\n\r\nabc";
	p->then_closes = true;
	ask_with(p, "");
	wire_wait_end(&p->w);
	assert_true(wire_has(&p->w, "Content-Length: 10\r\n"));
	assert_int_equal(p->overs, 1);
	assert_int_equal(p->err.code, ERR_ENGINE);
}

static void a_cut_event_stream_ends_with_an_error_event(void **state)
{
	struct place *p = *state;
	p->says = EVENTS CHUNKED "9\r\ndata: 1\n\n\r\nb\r\ndata: {\"cut\r\n";
	p->then_closes = true;
	ask_with(p, "");
	assert_true(wire_wait(&p->w, "\r\n0\r\n\r\n"));
	assert_true(wire_has(&p->w, "data: 1\n\n"));
	assert_false(wire_has(&p->w, "cut"));
	assert_true(wire_has(&p->w, "{\"error\":{\"message\":\"the engine "
				    "closed the connection in the middle of "
				    "its answer\"}}"));
	assert_true(wire_has(&p->w, "data: [DONE]\n\n"));
	run_to_over(p);
	assert_int_equal(p->outcome, -1);
	assert_false(p->w.is_over);
}

static void events_cut_anywhere_come_out_whole(void **state)
{
	struct place *p = *state;
	static const char body[] = "data: one\n\ndata: two\r\n\r\ndata: 3\n\n";
	p->says = EVENTS CHUNKED;
	ask_with(p, "");
	assert_true(wire_wait(&p->w, "\r\n\r\n"));
	for (const char *b = body; *b; b++) {
		char text[] = "1\r\nx\r\n";
		text[3] = *b;
		struct str one = str_of(text);
		stream_write(p->s, &one, 1);
		uv_run(&p->loop, UV_RUN_NOWAIT);
		uv_run(&p->loop, UV_RUN_NOWAIT);
	}
	struct str end = STR("0\r\n\r\n");
	stream_write(p->s, &end, 1);
	assert_true(wire_wait(&p->w, "\r\n0\r\n\r\n"));
	assert_true(wire_has(&p->w, "\r\nb\r\ndata: one\n\n\r\n"
				    "d\r\ndata: two\r\n\r\n\r\n"
				    "9\r\ndata: 3\n\n\r\n0\r\n\r\n"));
}

static void a_giant_event_is_passed_on_in_pieces(void **state)
{
	struct place *p = *state;
	p->says = EVENTS CHUNKED "500000\r\ndata: ";
	p->producing = 3 * LIMIT_SMALL_BODY_BYTES;
	ask_with(p, "");
	while (p->w.got.n < 2 * LIMIT_SMALL_BODY_BYTES)
		wire_turn(&p->w);
	stream_free(steal(&p->s));
	assert_true(wire_wait(&p->w, "data: [DONE]\n\n"));
	/* After a blank line, so that what was cut does not swallow it. */
	assert_true(wire_has(&p->w, "\n\ndata: {\"error\""));
}

/* ---- event streams that were begun before the upstream answered ---- */

static void the_events_follow_those_that_were_sent_before(void **state)
{
	struct place *p = *state;
	p->starts_early = true;
	p->says = EVENTS CHUNKED "9\r\ndata: 1\n\n\r\n0\r\n\r\n";
	ask_with(p, "");
	assert_true(wire_wait(&p->w, "\r\n0\r\n\r\n"));
	assert_true(wire_has(&p->w, ": wait\n\n"));
	assert_true(wire_has(&p->w, "data: 1\n\n"));
	assert_int_equal(wire_count(&p->w, "HTTP/1.1"), 1);
}

static void a_refusal_becomes_an_error_event(void **state)
{
	struct place *p = *state;
	p->starts_early = true;
	p->says = "HTTP/1.1 400 Bad\r\nTransfer-Encoding: chunked\r\n\r\n"
		  "12\r\n{\n \"error\": {\n  \"m\r\n"
		  "18\r\nessage\": \"too long\"\n }\n}\r\n0\r\n\r\n";
	ask_with(p, "");
	assert_true(wire_wait(&p->w, "\r\n0\r\n\r\n"));
	assert_true(wire_has(&p->w, "{\"error\":{\"message\":\"too long\"}}"));
	assert_true(wire_has(&p->w, "data: [DONE]\n\n"));
	run_to_over(p);
	assert_int_equal(p->outcome, 0);
	assert_int_equal(p->seen_status, 400);
}

static void a_refusal_without_an_error_object_gets_one(void **state)
{
	struct place *p = *state;
	p->starts_early = true;
	p->says = "HTTP/1.1 500 No\r\nContent-Length: 4\r\n\r\noops";
	ask_with(p, "");
	assert_true(wire_wait(&p->w, "the engine answered with status 500"));
	assert_true(wire_wait(&p->w, "data: [DONE]\n\n"));
	assert_false(wire_has(&p->w, "oops"));
}

static void a_plain_answer_where_events_belong_is_an_error_event(void **state)
{
	struct place *p = *state;
	p->starts_early = true;
	p->says = OK "Content-Length: 2\r\n\r\n{}";
	ask_with(p, "");
	assert_true(wire_wait(&p->w, "something other than an event stream"));
	assert_true(wire_wait(&p->w, "data: [DONE]\n\n"));
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(what_is_for_the_upstream_goes_through_and_no_more),
		TEST(an_answer_goes_through_with_its_end_to_end_fields),
		TEST(head_answers_keep_their_length),
		TEST(chunks_and_a_body_up_to_the_close_are_framed_anew),
		TEST(a_stalled_reader_stops_the_upstream),
		TEST(who_leaves_before_the_answer_closes_the_upstream),
		TEST(who_leaves_a_stream_closes_the_upstream_in_two_events),
		TEST(an_upstream_that_is_not_there_is_502),
		TEST(a_cut_body_is_cut_for_the_client_too),
		TEST(a_cut_event_stream_ends_with_an_error_event),
		TEST(events_cut_anywhere_come_out_whole),
		TEST(a_giant_event_is_passed_on_in_pieces),
		TEST(the_events_follow_those_that_were_sent_before),
		TEST(a_refusal_becomes_an_error_event),
		TEST(a_refusal_without_an_error_object_gets_one),
		TEST(a_plain_answer_where_events_belong_is_an_error_event),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
