#include "io/peer.h"

#include "io/listener.h"
#include "io/timer.h"

#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>
#include <uv.h>

struct place {
	uv_loop_t loop;
	struct listener *listener;
	struct stream *accepted; /* the last one */
	int client;
};

static void on_accept(void *ctx, struct stream *s)
{
	struct place *p = ctx;
	stream_free(p->accepted);
	p->accepted = s;
}

static int set_up(void **state)
{
	struct place *p = xcalloc(1, sizeof *p);
	p->client = -1;
	assert_int_equal(uv_loop_init(&p->loop), 0);
	*state = p;
	return 0;
}

static int tear_down(void **state)
{
	struct place *p = *state;
	if (p->client >= 0)
		close(p->client);
	stream_free(p->accepted);
	listener_free(p->listener);
	uv_run(&p->loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&p->loop), 0);
	free(p);
	return 0;
}

static void address(const char *ip, int port, struct sockaddr_storage *a)
{
	if (uv_ip4_addr(ip, port, (struct sockaddr_in *)a) != 0)
		assert_int_equal(
			uv_ip6_addr(ip, port, (struct sockaddr_in6 *)a), 0);
}

static void meet(struct place *p, const char *listen_ip, const char *ip)
{
	struct err e;
	struct sockaddr_storage a = { 0 };
	assert_int_equal(listener_tcp(&p->loop, listen_ip, 0, on_accept, p,
				      &p->listener, &e),
			 0);
	address(ip, listener_port(p->listener), &a);
	p->client = socket(a.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(connect(p->client, (struct sockaddr *)&a, sizeof a),
			 0);
	while (!p->accepted)
		uv_run(&p->loop, UV_RUN_ONCE);
}

static void finds_us(struct place *p)
{
	struct peer_ends ends;
	struct err e;
	unsigned uid = 12345;
	peer_of(p->accepted, &ends);
	assert_int_equal(peer_find_uid(&ends, &uid, &e), 0);
	assert_int_equal(uid, getuid());
}

static void the_user_of_an_ipv4_connection_is_found(void **state)
{
	meet(*state, "127.0.0.1", "127.0.0.1");
	finds_us(*state);
}

static void the_user_of_an_ipv6_connection_is_found(void **state)
{
	meet(*state, "::1", "::1");
	finds_us(*state);
}

static void an_ipv6_socket_that_speaks_ipv4_is_found(void **state)
{
	meet(*state, "127.0.0.1", "::ffff:127.0.0.1");
	finds_us(*state);
}

static void the_ends_have_addresses(void **state)
{
	struct place *p = *state;
	struct peer_ends ends;
	char text[PEER_TEXT_BYTES], want[PEER_TEXT_BYTES];
	meet(p, "127.0.0.1", "127.0.0.1");
	peer_of(p->accepted, &ends);
	snprintf(want, sizeof want, "127.0.0.1:%d", listener_port(p->listener));
	peer_text(&ends, &ends.ours, text);
	assert_string_equal(text, want);
	peer_text(&ends, &ends.theirs, text);
	assert_memory_equal(text, "127.0.0.1:", 10);
	assert_string_not_equal(text, want);
}

static void an_ipv6_address_stands_in_brackets(void **state)
{
	struct place *p = *state;
	struct peer_ends ends;
	char text[PEER_TEXT_BYTES];
	meet(p, "::1", "::1");
	peer_of(p->accepted, &ends);
	peer_text(&ends, &ends.theirs, text);
	assert_memory_equal(text, "[::1]:", 6);
}

/* The kernel says "root" of a socket that its process has closed. */
static void a_connection_that_was_closed_is_nobodys(void **state)
{
	struct place *p = *state;
	struct peer_ends ends;
	struct err e;
	unsigned uid;
	meet(p, "127.0.0.1", "127.0.0.1");
	peer_of(p->accepted, &ends);
	close(p->client);
	p->client = -1;
	assert_int_equal(peer_find_uid(&ends, &uid, &e), PEER_UNKNOWN);
}

static void a_half_closed_connection_still_has_a_user(void **state)
{
	struct place *p = *state;
	meet(p, "127.0.0.1", "127.0.0.1");
	shutdown(p->client, SHUT_WR);
	finds_us(p);
}

static void no_connection_no_user(void **state)
{
	struct peer_ends ends = { .family = AF_INET,
				  .ours = { { 127, 0, 0, 1 }, 1 },
				  .theirs = { { 127, 0, 0, 1 }, 1 } };
	struct peer_ends none = { 0 };
	struct err e;
	unsigned uid;
	char text[PEER_TEXT_BYTES];
	(void)state;
	assert_int_equal(peer_find_uid(&ends, &uid, &e), PEER_UNKNOWN);
	assert_int_equal(peer_find_uid(&none, &uid, &e), PEER_UNKNOWN);
	peer_text(&none, &none.ours, text);
	assert_string_equal(text, "");
}

/* Another user connects; only root can become one. */
static void another_user_is_told_apart(void **state)
{
	struct place *p = *state;
	struct err e;
	struct peer_ends ends;
	struct sockaddr_storage a = { 0 };
	unsigned uid = 0;
	int status, hold[2];
	char c;
	if (getuid() != 0)
		skip();
	assert_int_equal(listener_tcp(&p->loop, "127.0.0.1", 0, on_accept, p,
				      &p->listener, &e),
			 0);
	address("127.0.0.1", listener_port(p->listener), &a);
	assert_int_equal(pipe(hold), 0);
	pid_t pid = fork();
	if (pid == 0) {
		close(hold[1]);
		int fd = setuid(65534) == 0 ? socket(AF_INET, SOCK_STREAM, 0)
					    : -1;
		int r = connect(fd, (struct sockaddr *)&a, sizeof a);
		_exit(r == 0 && read(hold[0], &c, 1) == 0 ? 0 : 1);
	}
	close(hold[0]);
	while (!p->accepted)
		uv_run(&p->loop, UV_RUN_ONCE);
	peer_of(p->accepted, &ends);
	assert_int_equal(peer_find_uid(&ends, &uid, &e), 0);
	assert_int_equal(uid, 65534);
	close(hold[1]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

#define ROW(fn) cmocka_unit_test_setup_teardown(fn, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		ROW(the_user_of_an_ipv4_connection_is_found),
		ROW(the_user_of_an_ipv6_connection_is_found),
		ROW(an_ipv6_socket_that_speaks_ipv4_is_found),
		ROW(the_ends_have_addresses),
		ROW(an_ipv6_address_stands_in_brackets),
		ROW(a_connection_that_was_closed_is_nobodys),
		ROW(a_half_closed_connection_still_has_a_user),
		ROW(no_connection_no_user),
		ROW(another_user_is_told_apart),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
