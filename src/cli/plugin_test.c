#include "cli/plugin.h"
#include "base/json.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <cmocka.h>

static int skipped(int argc, const char *const words[])
{
	char *argv[10];
	for (int i = 0; i < argc; i++)
		argv[i] = (char *)(uintptr_t)words[i];
	return plugin_skip_globals(argc, argv);
}
#define SKIP(...)                                                         \
	skipped(sizeof((const char *[]){ __VA_ARGS__ }) / sizeof(char *), \
		(const char *[]){ __VA_ARGS__ })

static void the_word_model_is_not_the_command(void **state)
{
	(void)state;
	assert_int_equal(SKIP("model", "ls"), 1);
	assert_int_equal(SKIP("ls"), 0);
	assert_int_equal(SKIP("model"), 1);
	assert_int_equal(skipped(0, NULL), 0);
}

static void dockers_own_flags_are_passed_over(void **state)
{
	(void)state;
	assert_int_equal(
		SKIP("-D", "--context", "x", "-H=unix:///y", "model", "ls"), 5);
	assert_int_equal(SKIP("--tls", "--tlscacert=f", "ls"), 2);
	assert_int_equal(SKIP("--host"), 1);
	assert_int_equal(SKIP("--help"), 0);
	assert_int_equal(SKIP("-q", "model"), 0);
}

static void the_config_flag_takes_effect(void **state)
{
	(void)state;
	unsetenv("DOCKER_CONFIG");
	assert_int_equal(SKIP("--config", "/x/y", "model", "ls"), 3);
	assert_string_equal(getenv("DOCKER_CONFIG"), "/x/y");
}

static void the_metadata_is_what_docker_accepts(void **state)
{
	auto_json *j = NULL;
	struct str schema, vendor = { NULL, 0 };
	struct err e;
	(void)state;
	assert_int_equal(json_parse(str_of(plugin_metadata()), &j, &e), 0);
	assert_int_equal(json_get_str(j, "SchemaVersion", &schema, &e), 0);
	assert_true(str_eq(schema, "0.1.0"));
	assert_int_equal(json_get_str(j, "Vendor", &vendor, &e), 0);
	assert_true(vendor.n > 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_word_model_is_not_the_command),
		cmocka_unit_test(dockers_own_flags_are_passed_over),
		cmocka_unit_test(the_config_flag_takes_effect),
		cmocka_unit_test(the_metadata_is_what_docker_accepts),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
