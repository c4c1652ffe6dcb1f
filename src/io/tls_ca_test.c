#include "io/tls_ca.h"
#include "io/tls_make.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <sys/stat.h>

#include <cmocka.h>

#define NOW 1800000000LL

static const char *const names[] = { "localhost", "127.0.0.1", "::1", NULL };

static int set_up(void **state)
{
	(void)state;
	tls_make_open();
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	tls_make_close();
	return 0;
}

static int ensure(const char *const *wanted, int64_t now)
{
	struct err e;
	int r = tls_ca_ensure(tls_make_folder, wanted, now, &e);
	if (r < 0)
		fail_msg("%s", e.msg);
	return r;
}

static struct tls_cert *read_one(const char *name)
{
	auto_free char *cert = xasprintf("%s/%s.crt", tls_make_folder, name);
	auto_free char *key = xasprintf("%s/%s.key", tls_make_folder, name);
	struct tls_cert *c;
	struct err e;
	assert_int_equal(tls_cert_read(cert, key, &c, &e), 0);
	return c;
}

static bool is_good(const char *const *wanted, int64_t at)
{
	auto_(tls_cert) ca = read_one("ca");
	auto_(tls_cert) server = read_one("server");
	return tls_cert_is_good(server, ca, wanted, at);
}

static void what_is_good_is_left_alone(void **state)
{
	(void)state;
	assert_int_equal(ensure(names, NOW), TLS_CA_NEW);
	assert_true(is_good(names, NOW));
	assert_int_equal(ensure(names, NOW), 0);
	assert_int_equal(ensure(names, NOW + 334LL * TLS_MAKE_DAY), 0);
}

static void a_servers_certificate_lives_for_a_year(void **state)
{
	(void)state;
	assert_int_equal(ensure(names, NOW), TLS_CA_NEW);
	assert_false(is_good(names, NOW + 365LL * TLS_MAKE_DAY + 1));
	int64_t late = NOW + 336LL * TLS_MAKE_DAY;
	assert_int_equal(ensure(names, late), TLS_CA_NEW_SERVER);
	assert_true(is_good(names, late + 360LL * TLS_MAKE_DAY));
}

static void an_authority_lives_for_ten(void **state)
{
	(void)state;
	assert_int_equal(ensure(names, NOW), TLS_CA_NEW);
	int64_t late = NOW + 3600LL * TLS_MAKE_DAY;
	assert_int_equal(ensure(names, late), TLS_CA_NEW_SERVER);
	late = NOW + 3623LL * TLS_MAKE_DAY;
	assert_int_equal(ensure(names, late), TLS_CA_NEW);
	assert_true(is_good(names, late));
}

static void a_clock_that_was_wrong_is_got_over(void **state)
{
	(void)state;
	assert_int_equal(ensure(names, NOW + 3000LL * TLS_MAKE_DAY),
			 TLS_CA_NEW);
	assert_int_equal(ensure(names, NOW), TLS_CA_NEW);
	assert_true(is_good(names, NOW));
}

static void a_new_name_needs_a_new_certificate(void **state)
{
	static const char *const more[] = { "localhost",   "127.0.0.1", "::1",
					    "192.168.7.7", "fd00::7",	NULL };
	(void)state;
	assert_int_equal(ensure(names, NOW), TLS_CA_NEW);
	assert_int_equal(ensure(more, NOW), TLS_CA_NEW_SERVER);
	assert_true(is_good(more, NOW));
	/* What has more names than are asked for is good. */
	assert_int_equal(ensure(names, NOW), 0);
}

static void a_public_address_needs_an_authority_for_it(void **state)
{
	static const char *const far[] = { "localhost", "203.0.113.9",
					   "2001:db8::9", NULL };
	(void)state;
	assert_int_equal(ensure(names, NOW), TLS_CA_NEW);
	assert_int_equal(ensure(far, NOW), TLS_CA_NEW);
	assert_true(is_good(far, NOW));
	assert_int_equal(ensure(far, NOW), 0);
}

static void a_name_that_speaks_the_extensions_grammar_is_refused(void **state)
{
	static const char *const bad[] = {
		"a,DNS:bank.example", "a b", "", "a/b", "*.a", "@section"
	};
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		const char *const list[] = { bad[i], NULL };
		struct err e;
		assert_int_equal(tls_ca_ensure(tls_make_folder, list, NOW, &e),
				 -1);
	}
}

static void a_write_that_was_cut_is_got_over(void **state)
{
	(void)state;
	struct stat st;
	auto_free char *left = tls_make_path("server.key.new");
	auto_free char *key = tls_make_path("server.key");
	auto_close int fd = open(left, O_WRONLY | O_CREAT | O_CLOEXEC, 0666);
	assert_true(fd >= 0);
	assert_int_equal(ensure(names, NOW), TLS_CA_NEW);
	assert_int_equal(stat(left, &st), -1);
	assert_int_equal(stat(key, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
}

static void a_folder_that_is_not_there_is_named(void **state)
{
	struct err e;
	(void)state;
	assert_int_equal(tls_ca_ensure("/nonexistent", names, NOW, &e), -1);
	assert_non_null(strstr(e.msg, "/nonexistent"));
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(what_is_good_is_left_alone),
		TEST(a_servers_certificate_lives_for_a_year),
		TEST(an_authority_lives_for_ten),
		TEST(a_clock_that_was_wrong_is_got_over),
		TEST(a_new_name_needs_a_new_certificate),
		TEST(a_public_address_needs_an_authority_for_it),
		TEST(a_name_that_speaks_the_extensions_grammar_is_refused),
		TEST(a_write_that_was_cut_is_got_over),
		TEST(a_folder_that_is_not_there_is_named),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
