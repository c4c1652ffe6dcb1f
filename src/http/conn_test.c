#include "http/server.h"
#include "http/server_make.h"

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
	static char body[LIMIT_UNREAD_BODY_BYTES + 1];
	/* At the limit it is only skipped. */
	assert_int_equal(LIMIT_UNREAD_BODY_BYTES, 262144);
	ask(p,
	    "POST /fixed HTTP/1.1\r\n" HOST "Content-Length: 262144\r\n\r\n");
	assert_true(wire_wait(&p->w, "hello\n"));
	assert_false(wire_has(&p->w, "Connection: close\r\n"));
	wire_send_bytes(&p->w, body, LIMIT_UNREAD_BODY_BYTES);
	ask(p,
	    "POST /fixed HTTP/1.1\r\n" HOST "Content-Length: 262145\r\n\r\n");
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

static void who_still_reads_its_answer_is_not_idle(void **state)
{
	struct place *p = *state;
	static const char large[1000000];
	set_limits(p, (struct http_limits){ .keepalive_ms = 20 });
	wire_send(&p->w, GET("/held"));
	while (!p->x)
		wire_turn(&p->w);
	exchange_reply(steal(&p->x), 200, NULL,
		       (struct str){ large, sizeof large });
	uint64_t until = timer_now_ns() + 100000000;
	while (timer_now_ns() < until)
		uv_run(&p->loop, UV_RUN_ONCE);
	wire_wait_end(&p->w);
	assert_true(p->w.got.n > sizeof large);
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
	assert_ptr_equal(exchange_visitor(p->x), p);
	assert_true(exchange_peer(p->x)->is_unix);
	http_server_free(steal(&p->server));
	assert_true(p->is_gone);
	assert_int_equal(p->overs, 1);
	assert_int_equal(p->closes, 1);
	wire_wait_end(&p->w);
}

int main(void)
{
#define TEST(f) \
	cmocka_unit_test_setup_teardown(f, server_set_up, server_tear_down)
	const struct CMUnitTest tests[] = {
		TEST(a_short_body_nobody_wanted_is_skipped),
		TEST(a_long_body_nobody_wanted_ends_the_connection),
		TEST(who_sends_for_ever_after_the_end_is_cut),
		TEST(who_stays_silent_after_the_end_is_closed),
		TEST(a_slow_head_is_408),
		TEST(a_slow_body_is_408),
		TEST(a_body_that_its_handler_does_not_want_yet_is_not_slow),
		TEST(an_idle_connection_is_closed_without_a_word),
		TEST(who_still_reads_its_answer_is_not_idle),
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
