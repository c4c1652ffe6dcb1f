#include "cli/where.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

static int clean_environment(void **state)
{
	(void)state;
	unsetenv("MODEL_RUNNER_HOST");
	unsetenv("MODEL_RUNNER_TLS");
	return unsetenv("MODEL_RUNNER_SOCK");
}

static void the_host_that_is_named_comes_first(void **state)
{
	struct where w;
	struct err e;
	(void)state;
	setenv("MODEL_RUNNER_SOCK", "/nowhere/m.sock", 1);
	setenv("MODEL_RUNNER_HOST", "example.org:99/base/", 1);
	assert_int_equal(where_find(&w, &e), 0);
	assert_int_equal(w.kind, WHERE_HOST);
	assert_string_equal(w.base.address, "example.org:99");
	assert_string_equal(w.base.prefix, "/base");
	assert_string_equal(where_engine(&w), "Docker Engine (Manual Install)");
	setenv("MODEL_RUNNER_HOST", "unix:/x/m.sock", 1);
	assert_int_equal(where_find(&w, &e), 0);
	assert_string_equal(w.base.address, "unix:/x/m.sock");
}

static void a_socket_that_is_named_is_the_one_meant(void **state)
{
	struct where w;
	struct err e;
	(void)state;
	setenv("MODEL_RUNNER_SOCK", "/nowhere/m.sock", 1);
	assert_int_equal(where_find(&w, &e), 0);
	assert_int_equal(w.kind, WHERE_SOCKET);
	assert_string_equal(w.text, "unix:/nowhere/m.sock");
	assert_string_equal(where_engine(&w), "Docker Engine");
}

static void tls_is_what_the_url_or_the_variable_says(void **state)
{
	static const struct {
		const char *host, *tls, *address, *text;
	} cases[] = {
		{ "https://x", NULL, "x:443", "https://x" },
		{ "https://x:1/v1", "true", "x:1", "https://x:1/v1" },
		{ "x:1", "1", "x:1", "https://x:1" },
		{ "x", "true", "x:443", "https://x" },
		{ NULL, "true", "localhost:12444", WHERE_TLS_URL },
	};
	struct where w;
	struct err e;
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		clean_environment(NULL);
		if (cases[i].host)
			setenv("MODEL_RUNNER_HOST", cases[i].host, 1);
		if (cases[i].tls)
			setenv("MODEL_RUNNER_TLS", cases[i].tls, 1);
		assert_int_equal(where_find(&w, &e), 0);
		assert_true(w.base.is_tls);
		assert_string_equal(w.base.address, cases[i].address);
		assert_string_equal(w.text, cases[i].text);
	}
	setenv("MODEL_RUNNER_TLS", "false", 1);
	setenv("MODEL_RUNNER_HOST", "x", 1);
	assert_int_equal(where_find(&w, &e), 0);
	assert_false(w.base.is_tls);
}

static void tls_that_is_asked_for_is_not_left_out(void **state)
{
	static const char *const hosts[] = { "http://x", "unix:/x/m.sock" };
	struct where w;
	struct err e;
	(void)state;
	setenv("MODEL_RUNNER_TLS", "true", 1);
	for (size_t i = 0; i < ARRAY_LEN(hosts); i++) {
		setenv("MODEL_RUNNER_HOST", hosts[i], 1);
		assert_int_equal(where_find(&w, &e), -1);
		assert_non_null(strstr(e.msg, "asks for TLS"));
	}
	setenv("MODEL_RUNNER_TLS", "yes", 1);
	assert_int_equal(where_find(&w, &e), -1);
	assert_non_null(strstr(e.msg, "neither true nor false"));
}

static void what_cannot_be_reached_says_what_to_do(void **state)
{
	struct where w = { .kind = WHERE_PORT, .text = WHERE_PORT_URL };
	struct err e;
	(void)state;
	assert_int_equal(where_unreachable(&w, "connect: refused", &e), -1);
	assert_int_equal(e.code, ERR_UNAVAILABLE);
	assert_string_equal(e.msg,
			    "modeld is not running (http://localhost:12434: "
			    "refused): start it with 'systemctl start modeld', "
			    "or by hand with 'modeld'");
	w.kind = WHERE_HOST;
	assert_int_equal(where_unreachable(&w, "no such host", &e), -1);
	assert_non_null(strstr(e.msg, "no such host"));
	assert_non_null(strstr(e.msg, "unset MODEL_RUNNER_HOST"));
	w.kind = WHERE_PORT;
	snprintf(w.denied, sizeof w.denied, "/run/modeld/modeld.sock");
	assert_int_equal(where_unreachable(&w, "refused", &e), -1);
	assert_int_equal(e.code, ERR_FORBIDDEN);
	assert_non_null(strstr(e.msg, "/run/modeld/modeld.sock: join its"));
}

/* Root's lies where a test must not write: root becomes somebody for a while.
 */
static void the_users_own_socket_is_found_while_somebody_listens(void **state)
{
	char dir[] = "/tmp/where_test.XXXXXX";
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	struct where w;
	struct err e;
	(void)state;
	uid_t me = geteuid();
	if (me == 0)
		assert_int_equal(seteuid(65534), 0);
	assert_non_null(mkdtemp(dir));
	setenv("XDG_RUNTIME_DIR", dir, 1);
	auto_free char *sub = xasprintf("%s/modeld", dir);
	assert_int_equal(mkdir(sub, 0700), 0);
	snprintf(a.sun_path, sizeof a.sun_path, "%s/modeld.sock", sub);
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof a), 0);
	assert_int_equal(where_find(&w, &e), 0);
	assert_true(strcmp(w.text + 5, a.sun_path) != 0);
	assert_int_equal(listen(fd, 1), 0);
	assert_int_equal(where_find(&w, &e), 0);
	assert_int_equal(w.kind, WHERE_SOCKET);
	assert_string_equal(w.text + 5, a.sun_path);
	close(fd);
	unlink(a.sun_path);
	rmdir(sub);
	rmdir(dir);
	assert_int_equal(seteuid(me), 0);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup(name, clean_environment)
	const struct CMUnitTest tests[] = {
		T(the_host_that_is_named_comes_first),
		T(a_socket_that_is_named_is_the_one_meant),
		T(tls_is_what_the_url_or_the_variable_says),
		T(tls_that_is_asked_for_is_not_left_out),
		T(what_cannot_be_reached_says_what_to_do),
		T(the_users_own_socket_is_found_while_somebody_listens),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
