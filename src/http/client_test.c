#include "base/limits.h"
#include "http/client.h"
#include "http/chunk.h"
#include "io/listener.h"
#include "io/timer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>
#include <uv.h>

#include "base/buf.h"
#include <cmocka.h>

/* An upstream that says what it is told, and what it heard. */
struct place {
	uv_loop_t loop;
	struct listener *l;
	char dir[32];
	char path[64];
	char address[80];
	struct stream *s; /* the last one accepted */
	size_t accepted;
	struct buf heard;
	bool is_heard_out; /* the client closed */
	const char *says;  /* to each read that ends a request */
	bool then_closes;
	bool closes_used; /* closes at the second request, unanswered */
	size_t requests;

	struct http_pool *pool;
	struct http_call *call;
	struct buf body;
	int status;
	size_t heads, ends, pieces, wants;
	int outcome;
	struct err err;
	bool cancels;	/* in on_body */
	bool pauses;	/* in on_body */
	struct str out; /* streamed request body: written at each want */
};

static void serve(void *ctx, struct str data)
{
	struct place *p = ctx;
	assert_int_equal(buf_put(&p->heard, data.p, data.n), 0);
	if (!p->says || !memmem(data.p, data.n, "\r\n\r\n", 4))
		return;
	p->requests++;
	if (p->closes_used && p->requests == 2) {
		stream_free(steal(&p->s));
		return;
	}
	struct str answer = str_of(p->says);
	stream_write(p->s, &answer, 1);
	if (p->then_closes)
		stream_finish(p->s);
}

static void on_upstream_end(void *ctx)
{
	((struct place *)ctx)->is_heard_out = true;
}

static void on_upstream_fail(void *ctx, const struct err *e)
{
	(void)e;
	((struct place *)ctx)->is_heard_out = true;
}

static void on_accept(void *ctx, struct stream *s)
{
	static const struct stream_fns fns = { serve, on_upstream_end, NULL,
					       on_upstream_fail };
	struct place *p = ctx;
	stream_free(p->s);
	p->s = s;
	p->accepted++;
	p->is_heard_out = false;
	stream_set_fns(s, &fns, p);
	stream_resume(s);
}

static void on_head(void *ctx, const struct http_head *h)
{
	struct place *p = ctx;
	p->status = h->status;
	p->heads++;
}

static void on_body(void *ctx, struct str piece)
{
	struct place *p = ctx;
	p->pieces++;
	assert_int_equal(buf_put(&p->body, piece.p, piece.n), 0);
	if (p->pauses)
		http_call_pause(p->call);
	if (p->cancels)
		http_call_cancel(p->call);
}

static void on_end(void *ctx, int outcome, const struct err *e)
{
	struct place *p = ctx;
	p->call = NULL;
	p->ends++;
	p->outcome = outcome;
	if (e)
		p->err = *e;
}

static void on_want_body(void *ctx)
{
	struct place *p = ctx;
	p->wants++;
	if (!p->out.n)
		return;
	if (http_call_write(p->call, p->out) == STREAM_FULL)
		return;
	http_call_finish(p->call);
}

static const struct http_call_fns fns = { on_head, on_body, on_end,
					  on_want_body };

static int set_up(void **state)
{
	struct place *p = xcalloc(1, sizeof *p);
	struct err e;
	alarm(60);
	uv_loop_init(&p->loop);
	buf_init(&p->heard, SIZE_MAX / 2);
	buf_init(&p->body, SIZE_MAX / 2);
	snprintf(p->dir, sizeof p->dir, "/tmp/client-test-XXXXXX");
	assert_non_null(mkdtemp(p->dir));
	snprintf(p->path, sizeof p->path, "%s/s", p->dir);
	snprintf(p->address, sizeof p->address, "unix:%s", p->path);
	assert_int_equal(
		listener_unix(&p->loop, p->path, 0600, on_accept, p, &p->l, &e),
		0);
	p->pool = http_pool_new(&p->loop, p->address);
	*state = p;
	return 0;
}

static int tear_down(void **state)
{
	struct place *p = *state;
	http_pool_free(p->pool);
	stream_free(p->s);
	listener_free(p->l);
	uv_run(&p->loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&p->loop), 0);
	buf_fini(&p->heard);
	buf_fini(&p->body);
	rmdir(p->dir);
	free(p);
	return 0;
}

static void start(struct place *p, struct http_request r)
{
	if (!r.method)
		r.method = "GET";
	if (!r.path.n)
		r.path = STR("/v1/x?y");
	r.host = "engine";
	buf_clear(&p->body);
	p->call = http_call_start(p->pool, &r, &fns, p);
	assert_non_null(p->call);
}

static void run_to_end(struct place *p)
{
	size_t was = p->ends;
	while (p->ends == was)
		uv_run(&p->loop, UV_RUN_ONCE);
}

static void get(struct place *p, const char *answer)
{
	p->says = answer;
	start(p, (struct http_request){ 0 });
	run_to_end(p);
}

/* ---- what goes out ---- */

static void a_request_has_host_fields_and_length(void **state)
{
	struct place *p = *state;
	p->says = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
	start(p, (struct http_request){ .method = "POST",
					.fields = STR("X-A: b\r\n"),
					.body = STR("body") });
	run_to_end(p);
	assert_string_equal(p->heard.p, "POST /v1/x?y HTTP/1.1\r\n"
					"Host: engine\r\nX-A: b\r\n"
					"Content-Length: 4\r\n\r\nbody");
	assert_int_equal(p->outcome, 0);
	assert_int_equal(p->status, 200);
	assert_string_equal(p->body.p, "ok");
	buf_clear(&p->heard);
	start(p, (struct http_request){ .method = "POST" });
	run_to_end(p);
	assert_non_null(strstr(p->heard.p, "Content-Length: 0\r\n\r\n"));
	buf_clear(&p->heard);
	get(p, p->says);
	assert_null(strstr(p->heard.p, "Content-Length"));
}

static void a_body_can_be_streamed_in_chunks_or_with_a_length(void **state)
{
	struct place *p = *state;
	p->says = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
	p->out = STR("piece");
	start(p, (struct http_request){ .method = "POST",
					.body_is_streamed = true,
					.body_length = -1 });
	run_to_end(p);
	while (!strstr(buf_str(&p->heard).p, "\r\n0\r\n\r\n"))
		uv_run(&p->loop, UV_RUN_ONCE);
	assert_non_null(strstr(p->heard.p, "Transfer-Encoding: chunked\r\n\r\n"
					   "5\r\npiece\r\n0\r\n\r\n"));
	/* Again on a new connection or a kept one: both ask for the body. */
	for (int i = 0; i < 2; i++) {
		buf_clear(&p->heard);
		p->wants = 0;
		start(p, (struct http_request){ .method = "PUT",
						.body_is_streamed = true,
						.body_length = 5 });
		assert_int_equal(p->wants, 0); /* not before it returned */
		run_to_end(p);
		while (!strstr(buf_str(&p->heard).p, "\r\n\r\npiece"))
			uv_run(&p->loop, UV_RUN_ONCE);
		assert_non_null(strstr(p->heard.p, "Content-Length: 5\r\n"));
		assert_int_equal(p->wants, 1);
	}
}

static void a_streamed_body_stops_when_the_upstream_does_not_read(void **state)
{
	struct place *p = *state;
	static char big[LIMIT_STREAM_QUEUE_BYTES];
	start(p, (struct http_request){ .method = "POST",
					.body_is_streamed = true,
					.body_length = -1 });
	while (!p->wants)
		uv_run(&p->loop, UV_RUN_ONCE);
	while (!p->s)
		uv_run(&p->loop, UV_RUN_ONCE);
	stream_pause(p->s);
	struct str piece = { big, sizeof big };
	while (http_call_write(p->call, piece) == 0)
		;
	uv_run(&p->loop, UV_RUN_NOWAIT);
	assert_int_equal(p->wants, 1);
	stream_resume(p->s);
	while (p->wants < 2)
		uv_run(&p->loop, UV_RUN_ONCE);
	http_call_cancel(steal(&p->call));
}

/* ---- what comes back ---- */

static void every_framing_is_understood(void **state)
{
	static const struct {
		const char *answer, *body;
		bool is_kept;
	} cases[] = {
		{ "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc", "abc",
		  true },
		{ "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "", true },
		{ "HTTP/1.1 204 No\r\n\r\n", "", true },
		{ "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
		  "1\r\na\r\n2\r\nbc\r\n0\r\n\r\n",
		  "abc", true },
		{ "HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early\r\n\r\n"
		  "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc",
		  "abc", true },
		{ "HTTP/1.1 200 OK\r\nConnection: close\r\n"
		  "Content-Length: 3\r\n\r\nabc",
		  "abc", false },
		{ "HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\nabc", "abc",
		  false },
		{ "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabcEXTRA", "abc",
		  false },
	};
	struct place *p = *state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		get(p, cases[i].answer);
		assert_int_equal(p->outcome, 0);
		assert_string_equal(buf_str(&p->body).p, cases[i].body);
		size_t was = p->accepted;
		get(p, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
		assert_int_equal(p->accepted, was + !cases[i].is_kept);
	}
	assert_int_equal(p->heads, 2 * ARRAY_LEN(cases));
}

static void a_body_may_end_with_the_connection(void **state)
{
	struct place *p = *state;
	p->then_closes = true;
	get(p, "HTTP/1.0 200 OK\r\n\r\nall of it");
	assert_int_equal(p->outcome, 0);
	assert_string_equal(p->body.p, "all of it");
}

static void an_answer_byte_by_byte_is_the_same(void **state)
{
	struct place *p = *state;
	static const char answer[] =
		"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n"
		"Transfer-Encoding: chunked\r\n\r\n"
		"3\r\nabc\r\n0\r\n\r\n";
	start(p, (struct http_request){ 0 });
	while (!p->heard.n)
		uv_run(&p->loop, UV_RUN_ONCE);
	for (const char *b = answer; *b; b++) {
		struct str one = { b, 1 };
		assert_int_equal(p->ends, 0);
		stream_write(p->s, &one, 1);
		uv_run(&p->loop, UV_RUN_NOWAIT);
		uv_run(&p->loop, UV_RUN_NOWAIT);
	}
	if (!p->ends)
		run_to_end(p);
	assert_string_equal(p->body.p, "abc");
}

static void a_paused_call_stops_its_upstream(void **state)
{
	struct place *p = *state;
	static char big[1000000];
	p->pauses = true;
	p->says = "HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n";
	start(p, (struct http_request){ 0 });
	while (!p->requests)
		uv_run(&p->loop, UV_RUN_ONCE);
	struct str body = { big, sizeof big };
	stream_write(p->s, &body, 1);
	for (int i = 0; i < 5; i++)
		uv_run(&p->loop, UV_RUN_NOWAIT);
	assert_in_range(p->body.n, 1, 2 * LIMIT_READ_BYTES);
	assert_true(stream_queued(p->s) > 0);
	p->pauses = false;
	http_call_resume(p->call);
	run_to_end(p);
	assert_int_equal(p->outcome, 0);
	assert_int_equal(p->body.n, sizeof big);
}

/* ---- connections ---- */

static void a_connection_closed_under_a_request_is_replaced_once(void **state)
{
	struct place *p = *state;
	p->closes_used = true;
	get(p, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
	get(p, p->says);
	assert_int_equal(p->outcome, 0);
	assert_int_equal(p->requests, 3);
	assert_int_equal(p->accepted, 2);
	assert_string_equal(p->body.p, "ok");
}

static void an_idle_connection_that_ends_or_talks_is_dropped(void **state)
{
	struct place *p = *state;
	struct str junk = STR("HTTP/1.1 200 OK\r\n");
	get(p, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
	stream_write(p->s, &junk, 1);
	while (!p->is_heard_out)
		uv_run(&p->loop, UV_RUN_ONCE);
	get(p, p->says);
	assert_int_equal(p->accepted, 2);
	stream_finish(p->s);
	while (!p->is_heard_out)
		uv_run(&p->loop, UV_RUN_ONCE);
	get(p, p->says);
	assert_int_equal(p->accepted, 3);
	assert_int_equal(p->outcome, 0);
}

static void an_idle_connection_is_closed_after_a_while(void **state)
{
	struct place *p = *state;
	get(p, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
	uint64_t start_ns = timer_now_ns();
	while (!p->is_heard_out)
		uv_run(&p->loop, UV_RUN_ONCE);
	assert_in_range((timer_now_ns() - start_ns) / 1000000,
			LIMIT_POOL_IDLE_MS - 50, LIMIT_POOL_IDLE_MS + 500);
}

/* One of many connections at the upstream. */
struct one {
	struct stream *s;
	bool is_left;
};

struct many {
	struct one each[LIMIT_POOL_IDLE + 1];
	size_t accepted;
};

static void note_left(void *ctx)
{
	((struct one *)ctx)->is_left = true;
}

static void ignore(void *ctx, struct str data)
{
	(void)ctx;
	(void)data;
}

static void accept_many(void *ctx, struct stream *s)
{
	static const struct stream_fns one_fns = { ignore, note_left, NULL,
						   NULL };
	struct many *m = ctx;
	struct one *o = &m->each[m->accepted++];
	o->s = s;
	stream_set_fns(s, &one_fns, o);
	stream_resume(s);
}

static void as_many_idle_connections_are_kept_as_may_be(void **state)
{
	struct place *p = *state;
	struct many m = { 0 };
	struct str ok = STR("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
	size_t left = 0;
	struct err e;
	listener_free(p->l);
	assert_int_equal(listener_unix(&p->loop, p->path, 0600, accept_many, &m,
				       &p->l, &e),
			 0);
	for (size_t i = 0; i < ARRAY_LEN(m.each); i++)
		start(p, (struct http_request){ 0 });
	while (m.accepted < ARRAY_LEN(m.each))
		uv_run(&p->loop, UV_RUN_ONCE);
	for (size_t i = 0; i < LIMIT_POOL_IDLE; i++)
		stream_write(m.each[i].s, &ok, 1);
	while (p->ends < LIMIT_POOL_IDLE)
		uv_run(&p->loop, UV_RUN_ONCE);
	uv_run(&p->loop, UV_RUN_NOWAIT);
	for (size_t i = 0; i < ARRAY_LEN(m.each); i++)
		assert_false(m.each[i].is_left);
	stream_write(m.each[LIMIT_POOL_IDLE].s, &ok, 1);
	while (!left) {
		uv_run(&p->loop, UV_RUN_ONCE);
		for (size_t i = 0; i < ARRAY_LEN(m.each); i++)
			left += m.each[i].is_left;
	}
	assert_int_equal(left, 1);
	assert_false(m.each[LIMIT_POOL_IDLE].is_left); /* the newest */
	for (size_t i = 0; i < ARRAY_LEN(m.each); i++)
		stream_free(m.each[i].s);
}

static void cancelling_closes_the_connection_at_once(void **state)
{
	struct place *p = *state;
	start(p, (struct http_request){ 0 });
	while (!p->heard.n)
		uv_run(&p->loop, UV_RUN_ONCE);
	http_call_cancel(steal(&p->call));
	while (!p->is_heard_out)
		uv_run(&p->loop, UV_RUN_ONCE);
	assert_int_equal(p->ends, 0);
}

static void a_call_can_be_cancelled_in_its_own_callback(void **state)
{
	struct place *p = *state;
	p->cancels = true;
	p->says = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
		  "1\r\na\r\n2\r\nbc\r\n0\r\n\r\n";
	start(p, (struct http_request){ 0 });
	while (!p->pieces || !p->is_heard_out)
		uv_run(&p->loop, UV_RUN_ONCE);
	assert_string_equal(p->body.p, "a");
	assert_int_equal(p->ends, 0);
}

static void freeing_the_pool_cancels_without_a_word(void **state)
{
	struct place *p = *state;
	start(p, (struct http_request){ 0 });
	while (!p->heard.n)
		uv_run(&p->loop, UV_RUN_ONCE);
	start(p, (struct http_request){ 0 }); /* not connected yet */
	http_pool_free(steal(&p->pool));
	while (!p->is_heard_out)
		uv_run(&p->loop, UV_RUN_ONCE);
	assert_int_equal(p->ends, 0);
}

/* ---- failures ---- */

static void expect_failure(struct place *p, enum err_code code, const char *why)
{
	assert_int_equal(p->outcome, -1);
	assert_int_equal(p->err.code, code);
	if (!strstr(p->err.msg, why))
		fail_msg("\"%s\" does not say \"%s\"", p->err.msg, why);
	/* Paths of the host are nothing for clients. */
	assert_null(strstr(p->err.msg, "/tmp"));
}

static void a_refused_connection_is_an_error(void **state)
{
	struct place *p = *state;
	listener_free(steal(&p->l));
	get(p, NULL);
	expect_failure(p, ERR_REFUSED, "takes no connections: no such file");
}

static void a_bad_address_is_an_error_of_the_call(void **state)
{
	struct place *p = *state;
	http_pool_free(p->pool);
	p->pool = http_pool_new(&p->loop, "nowhere");
	get(p, NULL);
	assert_int_equal(p->outcome, -1);
	assert_int_equal(p->err.code, ERR_INVALID);
}

static void cut_and_broken_answers_are_errors(void **state)
{
	static char large[LIMIT_HEAD_BYTES + 100];
	memset(large, 'a', LIMIT_HEAD_BYTES + 50);
	memcpy(large, "HTTP/1.1 200 OK\r\nX: ", 20);
	static const struct {
		const char *answer, *why;
	} cases[] = {
		{ "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nab",
		  "in the middle of its answer" },
		{ "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
		  "3\r\nabc\r\n",
		  "in the middle of its answer" },
		{ "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
		  "the engine's answer: the chunked body is wrong" },
		{ "HTTP/1.1 100 Continue\r\n\r\n", "its answer's head" },
		{ "HTTP/1.1 200 OK\r\n", "its answer's head" },
		{ "SSH-2.0-OpenSSH\r\n", "not a valid HTTP message" },
		{ "HTTP/1.1 101 Go\r\nUpgrade: x\r\nConnection: upgrade\r\n"
		  "\r\n",
		  "unasked" },
		{ large, "the head is larger" },
		{ "", "without an answer" },
	};
	struct place *p = *state;
	p->then_closes = true;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		get(p, cases[i].answer);
		expect_failure(p, ERR_ENGINE, cases[i].why);
	}
	assert_int_equal(p->accepted, ARRAY_LEN(cases));
}

static void a_late_first_byte_is_an_error_of_its_own(void **state)
{
	struct place *p = *state;
	start(p, (struct http_request){ .first_byte_limit_ms = 30 });
	run_to_end(p);
	expect_failure(p, ERR_ENGINE_SLOW, "did not begin to answer in time");
	while (!p->is_heard_out)
		uv_run(&p->loop, UV_RUN_ONCE);
}

static void a_connection_that_nobody_takes_is_given_up(void **state)
{
	struct place *p = *state;
	struct sockaddr_in a;
	socklen_t n = sizeof a;
	int fds[4];
	uv_ip4_addr("127.0.0.1", 0, &a);
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&a, n), 0);
	assert_int_equal(listen(fd, 0), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &n), 0);
	/* Its queue is full with these, and the kernel stays silent. */
	for (size_t i = 0; i < ARRAY_LEN(fds); i++) {
		fds[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
		(void)!connect(fds[i], (struct sockaddr *)&a, n);
	}
	char address[32];
	snprintf(address, sizeof address, "127.0.0.1:%d", ntohs(a.sin_port));
	http_pool_free(p->pool);
	p->pool = http_pool_new(&p->loop, address);
	uint64_t start_ns = timer_now_ns();
	get(p, NULL);
	expect_failure(p, ERR_ENGINE_SLOW, "did not take the connection");
	assert_in_range((timer_now_ns() - start_ns) / 1000000,
			LIMIT_CONNECT_MS - 50, LIMIT_CONNECT_MS + 1000);
	for (size_t i = 0; i < ARRAY_LEN(fds); i++)
		close(fds[i]);
	close(fd);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(a_request_has_host_fields_and_length),
		TEST(a_body_can_be_streamed_in_chunks_or_with_a_length),
		TEST(a_streamed_body_stops_when_the_upstream_does_not_read),
		TEST(every_framing_is_understood),
		TEST(a_body_may_end_with_the_connection),
		TEST(an_answer_byte_by_byte_is_the_same),
		TEST(a_paused_call_stops_its_upstream),
		TEST(a_connection_closed_under_a_request_is_replaced_once),
		TEST(an_idle_connection_that_ends_or_talks_is_dropped),
		TEST(an_idle_connection_is_closed_after_a_while),
		TEST(as_many_idle_connections_are_kept_as_may_be),
		TEST(cancelling_closes_the_connection_at_once),
		TEST(a_call_can_be_cancelled_in_its_own_callback),
		TEST(freeing_the_pool_cancels_without_a_word),
		TEST(a_refused_connection_is_an_error),
		TEST(a_bad_address_is_an_error_of_the_call),
		TEST(cut_and_broken_answers_are_errors),
		TEST(a_late_first_byte_is_an_error_of_its_own),
		TEST(a_connection_that_nobody_takes_is_given_up),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
