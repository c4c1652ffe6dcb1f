#include "docker/containers.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <cmocka.h>

#define ID(c) \
	c "123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define ONE(id, names, v4, v6)                                               \
	"{\"Id\":\"" ID(id) "\",\"Names\":[" names "],\"NetworkSettings\":{" \
			    "\"Networks\":{\"n\":{\"IPAddress\":\"" v4 "\"," \
			    "\"GlobalIPv6Address\":\"" v6 "\"}}}}"

static const struct container *find(const struct containers *c,
				    const char *address)
{
	struct in6_addr a;
	assert_true(containers_parse(str_of(address), &a));
	return containers_find(c, &a);
}

static void get(const char *text, struct containers *out)
{
	auto_json *j = json_loads(text, 0, NULL);
	struct err e;
	assert_non_null(j);
	if (containers_read(j, out, &e))
		fail_msg("%s", e.msg);
}

static void an_address_names_its_container(void **state)
{
	struct containers c;
	(void)state;
	get("[" ONE("a", "\"/db/alias\",\"/web\"", "172.17.0.2",
		    "fd00::2") "," ONE("b", "\"/db\"", "172.17.0.3",
				       "") "," ONE("c", "", "", "") "]",
	    &c);
	assert_string_equal(find(&c, "172.17.0.2")->name, "web");
	assert_string_equal(find(&c, "fd00::2")->id, ID("a"));
	assert_string_equal(find(&c, "172.17.0.3")->name, "db");
	assert_null(find(&c, "172.17.0.4"));
	assert_null(find(&c, "::"));
	containers_fini(&c);
	get("[]", &c);
	assert_null(find(&c, "172.17.0.2"));
	containers_fini(&c);
}

static void an_address_of_two_names_neither(void **state)
{
	struct containers c;
	(void)state;
	get("[" ONE("a", "\"/a\"", "10.0.0.1", "") "," ONE(
		    "b", "\"/b\"", "10.0.0.2",
		    "") "," ONE("c", "\"/c\"", "10.0.0.1",
				"") "," ONE("d", "\"/d\"", "10.0.0.1", "") "]",
	    &c);
	assert_null(find(&c, "10.0.0.1"));
	assert_string_equal(find(&c, "10.0.0.2")->name, "b");
	containers_fini(&c);
}

static void a_network_names_those_that_are_being_started(void **state)
{
	auto_json *j = json_loads(
		"{\"Containers\":{\"" ID(
			"a") "\":{\"Name\":\"web\","
			     "\"IPv4Address\":\"10.0.0.1/24\",\"IPv6Address\":\"\"},"
			     "\"lb-x\":{\"Name\":\"lb\",\"IPv4Address\":\"10.0.0.9/24\"}}}",
		0, NULL);
	struct containers c;
	struct err e;
	(void)state;
	assert_int_equal(containers_read_network(j, &c, &e), 0);
	assert_string_equal(find(&c, "10.0.0.1")->name, "web");
	assert_null(find(&c, "10.0.0.9"));
	containers_fini(&c);
}

static void nonsense_is_an_error(void **state)
{
	static const char *const bad[] = {
		"{}",
		"[{\"Id\":1}]",
		("[{\"Id\":\"x\",\"NetworkSettings\":{\"Networks\":{"
		 "\"n\":{\"IPAddress\":5}}}}]"),
	};
	struct containers c;
	struct err e;
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		auto_json *j = json_loads(bad[i], 0, NULL);
		assert_int_equal(containers_read(j, &c, &e), -1);
	}
}

static void only_addresses_are_addresses(void **state)
{
	static const char *const bad[] = { "",		"x",	 "1.2.3",
					   "1.2.3.4/5", "[::1]", "1.2.3.4 " };
	struct in6_addr a, b;
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_false(containers_parse(str_of(bad[i]), &a));
	assert_true(containers_parse(STR("1.2.3.4"), &a));
	assert_true(containers_parse(STR("::ffff:1.2.3.4"), &b));
	assert_memory_equal(&a, &b, sizeof a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_address_names_its_container),
		cmocka_unit_test(an_address_of_two_names_neither),
		cmocka_unit_test(a_network_names_those_that_are_being_started),
		cmocka_unit_test(nonsense_is_an_error),
		cmocka_unit_test(only_addresses_are_addresses),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
