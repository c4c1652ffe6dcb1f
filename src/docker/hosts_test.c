#include "docker/hosts.h"
#include "base/limits.h"
#include "unit/guard.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>

#define A "169.254.255.81"
#define A6 "fd6d:6f64:656c::80"
#define NAME "model-runner.docker.internal"
#define LINE A "\t" NAME "\n"
#define MARKED A "\t" NAME " # modeld\n"
#define JOINED A "\t" NAME " # modeld, newline before\n"
#define DEFAULTS                                            \
	"127.0.0.1\tlocalhost\n"                            \
	"::1\tlocalhost ip6-localhost ip6-loopback\n"       \
	"fe00::0\tip6-localnet\nff00::0\tip6-mcastprefix\n" \
	"ff02::1\tip6-allnodes\nff02::2\tip6-allrouters\n"

static const char *const ours[] = { A, A6, NULL };
static const struct hosts_rule container = {
	.name = NAME, .ours = ours, .address = A, .address6 = A6
};
static const struct hosts_rule host = { .name = NAME, .address = A };
static const struct hosts_rule none = { .name = NAME, .ours = ours };
static const struct hosts_rule host_none = { .name = NAME };

static bool has(struct str file)
{
	return hosts_has(guard_place(file), NAME);
}

static void a_line_names_the_host(void **state)
{
	(void)state;
	assert_true(has(STR("1.2.3.4 " NAME)));
	assert_true(has(STR("1.2.3.4\t" NAME "\r\n")));
	assert_true(has(STR("\n\n  1.2.3.4 \t a b " NAME " c\n")));
	assert_true(has(STR("1.2.3.4 MODEL-Runner.DOCKER.internal#x\n")));
	assert_true(has(STR("::1\v" NAME "\f# x")));
	assert_true(has(STR("\xff\xfe\n1.2.3.4 x\n1.2.3.5 " NAME "\n\0\0")));
}

static void these_lines_do_not(void **state)
{
	(void)state;
	assert_false(has(STR("")));
	assert_false(has(STR("\n")));
	assert_false(has(STR(NAME)));
	assert_false(has(STR(" " NAME "\n")));
	assert_false(has(STR("# 1.2.3.4 " NAME "\n")));
	assert_false(has(STR("1.2.3.4 x # " NAME "\n")));
	assert_false(has(STR("1.2.3.4 x." NAME " " NAME ".x\n")));
	assert_false(has(STR("1.2.3.4 x\0 " NAME "\n")));
	assert_false(has(STR("1.2.3.4\n" NAME "\n")));
	assert_false(has(STR("1.2.3.4 model-runner.docker.interna")));
}

/* Applies the rule, and gives what became of the file until the next call. */
static const char *apply(const char *file, const char *hostname,
			 const struct hosts_rule *r, struct hosts_edit *edit)
{
	static struct buf b;
	struct hosts_edit unused;
	edit = edit ? edit : &unused;
	buf_release(&b);
	buf_init(&b, LIMIT_HOSTS_BYTES);
	assert_int_equal(buf_puts(&b, file), 0);
	int r1 = hosts_apply(&b, hostname, r, edit);
	assert_int_equal(r1 == HOSTS_SAME, strcmp(file, b.p) == 0);
	assert_true(edit->at <= strlen(file) && edit->at <= b.n);
	assert_memory_equal(file, b.p, edit->at);
	return b.p;
}

static void the_line_is_appended_once(void **state)
{
	(void)state;
	struct hosts_edit edit;
	assert_string_equal(apply(DEFAULTS, "", &container, &edit),
			    DEFAULTS LINE);
	assert_int_equal(edit.at, strlen(DEFAULTS));
	assert_string_equal(apply(DEFAULTS LINE, "", &container, NULL),
			    DEFAULTS LINE);
	assert_string_equal(apply("", "", &container, NULL), LINE);
	assert_string_equal(apply("", "", &host, NULL), MARKED);
	/* A copy of the host's file has the marked one. */
	assert_string_equal(apply(MARKED, "", &container, NULL), MARKED);
	assert_string_equal(apply(LINE "x\n" LINE, "", &container, NULL),
			    LINE "x\n");
}

static void a_file_without_a_last_newline_gets_it_back(void **state)
{
	(void)state;
	assert_string_equal(apply("1.1.1.1 x", "", &container, NULL),
			    "1.1.1.1 x\n" JOINED);
	assert_string_equal(apply("1.1.1.1 x\n" JOINED, "", &none, NULL),
			    "1.1.1.1 x");
	assert_string_equal(apply("1.1.1.1 x\n" JOINED, "", &host_none, NULL),
			    "1.1.1.1 x");
	/* Somebody has appended since: the newline is his now. */
	assert_string_equal(apply("x\n" JOINED "1.1.1.2 y\n", "", &none, NULL),
			    "x\n1.1.1.2 y\n");
}

static void the_users_own_line_wins(void **state)
{
	(void)state;
	struct hosts_edit edit;
	const char *mine = "10.0.0.1\tother " NAME "\n";
	assert_string_equal(apply(mine, "", &container, &edit), mine);
	assert_true(edit.is_taken);
	assert_string_equal(
		apply("10.0.0.1\t" NAME "\n" LINE, "", &container, &edit),
		"10.0.0.1\t" NAME "\n");
	assert_true(edit.is_taken);
	/* On the host a line without the mark is the administrator's, also
	 * with our address, and is never taken out. */
	assert_string_equal(apply(LINE, "", &host, &edit), LINE);
	assert_true(edit.is_taken);
	assert_string_equal(apply(LINE, "", &host_none, NULL), LINE);
}

static void only_exactly_our_lines_go(void **state)
{
	(void)state;
	struct hosts_edit edit;
	static const char *const others[] = {
		A " " NAME "\n",       A "\t" NAME " \n",
		A "\t" NAME "\r\n",    A "\t" NAME " x\n",
		" " A "\t" NAME "\n",  A "\t" NAME "# modeld\n",
		A "\t" NAME,	       "# " LINE,
		"1.2.3.4\t" NAME "\n", "x\t" NAME " # modeld\n",
	};
	for (size_t i = 0; i < ARRAY_LEN(others); i++)
		assert_string_equal(apply(others[i], "", &none, NULL),
				    others[i]);
	assert_string_equal(
		apply("a\n" LINE "b\n" MARKED LINE "c", "", &none, &edit),
		"a\nb\nc");
	assert_int_equal(edit.at, 2);
	assert_int_equal(edit.unmarked, 2);
	assert_string_equal(
		apply("1.2.3.4\t" NAME " # modeld\n", "", &none, NULL), "");
	/* The newline was cut off; the mark is still ours. */
	assert_string_equal(
		apply("x\n" A "\t" NAME " # modeld", "", &none, NULL), "x\n");
}

static void a_container_with_only_ipv6_gets_that_address(void **state)
{
	(void)state;
	struct hosts_edit edit;
	/* First the file has no address of its own, and then it has. */
	assert_string_equal(apply(DEFAULTS, "web", &container, NULL),
			    DEFAULTS LINE);
	assert_string_equal(
		apply(DEFAULTS LINE "fd00::2\tweb\n", "web", &container, &edit),
		DEFAULTS "fd00::2\tweb\n" A6 "\t" NAME "\n");
	assert_int_equal(edit.at, strlen(DEFAULTS));
	/* Connected to a network with IPv4 later. */
	assert_string_equal(apply("fd00::2\tweb\n" A6 "\t" NAME
				  "\n172.18.0.2\tweb\n",
				  "web", &container, NULL),
			    "fd00::2\tweb\n172.18.0.2\tweb\n" LINE);
	/* Others' addresses and loopback say nothing; without a hostname
	 * nothing is known. */
	assert_string_equal(
		apply("fd00::2\tdb\n::1\tweb\n", "web", &container, NULL),
		"fd00::2\tdb\n::1\tweb\n" LINE);
	assert_string_equal(apply("fd00::2\tweb\n", "", &container, NULL),
			    "fd00::2\tweb\n" LINE);
	struct hosts_rule no6 = container;
	no6.address6 = NULL;
	assert_string_equal(apply("fd00::2\tweb\n", "web", &no6, NULL),
			    "fd00::2\tweb\n" LINE);
}

static void a_container_inside_gets_its_gateway(void **state)
{
	(void)state;
	struct hosts_net net = { .gateway = "172.20.0.1" };
	net.subnet.s_addr = htonl(0xac140000);
	net.mask.s_addr = htonl(0xffff0000);
	struct hosts_rule r = container;
	r.nets = &net;
	r.n_nets = 1;
	assert_string_equal(apply("172.20.0.2\tweb\n" LINE, "web", &r, NULL),
			    "172.20.0.2\tweb\n172.20.0.1\t" NAME " # modeld\n");
	/* Another network has the way out. */
	assert_string_equal(apply("172.20.0.2\tweb\n172.20.0.1\t" NAME
				  " # modeld\n172.17.0.2 web\n",
				  "web", &r, NULL),
			    "172.20.0.2\tweb\n172.17.0.2 web\n" LINE);
	assert_string_equal(apply("172.20.0.2\tweb\n172.20.0.1\t" NAME
				  " # modeld\n",
				  "web", &none, NULL),
			    "172.20.0.2\tweb\n");
}

static void a_former_address_is_replaced(void **state)
{
	(void)state;
	static const char *const both[] = { "169.254.0.9", A, NULL };
	struct hosts_rule r = container;
	r.ours = both;
	assert_string_equal(
		apply("x\n169.254.0.9\t" NAME "\ny\n", "", &r, NULL),
		"x\ny\n" LINE);
	assert_string_equal(
		apply("169.254.0.9\t" NAME " # modeld\n", "", &host, NULL),
		MARKED);
}

static void rubbish_stays_as_it_is(void **state)
{
	(void)state;
	static const char file[] = "\0\xff\n\0" LINE "\0";
	auto_buf struct buf b;
	struct hosts_edit edit;
	buf_init(&b, 4096);
	assert_int_equal(buf_put(&b, file, sizeof file - 1), 0);
	assert_int_equal(hosts_apply(&b, "", &container, &edit), 0);
	/* The NUL before our text makes it no line of ours, and names nobody.
	 */
	assert_int_equal(edit.at, sizeof file - 1);
	assert_int_equal(hosts_apply(&b, "", &none, &edit), 0);
	assert_int_equal(b.n, sizeof file - 1);
	assert_memory_equal(b.p, file, b.n);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_line_names_the_host),
		cmocka_unit_test(these_lines_do_not),
		cmocka_unit_test(the_line_is_appended_once),
		cmocka_unit_test(a_file_without_a_last_newline_gets_it_back),
		cmocka_unit_test(the_users_own_line_wins),
		cmocka_unit_test(only_exactly_our_lines_go),
		cmocka_unit_test(a_container_with_only_ipv6_gets_that_address),
		cmocka_unit_test(a_container_inside_gets_its_gateway),
		cmocka_unit_test(a_former_address_is_replaced),
		cmocka_unit_test(rubbish_stays_as_it_is),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
