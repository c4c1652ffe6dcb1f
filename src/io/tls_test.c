#include "io/tls.h"
#include "base/buf.h"
#include "base/limits.h"
#include "io/listener.h"
#include "io/timer.h"
#include "io/tls_make.h"

#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <sys/socket.h>
#include <uv.h>

#include <cmocka.h>

/* One end of a connection, and what it has seen. */
struct end {
	struct stream *s;
	struct buf got;
	bool is_open, is_ended, is_failed, is_drained;
	bool pauses;	    /* after each piece */
	bool leaves;	    /* frees its stream at the first piece */
	struct str answers; /* written for each piece */
	size_t pieces;
	struct err err;
};

struct both {
	uv_loop_t loop;
	struct listener *l;
	struct tls *server_tls, *client_tls;
	struct end client, server;
	uv_timer_t tick; /* a timer is no event that UV_RUN_ONCE returns for */
};

static void on_data(void *ctx, struct str data)
{
	struct end *x = ctx;
	assert_int_equal(buf_put(&x->got, data.p, data.n), 0);
	x->pieces++;
	if (x->pauses)
		stream_pause(x->s);
	if (x->answers.n)
		stream_write(x->s, &x->answers, 1);
	if (x->leaves)
		stream_free(steal(&x->s));
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
	assert_null(b->server.s);
	b->server.s = s;
	tls_start(b->server_tls, s, NULL);
	stream_set_fns(s, &fns, &b->server);
	stream_resume(s);
}

static void on_tick(uv_timer_t *t)
{
	(void)t;
}

static void run_until(struct both *b, const bool *flag)
{
	while (!*flag)
		uv_run(&b->loop, UV_RUN_ONCE);
}

static void run_until_got(struct both *b, struct end *x, size_t n)
{
	while (x->got.n < n)
		uv_run(&b->loop, UV_RUN_ONCE);
}

static int set_up(void **state)
{
	struct both *b = xcalloc(1, sizeof *b);
	struct err e;
	alarm(60);
	tls_make_open();
	auto_(tls_cert) ca = tls_make("ca", NULL, "localhost", 400);
	tls_cert_free(tls_make("other", NULL, "localhost", 400));
	tls_cert_free(tls_make("server", ca, "localhost", 90));
	tls_cert_free(tls_make("address", ca, "127.0.0.1", 90));
	tls_cert_free(tls_make("expired", ca, "localhost", -1));
	uv_loop_init(&b->loop);
	uv_timer_init(&b->loop, &b->tick);
	uv_timer_start(&b->tick, on_tick, 2, 2);
	buf_init(&b->client.got, SIZE_MAX / 2);
	buf_init(&b->server.got, SIZE_MAX / 2);
	b->server_tls = tls_make_server("server");
	b->client_tls = tls_make_client("ca");
	assert_int_equal(
		listener_tcp(&b->loop, "127.0.0.1", 0, on_accept, b, &b->l, &e),
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
	uv_close((uv_handle_t *)&b->tick, NULL);
	uv_run(&b->loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&b->loop), 0);
	assert_null(uv_loop_get_data(&b->loop));
	buf_fini(&b->client.got);
	buf_fini(&b->server.got);
	tls_free(b->server_tls);
	tls_free(b->client_tls);
	free(b);
	tls_make_close();
	return 0;
}

static void begin(struct both *b, const char *host)
{
	char address[64];
	struct err e;
	snprintf(address, sizeof address, "127.0.0.1:%d", listener_port(b->l));
	assert_int_equal(stream_connect(&b->loop, address, &fns, &b->client,
					on_open, &b->client.s, &e),
			 0);
	tls_start(b->client_tls, b->client.s, host);
	stream_resume(b->client.s);
}

static void meet(struct both *b)
{
	begin(b, "localhost");
	run_until(b, &b->client.is_open);
}

static void send_str(struct end *x, const char *text)
{
	struct str part = str_of(text);
	stream_write(x->s, &part, 1);
}

/* Another server certificate, by the name of its files. */
static void serve(struct both *b, const char *name)
{
	tls_free(b->server_tls);
	b->server_tls = tls_make_server(name);
}

static void believe(struct both *b, const char *name)
{
	tls_free(b->client_tls);
	b->client_tls = tls_make_client(name);
}

static void what_is_written_before_the_handshake_arrives_after_it(void **state)
{
	struct both *b = *state;
	begin(b, "localhost");
	send_str(&b->client, "early ");
	send_str(&b->client, "bird");
	assert_int_equal(stream_queued(b->client.s), 10);
	stream_finish(b->client.s);
	run_until(b, &b->server.is_ended);
	assert_string_equal(b->server.got.p, "early bird");
	assert_true(b->client.is_open && b->client.is_drained);
}

static void either_end_finishes_for_itself(void **state)
{
	struct both *b = *state;
	meet(b);
	stream_finish(b->client.s);
	run_until(b, &b->server.is_ended);
	send_str(&b->server, "late");
	stream_finish(b->server.s);
	run_until(b, &b->client.is_ended);
	assert_string_equal(b->client.got.p, "late");
	assert_false(b->client.is_failed || b->server.is_failed);
}

static void a_stream_that_is_freed_says_its_last_word(void **state)
{
	struct both *b = *state;
	meet(b);
	send_str(&b->client, "x");
	stream_free(steal(&b->client.s));
	run_until(b, &b->server.is_ended);
	assert_false(b->server.is_failed);
}

static void a_stream_that_is_broken_does_not(void **state)
{
	struct both *b = *state;
	meet(b);
	send_str(&b->client, "x");
	run_until_got(b, &b->server, 1);
	stream_break(b->client.s);
	stream_free(steal(&b->client.s));
	run_until(b, &b->server.is_failed);
	assert_false(b->server.is_ended);
}

static void writes_inside_on_data_leave_in_one_record(void **state)
{
	struct both *b = *state;
	meet(b);
	b->server.answers = STR("abc");
	b->client.pauses = true;
	/* Two records that one read takes. */
	struct str part = STR("?");
	stream_write(b->client.s, &part, 1);
	stream_write(b->client.s, &part, 1);
	run_until_got(b, &b->client, 1);
	if (b->server.pieces == 2)
		assert_string_equal(b->client.got.p, "abcabc");
	stream_resume(b->client.s);
	run_until_got(b, &b->client, 6);
}

static void a_pause_holds_what_was_decrypted_too(void **state)
{
	struct both *b = *state;
	meet(b);
	b->server.pauses = true;
	for (int i = 0; i < 5; i++)
		send_str(&b->client, "piece ");
	stream_finish(b->client.s);
	for (size_t n = 1; n <= 5; n++) {
		run_until_got(b, &b->server, 6 * n);
		for (int i = 0; i < 5; i++)
			uv_run(&b->loop, UV_RUN_NOWAIT);
		assert_int_equal(b->server.got.n, 6 * n);
		assert_false(b->server.is_ended);
		stream_resume(b->server.s);
		/* Never inside the call. */
		assert_int_equal(b->server.got.n, 6 * n);
	}
	run_until(b, &b->server.is_ended);
}

/* 32 MiB to a reader that stops after each piece. */
static void much_goes_through_and_stops_at_a_full_queue(void **state)
{
	struct both *b = *state;
	enum { PIECE = 100000, ALL = 335 };
	auto_free char *piece = xcalloc(1, PIECE);
	size_t most = 0, n = 0;
	meet(b);
	b->server.pauses = true;
	struct str part = { piece, PIECE };
	while (n < ALL) {
		for (int i = 0; i < PIECE; i++)
			piece[i] = (char)((n * PIECE + i) * 31 >> 8);
		n++;
		b->client.is_drained = false;
		bool is_full = stream_write(b->client.s, &part, 1);
		most = MAX(most, stream_queued(b->client.s));
		while (is_full && !b->client.is_drained) {
			stream_resume(b->server.s);
			uv_run(&b->loop, UV_RUN_ONCE);
		}
	}
	b->server.pauses = false;
	stream_resume(b->server.s);
	run_until_got(b, &b->server, (size_t)ALL * PIECE);
	assert_true(most < LIMIT_STREAM_QUEUE_BYTES + 2 * PIECE);
	for (size_t i = 0; i < b->server.got.n; i++)
		if (b->server.got.p[i] != (char)(i * 31 >> 8))
			fail_msg("byte %zu differs", i);
}

static void an_owner_may_leave_inside_any_call(void **state)
{
	struct both *b = *state;
	meet(b);
	b->server.leaves = true;
	send_str(&b->client, "one");
	send_str(&b->client, "two");
	run_until(b, &b->client.is_ended);
	assert_int_equal(b->server.pieces, 1);
}

/* ---- whom a client believes ---- */

static void refuses(struct both *b, const char *host, const char *why)
{
	begin(b, host);
	send_str(&b->client, "secret");
	run_until(b, &b->client.is_failed);
	assert_false(b->client.is_open);
	assert_int_equal(b->client.err.code, ERR_TLS);
	if (!strstr(b->client.err.msg, why))
		fail_msg("%s", b->client.err.msg);
	assert_null(strchr(b->client.err.msg + 5, ':'));
	while (!b->server.is_failed)
		uv_run(&b->loop, UV_RUN_ONCE);
	assert_int_equal(b->server.got.n, 0);
}

static void a_certificate_for_another_host_is_refused(void **state)
{
	refuses(*state, "example.org", "is not for 'example.org'");
}

static void a_certificate_for_a_name_is_none_for_its_address(void **state)
{
	refuses(*state, "127.0.0.1", "is not for '127.0.0.1'");
}

static void a_certificate_for_an_address_is_believed(void **state)
{
	struct both *b = *state;
	serve(b, "address");
	begin(b, "127.0.0.1");
	run_until(b, &b->client.is_open);
}

static void an_expired_certificate_is_refused(void **state)
{
	serve(*state, "expired");
	refuses(*state, "localhost", "has expired");
}

static void a_certificate_of_another_ca_is_refused(void **state)
{
	believe(*state, "other");
	refuses(*state, "localhost", "not from a CA that is trusted here");
}

static void the_systems_cas_know_nothing_of_ours(void **state)
{
	struct both *b = *state;
	const struct tls_trust trust = { 0 };
	struct err e;
	tls_free(steal(&b->client_tls));
	assert_int_equal(tls_client_new(&trust, &b->client_tls, &e), 0);
	refuses(b, "localhost", "not from a CA that is trusted here");
}

static void who_believes_everybody_believes_an_expired_one(void **state)
{
	struct both *b = *state;
	serve(b, "expired");
	believe(b, NULL);
	begin(b, "example.org");
	run_until(b, &b->client.is_open);
}

static void an_authority_cannot_sign_a_name_outside_its_limits(void **state)
{
	struct both *b = *state;
	struct tls_cert *ca;
	struct err e;
	auto_free char *cert = tls_make_path("ca.crt");
	auto_free char *key = tls_make_path("ca.key");
	assert_int_equal(tls_cert_read(cert, key, &ca, &e), 0);
	tls_cert_free(tls_make("bank", ca, "bank.example", 90));
	tls_cert_free(tls_make("public", ca, "8.8.8.8", 90));
	tls_cert_free(ca);
	serve(b, "bank");
	refuses(b, "bank.example", "permitted subtree violation");
	stream_free(steal(&b->client.s));
	stream_free(steal(&b->server.s));
	b->client.is_failed = b->server.is_failed = false;
	serve(b, "public");
	refuses(b, "8.8.8.8", "permitted subtree violation");
}

static void files_that_are_no_certificates_are_refused(void **state)
{
	struct tls *t;
	struct err e;
	(void)state;
	auto_free char *ca = tls_make_path("ca.crt");
	auto_free char *cert = tls_make_path("server.crt");
	auto_free char *key = tls_make_path("server.key");
	auto_free char *wrong = tls_make_path("other.key");
	assert_int_equal(tls_server_new(key, key, &t, &e), -1);
	assert_non_null(strstr(e.msg, "holds no certificate"));
	assert_int_equal(tls_server_new(cert, wrong, &t, &e), -1);
	assert_non_null(strstr(e.msg, "holds no key of"));
	assert_int_equal(tls_server_new("/nonexistent", key, &t, &e), -1);
	const char *files[] = { ca, key, NULL };
	const struct tls_trust trust = { .ca_files = files };
	assert_int_equal(tls_client_new(&trust, &t, &e), -1);
	assert_non_null(strstr(e.msg, "holds no CA's certificate"));
}

static void the_end_of_a_servers_certificate_is_known(void **state)
{
	struct both *b = *state;
	int64_t left = tls_server_ends(b->server_tls) - time(NULL);
	assert_true(left > 89 * TLS_MAKE_DAY && left <= 90 * TLS_MAKE_DAY);
}

/* ---- hostile peers ---- */

static int raw(struct both *b)
{
	struct sockaddr_in to = { .sin_family = AF_INET,
				  .sin_port =
					  htons((uint16_t)listener_port(b->l)),
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof to), 0);
	return fd;
}

static void garbage_ends_the_handshake(void **state)
{
	struct both *b = *state;
	auto_close int fd = raw(b);
	char junk[3000];
	memset(junk, 0x16, sizeof junk);
	assert_int_equal(write(fd, junk, sizeof junk), sizeof junk);
	run_until(b, &b->server.is_failed);
	assert_int_equal(b->server.err.code, ERR_TLS);
	assert_int_equal(b->server.got.n, 0);
}

static void plain_http_is_answered_in_plain_http(void **state)
{
	struct both *b = *state;
	auto_close int fd = raw(b);
	char answer[400] = "";
	assert_int_equal(write(fd, "OPTIONS / HTTP/1.1\r\n\r\n", 22), 22);
	run_until(b, &b->server.is_failed);
	stream_free(steal(&b->server.s));
	uv_run(&b->loop, UV_RUN_NOWAIT);
	assert_true(recv(fd, answer, sizeof answer - 1, MSG_WAITALL) > 0);
	assert_memory_equal(answer, "HTTP/1.1 400 ", 13);
	assert_non_null(strstr(answer, "https://"));
}

static void a_peer_that_leaves_in_the_handshake_is_no_end(void **state)
{
	struct both *b = *state;
	int fd = raw(b);
	assert_int_equal(write(fd, "\x16\x03\x01\x02\x00\x01", 6), 6);
	close(fd);
	run_until(b, &b->server.is_failed);
	assert_false(b->server.is_ended);
}

static void a_handshake_that_stops_is_over_in_time(void **state)
{
	struct both *b = *state;
	uint64_t from = timer_now_ns();
	int fd = raw(b);
	run_until(b, &b->server.is_failed);
	uint64_t ms = (timer_now_ns() - from) / 1000000;
	assert_true(ms >= LIMIT_TLS_HANDSHAKE_MS - 100);
	assert_true(ms < LIMIT_TLS_HANDSHAKE_MS + 5000);
	assert_non_null(strstr(b->server.err.msg, "took too long"));
	close(fd);
}

/* The connection ends, and nobody said that it would. */
static void a_cut_is_a_failure_and_not_the_end(void **state)
{
	struct both *b = *state;
	meet(b);
	send_str(&b->server, "the whole ans");
	run_until_got(b, &b->client, 13);
	/* As a machine between the two could. */
	stream_break(b->server.s);
	stream_finish(b->server.s);
	run_until(b, &b->client.is_failed);
	assert_false(b->client.is_ended);
	assert_non_null(strstr(b->client.err.msg, "was cut"));
}

static void a_peer_without_tls_is_told_from_a_wrong_one(void **state)
{
	struct both *b = *state;
	static char http[] = "HTTP/1.1 400 Bad Request\r\n\r\n";
	auto_close int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct sockaddr_in at = { .sin_family = AF_INET,
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t n = sizeof at;
	char address[64];
	struct err e;
	assert_int_equal(bind(fd, (struct sockaddr *)&at, n), 0);
	assert_int_equal(listen(fd, 1), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&at, &n), 0);
	snprintf(address, sizeof address, "127.0.0.1:%d", ntohs(at.sin_port));
	assert_int_equal(stream_connect(&b->loop, address, &fns, &b->client,
					on_open, &b->client.s, &e),
			 0);
	tls_start(b->client_tls, b->client.s, "localhost");
	stream_resume(b->client.s);
	while (stream_queued(b->client.s))
		uv_run(&b->loop, UV_RUN_NOWAIT);
	auto_close int peer = accept(fd, NULL, NULL);
	assert_int_equal(write(peer, http, sizeof http - 1), sizeof http - 1);
	run_until(b, &b->client.is_failed);
	assert_string_equal(b->client.err.msg,
			    "tls: what answers there is not TLS");
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(what_is_written_before_the_handshake_arrives_after_it),
		TEST(either_end_finishes_for_itself),
		TEST(a_stream_that_is_freed_says_its_last_word),
		TEST(a_stream_that_is_broken_does_not),
		TEST(writes_inside_on_data_leave_in_one_record),
		TEST(a_pause_holds_what_was_decrypted_too),
		TEST(much_goes_through_and_stops_at_a_full_queue),
		TEST(an_owner_may_leave_inside_any_call),
		TEST(a_certificate_for_another_host_is_refused),
		TEST(a_certificate_for_a_name_is_none_for_its_address),
		TEST(a_certificate_for_an_address_is_believed),
		TEST(an_expired_certificate_is_refused),
		TEST(a_certificate_of_another_ca_is_refused),
		TEST(the_systems_cas_know_nothing_of_ours),
		TEST(who_believes_everybody_believes_an_expired_one),
		TEST(an_authority_cannot_sign_a_name_outside_its_limits),
		TEST(files_that_are_no_certificates_are_refused),
		TEST(the_end_of_a_servers_certificate_is_known),
		TEST(garbage_ends_the_handshake),
		TEST(plain_http_is_answered_in_plain_http),
		TEST(a_peer_that_leaves_in_the_handshake_is_no_end),
		TEST(a_handshake_that_stops_is_over_in_time),
		TEST(a_cut_is_a_failure_and_not_the_end),
		TEST(a_peer_without_tls_is_told_from_a_wrong_one),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
