#include "oci/credentials.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#define HUB "https://index.docker.io/v1/"

static void expect(const char *config, const char *server, const char *user,
		   const char *secret, const char *identity, const char *helper)
{
	struct credentials c;
	char *name;
	credentials_parse_config(str_of(config), server, &name, &c);
	if (user)
		assert_string_equal(c.user, user);
	else
		assert_null(c.user);
	if (secret)
		assert_string_equal(c.secret, secret);
	else
		assert_null(c.secret);
	if (identity)
		assert_string_equal(c.identity, identity);
	else
		assert_null(c.identity);
	if (helper)
		assert_string_equal(name, helper);
	else
		assert_null(name);
	free(name);
	credentials_fini(&c);
}

static void every_form_of_entry_is_read(void **state)
{
	(void)state;
	expect("{\"auths\":{\"r:5000\":{\"auth\":\"dTpwOnE=\"}}}", "r:5000",
	       "u", "p:q", NULL, NULL);
	expect("{\"auths\":{\"https://r:5000/v2/\":{\"username\":\"u\","
	       "\"password\":\"p\"}}}",
	       "r:5000", "u", "p", NULL, NULL);
	expect("{\"auths\":{\"r\":{\"auth\":\"dTo=\",\"identitytoken\":\"t\"}}}",
	       "r", NULL, NULL, "t", NULL);
	expect("{\"auths\":{\"" HUB "\":{\"auth\":\"dTpw\"}}}", HUB, "u", "p",
	       NULL, NULL);
}

static void another_registrys_are_not_taken(void **state)
{
	(void)state;
	expect("{\"auths\":{\"r:5000\":{\"auth\":\"dTpw\"}}}", "r:5001", NULL,
	       NULL, NULL, NULL);
	expect("{\"auths\":{\"r\":{\"auth\":\"dTpw\"}}}", "r.evil", NULL, NULL,
	       NULL, NULL);
	expect("{\"auths\":{\"x.r\":{\"auth\":\"dTpw\"}}}", "r", NULL, NULL,
	       NULL, NULL);
}

static void helpers_come_first_and_have_plain_names(void **state)
{
	(void)state;
	expect("{\"credsStore\":\"pass\",\"credHelpers\":{\"r\":\"ecr-login\"}}",
	       "r", NULL, NULL, NULL, "ecr-login");
	expect("{\"credsStore\":\"pass\",\"auths\":{\"q\":{\"auth\":\"dTpw\"}}}",
	       "q", "u", "p", NULL, "pass");
	expect("{\"credsStore\":\"../../bin/sh\"}", "r", NULL, NULL, NULL,
	       NULL);
	expect("{\"credsStore\":\"\"}", "r", NULL, NULL, NULL, NULL);
	expect("{\"credsStore\":5}", "r", NULL, NULL, NULL, NULL);
}

static void broken_files_hold_nothing(void **state)
{
	(void)state;
	static const char *const bad[] = {
		"",
		"[]",
		"{",
		"{\"auths\":[]}",
		"{\"auths\":{\"r\":5}}",
		"{\"auths\":{\"r\":{\"auth\":\"%%%\"}}}",
		"{\"auths\":{\"r\":{\"auth\":\"dTpwd\"}}}",
		"{\"auths\":{\"r\":{\"auth\":5}}}",
		"{\"auths\":{\"r\":{\"auth\":\"\"}}}",
	};
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		expect(bad[i], "r", NULL, NULL, NULL, NULL);
}

static void what_a_helper_prints_is_read(void **state)
{
	struct credentials c;
	(void)state;
	credentials_parse_helper(STR("{\"ServerURL\":\"r\",\"Username\":\"u\","
				     "\"Secret\":\"s\"}"),
				 &c);
	assert_string_equal(c.user, "u");
	assert_string_equal(c.secret, "s");
	credentials_fini(&c);
	credentials_parse_helper(
		STR("{\"Username\":\"<token>\",\"Secret\":\"s\"}"), &c);
	assert_string_equal(c.identity, "s");
	assert_null(c.user);
	credentials_fini(&c);
	credentials_parse_helper(STR("credentials not found"), &c);
	assert_null(c.user);
	assert_null(c.identity);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_form_of_entry_is_read),
		cmocka_unit_test(another_registrys_are_not_taken),
		cmocka_unit_test(helpers_come_first_and_have_plain_names),
		cmocka_unit_test(broken_files_hold_nothing),
		cmocka_unit_test(what_a_helper_prints_is_read),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
