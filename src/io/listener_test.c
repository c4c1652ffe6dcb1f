#include "base/limits.h"
#include "io/listener.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include <uv.h>

#include <cmocka.h>

struct place {
	uv_loop_t loop;
	char dir[32];
	char path[64];
	struct listener *l;
	struct stream *streams[LIMIT_CONNECTIONS + 1];
	size_t n;
	struct err err;
};

static void on_accept(void *ctx, struct stream *s)
{
	struct place *p = ctx;
	p->streams[p->n++] = s;
}

static int set_up(void **state)
{
	struct place *p = xcalloc(1, sizeof *p);
	alarm(60);
	uv_loop_init(&p->loop);
	snprintf(p->dir, sizeof p->dir, "/tmp/listener-test-XXXXXX");
	assert_non_null(mkdtemp(p->dir));
	snprintf(p->path, sizeof p->path, "%s/s", p->dir);
	*state = p;
	return 0;
}

static int tear_down(void **state)
{
	struct place *p = *state;
	for (size_t i = 0; i < p->n; i++)
		stream_free(p->streams[i]);
	listener_free(p->l);
	uv_run(&p->loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&p->loop), 0);
	unlink(p->path);
	assert_int_equal(rmdir(p->dir), 0);
	free(p);
	return 0;
}

static int listen_at_path(struct place *p, int mode, struct listener **out)
{
	return listener_unix(&p->loop, p->path, mode, on_accept, p, out,
			     &p->err);
}

/* A client of the Unix socket; -1 if it is refused. */
static int dial(const char *path)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	snprintf(a.sun_path, sizeof a.sun_path, "%s", path);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
	if (connect(fd, (struct sockaddr *)&a, sizeof a) == 0)
		return fd;
	close(fd);
	return -1;
}

static void a_busy_port_names_its_holder(void **state)
{
	struct place *p = *state;
	struct listener *second;
	assert_int_equal(listener_tcp(&p->loop, "127.0.0.1", 0, on_accept, p,
				      &p->l, &p->err),
			 0);
	int port = listener_port(p->l);
	assert_true(port > 0);
	assert_int_equal(listener_tcp(&p->loop, "127.0.0.1", port, on_accept, p,
				      &second, &p->err),
			 -1);
	assert_int_equal(p->err.code, ERR_CONFLICT);
	char want[64];
	snprintf(want, sizeof want,
		 "port %d is taken by listener_test "
		 "(process %d)",
		 port, getpid());
	assert_non_null(strstr(p->err.msg, want));
}

static void both_loopback_addresses_can_share_a_port(void **state)
{
	struct place *p = *state;
	struct listener *six;
	assert_int_equal(listener_tcp(&p->loop, "127.0.0.1", 0, on_accept, p,
				      &p->l, &p->err),
			 0);
	if (listener_tcp(&p->loop, "::1", listener_port(p->l), on_accept, p,
			 &six, &p->err) < 0)
		skip(); /* a machine without IPv6 */
	assert_int_equal(listener_port(six), listener_port(p->l));
	listener_free(six);
}

static void what_is_no_ip_address_is_refused(void **state)
{
	struct place *p = *state;
	assert_int_equal(listener_tcp(&p->loop, "localhost", 0, on_accept, p,
				      &p->l, &p->err),
			 -1);
	assert_int_equal(p->err.code, ERR_INVALID);
	assert_int_equal(listener_tcp(&p->loop, "192.0.2.1", 0, on_accept, p,
				      &p->l, &p->err),
			 -1);
	assert_int_equal(p->err.code, ERR_SYSTEM);
}

static void a_stale_socket_file_is_replaced(void **state)
{
	struct place *p = *state;
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	snprintf(a.sun_path, sizeof a.sun_path, "%s", p->path);
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof a), 0);
	close(fd);
	assert_int_equal(listen_at_path(p, 0660, &p->l), 0);
	struct stat st;
	assert_int_equal(stat(p->path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0660);
	fd = dial(p->path);
	assert_true(fd >= 0);
	while (!p->n)
		uv_run(&p->loop, UV_RUN_ONCE);
	close(fd);
	listener_free(steal(&p->l));
	assert_int_equal(stat(p->path, &st), -1);
}

static void a_live_socket_is_left_alone(void **state)
{
	struct place *p = *state;
	struct listener *second;
	assert_int_equal(listen_at_path(p, 0600, &p->l), 0);
	assert_int_equal(listen_at_path(p, 0600, &second), -1);
	assert_int_equal(p->err.code, ERR_CONFLICT);
	int fd = dial(p->path);
	assert_true(fd >= 0);
	close(fd);
}

static void a_file_that_is_no_socket_is_left_alone(void **state)
{
	struct place *p = *state;
	close(open(p->path, O_CREAT | O_WRONLY, 0600));
	assert_int_equal(listen_at_path(p, 0600, &p->l), -1);
	assert_int_equal(p->err.code, ERR_CONFLICT);
	assert_int_equal(access(p->path, F_OK), 0);
}

static void the_socket_file_of_another_is_not_removed(void **state)
{
	struct place *p = *state;
	assert_int_equal(listen_at_path(p, 0600, &p->l), 0);
	/* Kept alive under another name, so that its inode is not reused. */
	char moved[80];
	snprintf(moved, sizeof moved, "%s.old", p->path);
	assert_int_equal(rename(p->path, moved), 0);
	close(open(p->path, O_CREAT | O_WRONLY, 0600));
	listener_free(steal(&p->l));
	assert_int_equal(access(p->path, F_OK), 0);
	unlink(moved);
}

static void at_the_limit_clients_wait_in_the_kernel(void **state)
{
	struct place *p = *state;
	struct rlimit files = { 2 * LIMIT_CONNECTIONS + 100,
				2 * LIMIT_CONNECTIONS + 100 };
	if (setrlimit(RLIMIT_NOFILE, &files) < 0)
		skip(); /* without privileges the hard limit stays */
	assert_int_equal(listen_at_path(p, 0600, &p->l), 0);
	auto_free int *fds = xcalloc(LIMIT_CONNECTIONS + 1, sizeof *fds);
	for (size_t i = 0; i <= LIMIT_CONNECTIONS; i++) {
		fds[i] = dial(p->path);
		assert_true(fds[i] >= 0);
		while (p->n < MIN(i + 1, (size_t)LIMIT_CONNECTIONS))
			uv_run(&p->loop, UV_RUN_ONCE);
	}
	uv_run(&p->loop, UV_RUN_NOWAIT);
	assert_int_equal(p->n, LIMIT_CONNECTIONS);
	listener_release(p->l);
	assert_int_equal(p->n, LIMIT_CONNECTIONS + 1);
	for (size_t i = 0; i <= LIMIT_CONNECTIONS; i++)
		close(fds[i]);
}

/* modeld drains: nobody new gets in, and the answers under way end later. The
 * listener was freed at once, and the last stream was reported to nothing. */
static void streams_come_back_to_a_stopped_listener(void **state)
{
	struct place *p = *state;
	assert_int_equal(listen_at_path(p, 0600, &p->l), 0);
	auto_close int fd = dial(p->path);
	assert_true(fd >= 0);
	while (!p->n)
		uv_run(&p->loop, UV_RUN_ONCE);
	listener_stop(p->l);
	uv_run(&p->loop, UV_RUN_NOWAIT);
	assert_int_equal(dial(p->path), -1);
	listener_release(p->l);
	listener_stop(p->l);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(a_busy_port_names_its_holder),
		TEST(both_loopback_addresses_can_share_a_port),
		TEST(what_is_no_ip_address_is_refused),
		TEST(a_stale_socket_file_is_replaced),
		TEST(a_live_socket_is_left_alone),
		TEST(a_file_that_is_no_socket_is_left_alone),
		TEST(the_socket_file_of_another_is_not_removed),
		TEST(streams_come_back_to_a_stopped_listener),
		TEST(at_the_limit_clients_wait_in_the_kernel),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
