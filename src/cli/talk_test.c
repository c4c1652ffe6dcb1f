#include "cli/talk.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <cmocka.h>

static void expect(const struct talk *t, const char *want)
{
	auto_buf struct buf out;
	buf_init(&out, 10000);
	assert_int_equal(talk_put_request(t, "m", &out), 0);
	assert_string_equal(out.p, want);
}

static void a_request_holds_all_that_was_said(void **state)
{
	struct talk t;
	(void)state;
	talk_init(&t);
	expect(&t, "{\"model\":\"m\",\"stream\":true,\"messages\":[]}");
	assert_int_equal(talk_add(&t, "user", STR("hi \"you\"")), 0);
	assert_int_equal(talk_add(&t, "assistant", STR("a\nb")), 0);
	expect(&t, "{\"model\":\"m\",\"stream\":true,\"messages\":["
		   " {\"role\":\"user\",\"content\":\"hi \\\"you\\\"\"},"
		   "{\"role\":\"assistant\",\"content\":\"a\\nb\"}]}");
	talk_fini(&t);
}

static void the_system_message_comes_first(void **state)
{
	struct talk t;
	(void)state;
	talk_init(&t);
	assert_int_equal(talk_add(&t, "user", STR("hi")), 0);
	talk_set_system(&t, "be brief");
	expect(&t, "{\"model\":\"m\",\"stream\":true,\"messages\":["
		   " {\"role\":\"system\",\"content\":\"be brief\"},"
		   "{\"role\":\"user\",\"content\":\"hi\"}]}");
	talk_set_system(&t, "");
	expect(&t, "{\"model\":\"m\",\"stream\":true,\"messages\":["
		   " {\"role\":\"user\",\"content\":\"hi\"}]}");
	talk_fini(&t);
}

static void what_is_forgotten_is_not_sent(void **state)
{
	struct talk t;
	(void)state;
	talk_init(&t);
	assert_int_equal(talk_add(&t, "user", STR("one")), 0);
	size_t mark = talk_mark(&t);
	assert_int_equal(talk_add(&t, "user", STR("two")), 0);
	talk_forget(&t, mark);
	expect(&t, "{\"model\":\"m\",\"stream\":true,\"messages\":["
		   " {\"role\":\"user\",\"content\":\"one\"}]}");
	talk_forget(&t, 0);
	expect(&t, "{\"model\":\"m\",\"stream\":true,\"messages\":[]}");
	talk_fini(&t);
}

static void options_are_members_of_the_request(void **state)
{
	struct talk t;
	(void)state;
	talk_init(&t);
	assert_int_equal(talk_set(&t, "seed", "7"), 0);
	assert_int_equal(talk_set(&t, "temperature", "0.5"), 0);
	expect(&t, "{\"model\":\"m\",\"stream\":true,\"seed\":7,"
		   "\"temperature\":0.5,\"messages\":[]}");
	talk_fini(&t);
}

/* A file that is not text, piped into `run`. */
static void bytes_that_are_not_text_stay_valid_json(void **state)
{
	struct talk t;
	(void)state;
	talk_init(&t);
	assert_int_equal(talk_add(&t, "user",
				  STR("a\xff"
				      "b")),
			 0);
	expect(&t, "{\"model\":\"m\",\"stream\":true,\"messages\":["
		   " {\"role\":\"user\",\"content\":\"a\xef\xbf\xbd"
		   "b\"}]}");
	talk_fini(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_request_holds_all_that_was_said),
		cmocka_unit_test(the_system_message_comes_first),
		cmocka_unit_test(what_is_forgotten_is_not_sent),
		cmocka_unit_test(options_are_members_of_the_request),
		cmocka_unit_test(bytes_that_are_not_text_stay_valid_json),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
