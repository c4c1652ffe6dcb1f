#include "base/limits.h"
#include "io/listener.h"
#include "base/buf.h"
#include "io/stream.h"
#include "io/timer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>
#include <uv.h>

#include <cmocka.h>

/* One end of a connection, and what it has seen. */
struct end {
	struct stream *s;
	struct buf got;
	size_t got_bytes;
	bool is_open, is_ended, is_failed, is_drained;
	bool pauses;	    /* after each piece */
	struct str answers; /* written three times for each piece */
	struct err err;
};

struct both {
	uv_loop_t loop;
	struct listener *l;
	char path[64];
	char address[80];
	struct end client, server;
};

static void on_data(void *ctx, struct str data)
{
	struct end *x = ctx;
	x->got_bytes += data.n;
	if (x->got.n < 100)
		assert_int_equal(buf_put(&x->got, data.p, data.n), 0);
	if (x->pauses)
		stream_pause(x->s);
	for (int i = 0; i < 3 && x->answers.n; i++)
		assert_int_equal(stream_write(x->s, &x->answers, 1), 0);
}

static void on_end(void *ctx)
{
	((struct end *)ctx)->is_ended = true;
}

static void on_drain(void *ctx)
{
	((struct end *)ctx)->is_drained = true;
}

static void on_fail(void *ctx, const struct err *e)
{
	struct end *x = ctx;
	assert_false(x->is_failed);
	x->is_failed = true;
	x->err = *e;
}

static void on_open(void *ctx)
{
	((struct end *)ctx)->is_open = true;
}

static const struct stream_fns fns = { on_data, on_end, on_drain, on_fail };

static void on_accept(void *ctx, struct stream *s)
{
	struct both *b = ctx;
	b->server.s = s;
	stream_set_fns(s, &fns, &b->server);
	stream_resume(s);
}

static void run_until(struct both *b, const bool *flag)
{
	while (!*flag)
		uv_run(&b->loop, UV_RUN_ONCE);
}

static int set_up(void **state)
{
	struct both *b = xcalloc(1, sizeof *b);
	char dir[] = "/tmp/stream-test-XXXXXX";
	struct err e;
	alarm(30);
	uv_loop_init(&b->loop);
	buf_init(&b->client.got, SIZE_MAX / 2);
	buf_init(&b->server.got, SIZE_MAX / 2);
	assert_non_null(mkdtemp(dir));
	snprintf(b->path, sizeof b->path, "%s/s", dir);
	snprintf(b->address, sizeof b->address, "unix:%s", b->path);
	assert_int_equal(
		listener_unix(&b->loop, b->path, 0600, on_accept, b, &b->l, &e),
		0);
	*state = b;
	return 0;
}

static int tear_down(void **state)
{
	struct both *b = *state;
	stream_free(b->client.s);
	stream_free(b->server.s);
	listener_free(b->l);
	uv_run(&b->loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&b->loop), 0);
	assert_null(uv_loop_get_data(&b->loop));
	buf_fini(&b->client.got);
	buf_fini(&b->server.got);
	*strrchr(b->path, '/') = '\0';
	assert_int_equal(rmdir(b->path), 0); /* the socket file went */
	free(b);
	return 0;
}

static void meet(struct both *b, const char *address)
{
	struct err e;
	assert_int_equal(stream_connect(&b->loop, address, &fns, &b->client,
					on_open, &b->client.s, &e),
			 0);
	stream_resume(b->client.s);
	run_until(b, &b->client.is_open);
	while (!b->server.s)
		uv_run(&b->loop, UV_RUN_ONCE);
}

static void send_str(struct end *x, const char *text)
{
	struct str part = str_of(text);
	stream_write(x->s, &part, 1);
}

static void what_is_written_before_it_opens_arrives(void **state)
{
	struct both *b = *state;
	struct err e;
	assert_int_equal(stream_connect(&b->loop, b->address, &fns, &b->client,
					on_open, &b->client.s, &e),
			 0);
	struct str parts[] = { STR("early "), STR(""), STR("bird") };
	assert_int_equal(stream_write(b->client.s, parts, 3), 0);
	assert_int_equal(stream_queued(b->client.s), 10);
	stream_finish(b->client.s);
	run_until(b, &b->server.is_ended);
	assert_string_equal(b->server.got.p, "early bird");
	assert_int_equal(stream_queued(b->client.s), 0);
}

static void the_peer_can_be_answered_after_its_fin(void **state)
{
	struct both *b = *state;
	meet(b, b->address);
	stream_finish(b->client.s);
	run_until(b, &b->server.is_ended);
	send_str(&b->server, "late");
	stream_finish(b->server.s);
	run_until(b, &b->client.is_ended);
	assert_string_equal(b->client.got.p, "late");
}

static void writes_inside_on_data_leave_in_one_piece(void **state)
{
	struct both *b = *state;
	meet(b, b->address);
	b->server.answers = STR("abc");
	send_str(&b->client, "?");
	b->client.pauses = true; /* so that only one read is seen */
	while (!b->client.got.n)
		uv_run(&b->loop, UV_RUN_ONCE);
	assert_string_equal(b->client.got.p, "abcabcabc");
}

static void large_writes_inside_on_data_keep_their_order(void **state)
{
	struct both *b = *state;
	meet(b, b->address);
	auto_free char *big = xcalloc(1, 30001);
	memset(big, 'x', 30000);
	big[0] = '<';
	big[29999] = '>';
	b->server.answers = str_of(big);
	send_str(&b->client, "?");
	while (b->client.got_bytes < 90000)
		uv_run(&b->loop, UV_RUN_ONCE);
	assert_int_equal(b->client.got_bytes, 90000);
	for (size_t i = 0; i < b->client.got.n; i += 30000)
		assert_int_equal(b->client.got.p[i], '<');
}

static void a_stalled_reader_stops_the_writer(void **state)
{
	struct both *b = *state;
	static char piece[1000];
	meet(b, b->address);
	stream_pause(b->server.s);
	struct str part = { piece, sizeof piece };
	size_t sent = sizeof piece;
	while (stream_write(b->client.s, &part, 1) != STREAM_FULL)
		sent += sizeof piece;
	size_t queued = stream_queued(b->client.s);
	assert_true(queued >= LIMIT_STREAM_QUEUE_BYTES);
	assert_true(queued < LIMIT_STREAM_QUEUE_BYTES + sizeof piece);
	assert_false(b->client.is_drained);
	stream_resume(b->server.s);
	run_until(b, &b->client.is_drained);
	assert_int_equal(stream_queued(b->client.s), 0);
	while (b->server.got_bytes < sent)
		uv_run(&b->loop, UV_RUN_ONCE);
	assert_int_equal(b->server.got_bytes, sent);
}

static void a_pause_inside_on_data_holds(void **state)
{
	struct both *b = *state;
	meet(b, b->address);
	b->server.pauses = true;
	send_str(&b->client, "one");
	while (!b->server.got_bytes)
		uv_run(&b->loop, UV_RUN_ONCE);
	send_str(&b->client, "two");
	uv_run(&b->loop, UV_RUN_NOWAIT);
	assert_int_equal(b->server.got_bytes, 3);
	stream_resume(b->server.s);
	while (b->server.got_bytes < 6)
		uv_run(&b->loop, UV_RUN_ONCE);
}

static void writing_to_a_peer_that_left_fails_later(void **state)
{
	struct both *b = *state;
	meet(b, b->address);
	stream_free(steal(&b->server.s));
	run_until(b, &b->client.is_ended);
	send_str(&b->client, "anybody?");
	assert_false(b->client.is_failed); /* not inside the call */
	run_until(b, &b->client.is_failed);
	assert_non_null(strstr(b->client.err.msg, "broken pipe"));
	send_str(&b->client, "no");
	assert_int_equal(stream_queued(b->client.s), 0);
}

static void a_refused_connection_fails_and_says_where(void **state)
{
	struct both *b = *state;
	struct err e;
	assert_int_equal(stream_connect(&b->loop, "unix:/nonexistent/s", &fns,
					&b->client, on_open, &b->client.s, &e),
			 0);
	run_until(b, &b->client.is_failed);
	assert_false(b->client.is_open);
	assert_string_equal(b->client.err.msg,
			    "connect unix:/nonexistent/s: no such file or "
			    "directory");
}

static void every_address_of_a_name_is_tried(void **state)
{
	struct both *b = *state;
	struct listener *tcp;
	struct err e;
	assert_int_equal(
		listener_tcp(&b->loop, "127.0.0.1", 0, on_accept, b, &tcp, &e),
		0);
	char address[64];
	/* Where localhost is [::1] first, nobody listens there. */
	snprintf(address, sizeof address, "localhost:%d", listener_port(tcp));
	meet(b, address);
	struct stream_peer peer;
	stream_get_peer(b->server.s, &peer);
	assert_false(peer.is_unix);
	assert_memory_equal(peer.address, "127.0.0.1:", 10);
	send_str(&b->client, "hello");
	while (b->server.got_bytes < 5)
		uv_run(&b->loop, UV_RUN_ONCE);
	listener_free(tcp);
}

static void a_stream_can_go_while_its_name_is_looked_up(void **state)
{
	struct both *b = *state;
	struct stream *s;
	struct err e;
	assert_int_equal(stream_connect(&b->loop, "localhost:1", &fns,
					&b->client, on_open, &s, &e),
			 0);
	stream_free(s);
	assert_int_equal(stream_connect(&b->loop, "127.0.0.1:1", &fns,
					&b->client, on_open, &s, &e),
			 0);
	stream_free(s);
	assert_int_equal(stream_connect(&b->loop, b->address, &fns, &b->client,
					on_open, &s, &e),
			 0);
	stream_free(s);
	listener_free(steal(&b->l));
	uv_run(&b->loop, UV_RUN_DEFAULT);
	assert_false(b->client.is_open || b->client.is_failed);
}

static void what_is_no_address_is_refused(void **state)
{
	struct both *b = *state;
	static const char *const bad[] = {
		"",	  "host",	"host:",     ":80",
		"host:0", "host:65536", "host:http", "[::1:80",
		"[x]:80", "unix:",	"[]:80",
	};
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct stream *s;
		struct err e;
		assert_int_equal(stream_connect(&b->loop, bad[i], &fns, NULL,
						NULL, &s, &e),
				 -1);
		assert_int_equal(e.code, ERR_INVALID);
	}
	char path[120] = "unix:/";
	memset(path + 6, 'x', 107);
	struct stream *s;
	struct err e;
	assert_int_equal(
		stream_connect(&b->loop, path, &fns, NULL, NULL, &s, &e), -1);
}

static void the_peer_of_a_unix_socket_is_known(void **state)
{
	struct both *b = *state;
	struct stream_peer peer;
	meet(b, b->address);
	stream_get_peer(b->server.s, &peer);
	assert_true(peer.is_unix);
	assert_int_equal(peer.pid, getpid());
	assert_int_equal(peer.uid, getuid());
	assert_string_equal(peer.address, "");
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(what_is_written_before_it_opens_arrives),
		TEST(the_peer_can_be_answered_after_its_fin),
		TEST(writes_inside_on_data_leave_in_one_piece),
		TEST(large_writes_inside_on_data_keep_their_order),
		TEST(a_stalled_reader_stops_the_writer),
		TEST(a_pause_inside_on_data_holds),
		TEST(writing_to_a_peer_that_left_fails_later),
		TEST(a_refused_connection_fails_and_says_where),
		TEST(every_address_of_a_name_is_tried),
		TEST(a_stream_can_go_while_its_name_is_looked_up),
		TEST(what_is_no_address_is_refused),
		TEST(the_peer_of_a_unix_socket_is_known),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
