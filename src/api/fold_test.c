#include "api/fold.h"
#include "base/json.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define EVENT(choice) "data: {\"choices\":[" choice "]}\n\n"
#define CHAT(delta) EVENT("{\"index\":0,\"delta\":" delta "}")

/* What the events fold into, as compact text with sorted keys; the caller frees
 * it. */
static char *fold(const char *events, const char *error_wanted)
{
	auto_buf struct buf out, error;
	auto_json *j = NULL;
	struct err e;
	buf_init(&out, 1 << 20);
	buf_init(&error, 1 << 20);
	assert_int_equal(fold_stream(str_of(events), &out, &error), 0);
	if (error_wanted)
		assert_string_equal(error.p, error_wanted);
	else
		assert_int_equal(error.n, 0);
	assert_int_equal(json_parse(buf_str(&out), &j, &e), 0);
	return json_dumps(j, JSON_COMPACT | JSON_SORT_KEYS);
}

static void expect(const char *events, const char *wanted)
{
	auto_free char *got = fold(events, NULL);
	assert_string_equal(got, wanted);
}

static void texts_and_reasoning_are_joined(void **state)
{
	(void)state;
	expect("data: {\"id\":\"x\",\"model\":\"m\",\"created\":7,\"choices\":"
	       "[{\"index\":0,\"delta\":{\"role\":\"assistant\"}}]}\n\n" CHAT(
		       "{\"reasoning_content\":\"hm\"}") CHAT("{\"content\":"
							      "\"Hel\"}")
		       CHAT("{\"content\":\"lo\"}") EVENT(
			       "{\"index\":0,\"delta\":{},\"finish_reason\":"
			       "\"stop\"}") "data: {\"choices\":[],\"usage\":"
					    "{\"total_tokens\":9}}\n\n"
					    "data: [DONE]\n\n",
	       "{\"choices\":[{\"finish_reason\":\"stop\",\"index\":0,"
	       "\"message\":{\"content\":\"Hello\",\"reasoning_content\":"
	       "\"hm\",\"role\":\"assistant\"}}],\"created\":7,\"id\":\"x\","
	       "\"model\":\"m\",\"object\":\"chat.completion\",\"usage\":"
	       "{\"total_tokens\":9}}");
}

static void several_answers_stay_apart(void **state)
{
	(void)state;
	expect(EVENT("{\"index\":1,\"delta\":{\"content\":\"b\"}}")
		       EVENT("{\"index\":0,\"delta\":{\"content\":\"a\"}}")
			       EVENT("{\"index\":1,\"delta\":{\"content\":"
				     "\"c\"}}"),
	       "{\"choices\":[{\"index\":0,\"message\":{\"content\":\"a\","
	       "\"role\":\"assistant\"}},{\"index\":1,\"message\":{"
	       "\"content\":\"bc\",\"role\":\"assistant\"}}],\"object\":"
	       "\"chat.completion\"}");
}

static void tool_calls_are_joined(void **state)
{
	(void)state;
	expect(CHAT("{\"tool_calls\":[{\"index\":0,\"id\":\"c\",\"function\":"
		    "{\"name\":\"f\",\"arguments\":\"{\\\"a\"}}]}")
		       CHAT("{\"tool_calls\":[{\"index\":0,\"function\":{"
			    "\"arguments\":\"\\\":1}\"}}]}"),
	       "{\"choices\":[{\"index\":0,\"message\":{\"content\":\"\","
	       "\"role\":\"assistant\",\"tool_calls\":[{\"function\":{"
	       "\"arguments\":\"{\\\"a\\\":1}\",\"name\":\"f\"},\"id\":\"c\","
	       "\"type\":\"function\"}]}}],\"object\":\"chat.completion\"}");
}

static void completions_have_texts(void **state)
{
	(void)state;
	expect(EVENT("{\"index\":0,\"text\":\"a\"}")
		       EVENT("{\"index\":0,\"text\":\"b\"}"),
	       "{\"choices\":[{\"index\":0,\"text\":\"ab\"}],\"object\":"
	       "\"text_completion\"}");
}

static void an_error_in_the_stream_is_told_apart(void **state)
{
	(void)state;
	auto_free char *got =
		fold(CHAT("{\"content\":\"a\"}") "data: {\"error\":{\"code\":"
						 "7}}\n\n",
		     "{\"code\":7}");
	assert_non_null(strstr(got, "\"content\":\"a\""));
}

/* An engine may say anything, and a record may be cut anywhere. */
static void what_is_strange_is_left_out(void **state)
{
	static const char *const strange[] = {
		"",
		"data: 7\n\n",
		"data: []\n\n",
		"data: {\n\n",
		"data: {\"choices\":{}}\n\n",
		EVENT("7"),
		EVENT("{\"index\":-1,\"delta\":{\"content\":\"x\"}}"),
		EVENT("{\"index\":128,\"delta\":{\"content\":\"x\"}}"),
		EVENT("{\"index\":99999999999,\"text\":\"x\"}"),
		"event: x\n: comment\n\n",
		"data: {\"choices\":[{\"index\":0,\"delta\":{\"con",
	};
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(strange); i++)
		expect(strange[i], "{\"choices\":[],\"object\":"
				   "\"text_completion\"}");
	expect(CHAT("{\"tool_calls\":[{\"index\":99999999,\"id\":\"x\"},7]}")
		       CHAT("{\"content\":7}"),
	       "{\"choices\":[{\"index\":0,\"message\":{\"content\":\"\","
	       "\"role\":\"assistant\"}}],\"object\":\"chat.completion\"}");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(texts_and_reasoning_are_joined),
		cmocka_unit_test(several_answers_stay_apart),
		cmocka_unit_test(tool_calls_are_joined),
		cmocka_unit_test(completions_have_texts),
		cmocka_unit_test(an_error_in_the_stream_is_told_apart),
		cmocka_unit_test(what_is_strange_is_left_out),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
