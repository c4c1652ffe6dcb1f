#include "http/server.h"
#include "http/server_make.h"

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

/* Beside what others hold. */
static void six_hundred_are_too_many(struct place *p)
{
	static const char body[600] = "body";
	struct wire other;
	wire_open(&other, &p->loop, p->path);
	wire_send(&other,
		  "POST /echo HTTP/1.1\r\n" HOST "Content-Length: 600\r\n\r\n");
	wire_send_bytes(&other, body, sizeof body);
	wire_wait_end(&other);
	assert_memory_equal(other.got.p, "HTTP/1.1 503 ", 13);
	wire_close(&other);
}

static void all_bodies_together_are_bounded(void **state)
{
	struct place *p = *state;
	set_limits(p, (struct http_limits){ .bodies_bytes = 1500 });
	ask(p, "POST /echo HTTP/1.1\r\n" HOST "Content-Length: 1000\r\n\r\n");
	static const char body[1000] = "body";
	wire_send_bytes(&p->w, body, 999);
	while (!p->requests)
		wire_turn(&p->w);
	wire_turn(&p->w);
	struct http_exchange *first = p->x;
	six_hundred_are_too_many(p);
	p->x = first;
	wire_send_bytes(&p->w, body, 1);
	assert_true(wire_wait(&p->w, "body"));
	/* Answered bodies do not count. */
	post(p, BODY_MAX, "");
	assert_true(wire_wait(&p->w, "bbbb"));
}

struct taker {
	struct http_exchange *x;
	struct buf body;
};

static void take(void *ctx, struct str body)
{
	struct taker *t = ctx;
	assert_int_equal(body.n, 1000);
	exchange_take_body(t->x, &t->body);
}

static void a_body_that_was_taken_counts_until_its_answer(void **state)
{
	struct place *p = *state;
	struct taker t = { 0 };
	static const char body[1000] = "body";
	set_limits(p, (struct http_limits){ .bodies_bytes = 1500 });
	ask(p, "POST /later HTTP/1.1\r\n" HOST "Content-Length: 1000\r\n\r\n");
	while (!p->requests)
		wire_turn(&p->w);
	t.x = p->x;
	exchange_collect(t.x, BODY_MAX, take, &t);
	wire_send_bytes(&p->w, body, 1000);
	while (!t.body.n)
		wire_turn(&p->w);
	six_hundred_are_too_many(p);
	exchange_reply(t.x, 200, NULL, STR("taken"));
	assert_true(wire_wait(&p->w, "taken"));
	assert_memory_equal(t.body.p, body, 1000);
	buf_fini(&t.body);
	post(p, BODY_MAX, "");
	assert_true(wire_wait(&p->w, "bbbb"));
}

int main(void)
{
#define TEST(f) \
	cmocka_unit_test_setup_teardown(f, server_set_up, server_tear_down)
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
		TEST(a_body_that_was_taken_counts_until_its_answer),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
