#include "io/fdlink.h"

#include "base/buf.h"
#include "base/limits.h"
#include "io/fdlink_make.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <cmocka.h>
#include <uv.h>

struct place {
	uv_loop_t loop;
	struct fdlink *link;
	int other;	 /* the peer's end; -1 when closed */
	struct buf said; /* lines, each with '+' for a descriptor taken, ';' */
	bool takes;
	bool frees; /* at the first line */
	int n_ended;
	struct err why;
	int open_before;
};

static int count_open(void)
{
	int n = 0;
	for (int fd = 0; fd < 256; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

static void on_line(void *ctx, struct str line)
{
	struct place *p = ctx;
	int fd = p->takes ? fdlink_take(p->link) : -1;
	if (fd >= 0) {
		assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
		close(fd);
	}
	assert_int_equal(buf_printf(&p->said, "%.*s%s;",
				    STR_ARG(str_head(line, 20)),
				    fd >= 0 ? "+" : ""),
			 0);
	if (p->frees) {
		fdlink_free(p->link);
		p->link = NULL;
	}
}

static void on_end(void *ctx, const struct err *e)
{
	struct place *p = ctx;
	p->n_ended++;
	p->why = *e;
}

static const struct fdlink_fns fns = { on_line, on_end };

static int set_up(void **state)
{
	struct place *p = xcalloc(1, sizeof *p);
	struct err e;
	int ends[2];
	p->open_before = count_open();
	assert_int_equal(uv_loop_init(&p->loop), 0);
	assert_int_equal(
		socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
	p->other = ends[1];
	p->takes = true;
	buf_init(&p->said, 1 << 20);
	assert_int_equal(buf_puts(&p->said, ""), 0);
	assert_int_equal(fdlink_open(&p->loop, ends[0], &fns, p, &p->link, &e),
			 0);
	*state = p;
	return 0;
}

/* Whatever a test did, no descriptor is left. */
static int tear_down(void **state)
{
	struct place *p = *state;
	fdlink_free(p->link);
	uv_run(&p->loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&p->loop), 0);
	if (p->other >= 0)
		close(p->other);
	buf_fini(&p->said);
	assert_int_equal(count_open(), p->open_before);
	free(p);
	return 0;
}

static void turn(struct place *p)
{
	for (int i = 0; i < 20; i++)
		uv_run(&p->loop, UV_RUN_NOWAIT);
}

static void say(struct place *p, const char *text, size_t n_fds)
{
	int fds[64];
	for (size_t i = 0; i < n_fds; i++)
		assert_true((fds[i] = dup(0)) >= 0);
	assert_int_equal(fdlink_make_send(p->other, str_of(text), fds, n_fds),
			 strlen(text));
	for (size_t i = 0; i < n_fds; i++)
		close(fds[i]);
}

static void hears(struct place *p, const char *text)
{
	turn(p);
	assert_string_equal(p->said.p, text);
	buf_clear(&p->said);
	assert_int_equal(buf_puts(&p->said, ""), 0);
}

static void lines_come_whole(void **state)
{
	struct place *p = *state;
	say(p, "one\ntw", 0);
	hears(p, "one;");
	say(p, "o\n\nthree\n", 0);
	hears(p, "two;;three;");
	for (const char *c = "slow\n"; *c; c++)
		say(p, (char[]){ *c, '\0' }, 0);
	hears(p, "slow;");
	assert_int_equal(p->n_ended, 0);
}

static void a_descriptor_goes_to_its_line(void **state)
{
	struct place *p = *state;
	p->takes = false;
	say(p, "a\n", 0);
	hears(p, "a;");
	p->takes = true;
	say(p, "b\n", 1);
	hears(p, "b+;");
	say(p, "c", 1);
	turn(p);
	say(p, "c\n", 0);
	hears(p, "cc+;");
	say(p, "d\n", 1);
	say(p, "e\n", 1);
	hears(p, "d+;e+;");
}

static void what_no_line_takes_is_closed(void **state)
{
	struct place *p = *state;
	int before = count_open();
	p->takes = false;
	say(p, "a\n", LIMIT_HELPER_FDS);
	hears(p, "a;");
	/* And is not left for the next one. */
	p->takes = true;
	say(p, "b\n", 0);
	hears(p, "b;");
	assert_int_equal(count_open(), before);
}

static void too_many_descriptors_end_it(void **state)
{
	struct place *p = *state;
	say(p, "a\n", LIMIT_HELPER_FDS + 1);
	turn(p);
	assert_int_equal(p->n_ended, 1);
	assert_string_equal(p->said.p, "");
}

static void descriptors_piled_up_in_one_line_end_it(void **state)
{
	struct place *p = *state;
	for (int i = 0; i <= LIMIT_HELPER_FDS; i++)
		say(p, "x", 1);
	turn(p);
	assert_int_equal(p->n_ended, 1);
}

static void a_line_has_a_ceiling(void **state)
{
	struct place *p = *state;
	char text[LIMIT_HELPER_LINE_BYTES + 2];
	memset(text, 'x', sizeof text);
	text[LIMIT_HELPER_LINE_BYTES] = '\n';
	text[LIMIT_HELPER_LINE_BYTES + 1] = '\0';
	say(p, text, 0);
	hears(p, "xxxxxxxxxxxxxxxxxxxx;");
	text[LIMIT_HELPER_LINE_BYTES] = 'x';
	say(p, text, 0);
	turn(p);
	assert_int_equal(p->n_ended, 1);
	assert_non_null(strstr(p->why.msg, "too long"));
}

static void a_peer_that_leaves_ends_it_once(void **state)
{
	struct place *p = *state;
	say(p, "one\ntw", 1);
	close(p->other);
	p->other = -1;
	hears(p, "one+;");
	assert_int_equal(p->n_ended, 1);
	assert_int_equal(p->why.code, ERR_GONE);
	fdlink_send(p->link, STR("too late"));
	turn(p);
	assert_int_equal(p->n_ended, 1);
}

static void freed_inside_a_line_nothing_more_comes(void **state)
{
	struct place *p = *state;
	p->frees = true;
	say(p, "one\ntwo\nthree\n", 2);
	hears(p, "one+;");
	assert_int_equal(p->n_ended, 0);
}

static void what_is_sent_arrives(void **state)
{
	struct place *p = *state;
	char got[64] = "";
	fdlink_send(p->link, STR("hello"));
	fdlink_send(p->link, STR("you"));
	turn(p);
	assert_int_equal(read(p->other, got, sizeof got - 1), 10);
	assert_string_equal(got, "hello\nyou\n");
}

static void a_peer_that_does_not_read_ends_it(void **state)
{
	struct place *p = *state;
	char line[1024];
	size_t sent = 0, got = 0;
	ssize_t n;
	memset(line, 'x', sizeof line);
	while (p->n_ended == 0 && sent < 4u << 20) {
		fdlink_send(p->link, (struct str){ line, sizeof line - 1 });
		sent += sizeof line;
		turn(p);
	}
	assert_int_equal(p->n_ended, 1);
	assert_non_null(strstr(p->why.msg, "does not read"));
	assert_true(sent >= LIMIT_HELPER_QUEUE_BYTES);
	while ((n = read(p->other, line, sizeof line)) > 0)
		got += (size_t)n;
	assert_true(got < sent);
}

static void what_waited_goes_when_the_peer_reads(void **state)
{
	struct place *p = *state;
	char line[1024];
	size_t got = 0;
	memset(line, 'x', sizeof line);
	for (int i = 0; i < 300; i++)
		fdlink_send(p->link, (struct str){ line, sizeof line - 1 });
	assert_int_equal(fcntl(p->other, F_SETFL, O_NONBLOCK), 0);
	for (int i = 0; i < 10000 && got < 300 * sizeof line; i++) {
		ssize_t n = read(p->other, line, sizeof line);
		if (n > 0)
			got += (size_t)n;
		else
			turn(p);
	}
	assert_int_equal(got, 300 * sizeof line);
	assert_int_equal(p->n_ended, 0);
}

/* One byte a read, as '+' after each byte that a descriptor came with. */
static void read_marked(struct place *p, struct buf *out)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control;
	char c;
	for (;;) {
		struct iovec v = { &c, 1 };
		struct msghdr m = { .msg_iov = &v,
				    .msg_iovlen = 1,
				    .msg_control = control.bytes,
				    .msg_controllen = sizeof control.bytes };
		if (recvmsg(p->other, &m, MSG_DONTWAIT) <= 0)
			return;
		assert_int_equal(buf_put(out, &c, 1), 0);
		struct cmsghdr *h = CMSG_FIRSTHDR(&m);
		if (!h)
			continue;
		int fd;
		memcpy(&fd, CMSG_DATA(h), sizeof fd);
		close(fd);
		assert_int_equal(buf_put(out, "+", 1), 0);
	}
}

static void a_descriptor_leaves_with_the_first_byte_of_its_line(void **state)
{
	struct place *p = *state;
	auto_buf struct buf got;
	buf_init(&got, 1u << 20);
	fdlink_send(p->link, STR("one"));
	fdlink_send_fd(p->link, STR("two"), dup(0));
	fdlink_send_fd(p->link, STR("three"), dup(0));
	turn(p);
	read_marked(p, &got);
	assert_string_equal(got.p, "one\nt+wo\nt+hree\n");
}

static void a_descriptor_that_waited_leaves_with_its_line(void **state)
{
	struct place *p = *state;
	auto_buf struct buf got;
	char line[1024];
	buf_init(&got, 1u << 20);
	memset(line, 'x', sizeof line);
	/* More than the kernel takes. */
	for (int i = 0; i < 300; i++)
		fdlink_send(p->link, (struct str){ line, sizeof line - 1 });
	fdlink_send_fd(p->link, STR("two"), dup(0));
	fdlink_send(p->link, STR("and"));
	fdlink_send_fd(p->link, STR("three"), dup(0));
	for (int i = 0; i < 10000 && (!got.n || !strstr(got.p, "hree\n"));
	     i++) {
		read_marked(p, &got);
		turn(p);
	}
	assert_non_null(strstr(got.p, "x\nt+wo\nand\nt+hree\n"));
	assert_ptr_equal(strchr(got.p, '+'), strstr(got.p, "+wo"));
}

static void descriptors_that_never_leave_are_closed(void **state)
{
	struct place *p = *state;
	char line[1024];
	memset(line, 'x', sizeof line);
	for (int i = 0; i < 250; i++)
		fdlink_send(p->link, (struct str){ line, sizeof line - 1 });
	for (int i = 0; i < LIMIT_HELPER_FDS + 1; i++)
		fdlink_send_fd(p->link, STR("x"), dup(0));
	/* One too many ended it; the fixture counts descriptors at the end. */
	turn(p);
	assert_int_equal(p->n_ended, 1);
}

static void a_flood_is_read_piece_by_piece(void **state)
{
	struct place *p = *state;
	char text[3 * LIMIT_HELPER_LINE_BYTES];
	memset(text, '\n', sizeof text - 1);
	text[sizeof text - 1] = '\0';
	say(p, text, 0);
	uv_run(&p->loop, UV_RUN_NOWAIT);
	assert_true(p->said.n > 0 && p->said.n <= LIMIT_HELPER_LINE_BYTES);
}

/* ---- connecting ---- */

static int listen_at(struct sockaddr_un *a)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	*a = (struct sockaddr_un){ .sun_family = AF_UNIX };
	snprintf(a->sun_path, sizeof a->sun_path, "/tmp/fdlink-test-%d",
		 getpid());
	unlink(a->sun_path);
	assert_int_equal(bind(fd, (struct sockaddr *)a, sizeof *a), 0);
	return fd;
}

static void only_the_right_user_is_believed(void **state)
{
	struct place *p = *state;
	struct sockaddr_un a;
	struct fdlink *l = NULL;
	struct err e;
	int fd = listen_at(&a);
	assert_int_equal(
		fdlink_connect(&p->loop, a.sun_path, getuid(), &fns, p, &l, &e),
		-1);
	assert_int_equal(e.code, ERR_REFUSED); /* nobody accepts yet */
	assert_int_equal(listen(fd, 8), 0);
	assert_int_equal(fdlink_connect(&p->loop, a.sun_path, getuid() + 1,
					&fns, p, &l, &e),
			 -1);
	assert_int_equal(e.code, ERR_FORBIDDEN);
	assert_int_equal(
		fdlink_connect(&p->loop, a.sun_path, getuid(), &fns, p, &l, &e),
		0);
	fdlink_free(l);
	close(fd);
	unlink(a.sun_path);
}

static void an_absent_peer_is_told_apart(void **state)
{
	struct place *p = *state;
	struct fdlink *l = NULL;
	struct err e;
	char path[200];
	assert_int_equal(fdlink_connect(&p->loop, "/tmp/fdlink-not-there", 0,
					&fns, p, &l, &e),
			 -1);
	assert_int_equal(e.code, ERR_REFUSED);
	memset(path, 'x', sizeof path);
	path[sizeof path - 1] = '\0';
	assert_int_equal(fdlink_connect(&p->loop, path, 0, &fns, p, &l, &e),
			 -1);
	assert_int_equal(e.code, ERR_INVALID);
}

#define ROW(fn) cmocka_unit_test_setup_teardown(fn, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		ROW(lines_come_whole),
		ROW(a_descriptor_goes_to_its_line),
		ROW(what_no_line_takes_is_closed),
		ROW(too_many_descriptors_end_it),
		ROW(descriptors_piled_up_in_one_line_end_it),
		ROW(a_line_has_a_ceiling),
		ROW(a_peer_that_leaves_ends_it_once),
		ROW(freed_inside_a_line_nothing_more_comes),
		ROW(what_is_sent_arrives),
		ROW(a_peer_that_does_not_read_ends_it),
		ROW(what_waited_goes_when_the_peer_reads),
		ROW(a_descriptor_leaves_with_the_first_byte_of_its_line),
		ROW(a_descriptor_that_waited_leaves_with_its_line),
		ROW(descriptors_that_never_leave_are_closed),
		ROW(a_flood_is_read_piece_by_piece),
		ROW(only_the_right_user_is_believed),
		ROW(an_absent_peer_is_told_apart),
	};
	/* The first loop of a process opens what all share. */
	uv_loop_t first;
	if (uv_loop_init(&first) == 0)
		uv_loop_close(&first);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
