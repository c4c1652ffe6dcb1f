#include "docker/take_name.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

/* A folder with an Engine's socket and the front's. */
struct place {
	char dir[32], docker[64], engine[64], listen[64];
	struct setup setup;
	struct take_name n;
	int engine_fd, front_fd;
	struct stat engine_st;
};

static int open_socket(const char *path, bool listens)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	snprintf(a.sun_path, sizeof a.sun_path, "%s", path);
	unlink(path);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof a), 0);
	if (listens)
		assert_int_equal(listen(fd, 8), 0);
	return fd;
}

static struct stat look(const char *path)
{
	struct stat st;
	assert_int_equal(lstat(path, &st), 0);
	return st;
}

static bool is(const char *path, const struct stat *st)
{
	struct stat got;
	return lstat(path, &got) == 0 && got.st_ino == st->st_ino;
}

static void begin(struct place *p)
{
	struct err e;
	*p = (struct place){ .dir = "/tmp/take-XXXXXX" };
	assert_non_null(mkdtemp(p->dir));
	snprintf(p->docker, sizeof p->docker, "%s/docker.sock", p->dir);
	snprintf(p->engine, sizeof p->engine, "%s/engine.sock", p->dir);
	snprintf(p->listen, sizeof p->listen, "%s/front.sock", p->dir);
	p->setup = (struct setup){ .docker = p->docker,
				   .engine = p->engine,
				   .listen = p->listen };
	p->engine_fd = open_socket(p->docker, true);
	p->front_fd = open_socket(p->listen, true);
	chmod(p->docker, 0640);
	p->engine_st = look(p->docker);
	assert_int_equal(take_name_init(&p->n, &p->setup, &e), 0);
}

/* Only the sockets that the test knows may be left. */
static void end(struct place *p, bool has_docker)
{
	struct err e;
	int got = take_name_release(&p->n, &e);
	assert_true(got >= 0);
	assert_int_equal(access(p->docker, F_OK) == 0, has_docker);
	close(p->engine_fd);
	close(p->front_fd);
	unlink(p->docker);
	unlink(p->listen);
	assert_int_equal(rmdir(p->dir), 0);
	take_name_fini(&p->n);
}

static int take(struct place *p)
{
	struct err e = { .msg = "" };
	int got = take_name_take(&p->n, &e);
	assert_true(got >= 0 || e.msg[0]);
	return got;
}

static void the_name_changes_hands_and_comes_back(void **state)
{
	(void)state;
	struct place p;
	struct err e;
	begin(&p);
	struct stat front = look(p.listen);
	assert_int_equal(take(&p), 0);
	assert_true(is(p.docker, &front) && is(p.engine, &p.engine_st));
	assert_int_equal(look(p.docker).st_mode & 0777, 0640);
	assert_true(take_name_is_ours(&p.n));
	assert_int_equal(take(&p), TAKE_ALREADY);
	assert_int_equal(take_name_release(&p.n, &e), 0);
	assert_true(is(p.docker, &p.engine_st));
	assert_int_equal(take_name_release(&p.n, &e), TAKE_ALREADY);
	assert_true(is(p.docker, &p.engine_st));
	end(&p, true);
}

static void an_engine_that_made_its_socket_anew_is_taken(void **state)
{
	(void)state;
	struct place p;
	begin(&p);
	assert_int_equal(take(&p), 0);
	close(p.engine_fd);
	p.engine_fd = open_socket(p.docker, true);
	struct stat fresh = look(p.docker);
	assert_false(take_name_is_ours(&p.n));
	assert_int_equal(take(&p), 0);
	assert_true(is(p.engine, &fresh) && take_name_is_ours(&p.n));
	end(&p, true);
}

static void a_name_that_vanished_is_ours_again(void **state)
{
	(void)state;
	struct place p;
	begin(&p);
	assert_int_equal(take(&p), 0);
	unlink(p.docker);
	assert_int_equal(take(&p), 0);
	assert_true(take_name_is_ours(&p.n) && is(p.engine, &p.engine_st));
	unlink(p.docker);
	struct err e;
	assert_int_equal(take_name_release(&p.n, &e), TAKE_ALREADY);
	assert_true(is(p.docker, &p.engine_st));
	end(&p, true);
}

static void a_dead_front_s_name_is_not_the_engine_s(void **state)
{
	(void)state;
	/* With its mark, and without. */
	for (int i = 0; i < 2; i++) {
		struct place p;
		begin(&p);
		assert_int_equal(take(&p), 0);
		close(p.front_fd);
		p.front_fd = open_socket(p.listen, true);
		if (i)
			unlink(p.n.mark);
		assert_int_equal(take(&p), 0);
		assert_true(is(p.engine, &p.engine_st));
		assert_true(take_name_is_ours(&p.n));
		end(&p, true);
	}
}

static void release_knows_the_name_of_a_front_that_left_nothing(void **state)
{
	(void)state;
	struct place p;
	struct err e;
	begin(&p);
	assert_int_equal(take(&p), 0);
	close(p.front_fd);
	p.front_fd = -1;
	unlink(p.listen);
	unlink(p.n.mark);
	assert_int_equal(take_name_release(&p.n, &e), 0);
	assert_true(is(p.docker, &p.engine_st));
	end(&p, true);
}

static void an_engine_that_is_down_leaves_no_name(void **state)
{
	(void)state;
	struct place p;
	struct err e;
	begin(&p);
	assert_int_equal(take(&p), 0);
	close(p.engine_fd);
	p.engine_fd = -1;
	assert_int_equal(take_name_release(&p.n, &e), TAKE_NO_ENGINE);
	assert_int_equal(take(&p), TAKE_NO_ENGINE);
	end(&p, false);
}

static void release_leaves_a_new_engine_s_socket_alone(void **state)
{
	(void)state;
	struct place p;
	struct err e;
	begin(&p);
	assert_int_equal(take(&p), 0);
	close(p.engine_fd);
	p.engine_fd = open_socket(p.docker, true);
	struct stat fresh = look(p.docker);
	assert_int_equal(take_name_release(&p.n, &e), TAKE_ALREADY);
	assert_true(is(p.docker, &fresh));
	end(&p, true);
}

static void an_engine_s_name_that_was_removed_is_reported(void **state)
{
	(void)state;
	struct place p;
	begin(&p);
	assert_int_equal(take(&p), 0);
	unlink(p.engine);
	assert_int_equal(take(&p), TAKE_LOST);
	end(&p, false);
}

static void what_is_no_socket_is_left_alone(void **state)
{
	(void)state;
	struct place p;
	begin(&p);
	unlink(p.docker);
	assert_int_equal(mkdir(p.docker, 0755), 0);
	assert_int_equal(take(&p), -1);
	rmdir(p.docker);
	assert_int_equal(symlink(p.listen, p.docker), 0);
	assert_int_equal(take(&p), -1);
	end(&p, true);
}

static void a_folder_that_others_may_write_is_refused(void **state)
{
	(void)state;
	struct place p;
	struct take_name n;
	struct err e;
	begin(&p);
	chmod(p.dir, 0770);
	assert_int_equal(take_name_init(&n, &p.setup, &e), -1);
	assert_int_equal(e.code, ERR_FORBIDDEN);
	take_name_fini(&n);
	chmod(p.dir, 0700);
	end(&p, true);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_name_changes_hands_and_comes_back),
		cmocka_unit_test(an_engine_that_made_its_socket_anew_is_taken),
		cmocka_unit_test(a_name_that_vanished_is_ours_again),
		cmocka_unit_test(a_dead_front_s_name_is_not_the_engine_s),
		cmocka_unit_test(
			release_knows_the_name_of_a_front_that_left_nothing),
		cmocka_unit_test(an_engine_that_is_down_leaves_no_name),
		cmocka_unit_test(release_leaves_a_new_engine_s_socket_alone),
		cmocka_unit_test(an_engine_s_name_that_was_removed_is_reported),
		cmocka_unit_test(what_is_no_socket_is_left_alone),
		cmocka_unit_test(a_folder_that_others_may_write_is_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
