#include "oci/challenge.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

static struct challenge parse(const char *text)
{
	struct challenge c = { .kind = CHALLENGE_NONE };
	challenge_parse(str_of(text), &c);
	return c;
}

static void the_usual_ones_are_read(void **state)
{
	(void)state;
	struct challenge c =
		parse("Bearer realm=\"https://auth.example/token\","
		      "service=\"registry.example\","
		      "scope=\"repository:ai/x:pull,push\"");
	assert_int_equal(c.kind, CHALLENGE_BEARER);
	assert_string_equal(c.realm, "https://auth.example/token");
	assert_string_equal(c.service, "registry.example");
	assert_string_equal(c.scope, "repository:ai/x:pull,push");
	assert_int_equal(parse("basic realm=\"x\"").kind, CHALLENGE_BASIC);
	assert_int_equal(parse("Basic").kind, CHALLENGE_BASIC);
	c = parse("bearer\trealm = https://a/t , error=\"invalid_token\"");
	assert_string_equal(c.realm, "https://a/t");
}

static void bearer_wins_wherever_it_stands(void **state)
{
	(void)state;
	struct challenge c =
		parse("Basic realm=\"b\", Bearer realm=\"https://t\"");
	assert_int_equal(c.kind, CHALLENGE_BEARER);
	c = parse("Bearer realm=\"https://t\", Basic realm=\"b\"");
	assert_string_equal(c.realm, "https://t");
	challenge_parse(STR("Basic realm=x"), &c);
	assert_int_equal(c.kind, CHALLENGE_BEARER);
	/* One that does not say where is none. */
	assert_int_equal(parse("Bearer service=\"x\", Basic").kind,
			 CHALLENGE_BASIC);
}

static void hostile_quoting_is_not_believed(void **state)
{
	(void)state;
	static const char *const bad[] = {
		"",
		",,, ,",
		"=",
		"\"Bearer\" realm=\"https://x\"",
		"Bearer realm=\"https://x",
		"Bearer realm=\"https://x\\",
		"Bearer realm=\"https://x\r\nHost: y\"",
		"Bearer realm=\"https://\x01\"",
		"Bearer realm=\"https://\xc3\xa4\"",
		"Bearer realm=\"\"",
		"Negotiate abc==",
	};
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_int_equal(parse(bad[i]).kind, CHALLENGE_NONE);
	struct challenge c = parse(
		"Bearer realm=\"https://a/\\\"b\\\"\", scope=\"x, Basic\"");
	assert_string_equal(c.realm, "https://a/\"b\"");
	assert_string_equal(c.scope, "x, Basic");
}

static void parameters_have_a_ceiling(void **state)
{
	(void)state;
	char text[LIMIT_CHALLENGE_BYTES + 64];
	for (int over = 0; over < 2; over++) {
		size_t n = LIMIT_CHALLENGE_BYTES - 1 + (size_t)over;
		memcpy(text, "Bearer realm=\"", 14);
		memset(text + 14, 'a', n);
		memcpy(text + 14 + n, "\"", 2);
		assert_int_equal(parse(text).kind,
				 over ? CHALLENGE_NONE : CHALLENGE_BEARER);
	}
}

static void tokens_are_read_and_cannot_break_a_header(void **state)
{
	(void)state;
	struct challenge_token t;
	struct err e;
	assert_int_equal(
		challenge_parse_token(
			STR("{\"token\":\"abc\",\"expires_in\":300}"), &t, &e),
		0);
	assert_string_equal(t.text, "abc");
	assert_int_equal(t.seconds, 300);
	free(t.text);
	assert_int_equal(challenge_parse_token(
				 STR("{\"access_token\":\"x.y\"}"), &t, &e),
			 0);
	assert_string_equal(t.text, "x.y");
	assert_int_equal(t.seconds, 60);
	free(t.text);
	static const char *const bad[] = {
		"",
		"[]",
		"{}",
		"{\"token\":\"\"}",
		"{\"token\":5}",
		"{\"token\":\"a\\r\\nb\"}",
		"{\"token\":\"a b\"}",
		"{\"token\":\"\\u00e4\"}",
	};
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_int_equal(challenge_parse_token(str_of(bad[i]), &t, &e),
				 -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_usual_ones_are_read),
		cmocka_unit_test(bearer_wins_wherever_it_stands),
		cmocka_unit_test(hostile_quoting_is_not_believed),
		cmocka_unit_test(parameters_have_a_ceiling),
		cmocka_unit_test(tokens_are_read_and_cannot_break_a_header),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
