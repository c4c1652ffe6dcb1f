#include "cli/answer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <cmocka.h>

/* What was shown; the function that shows has no context. */
static struct buf shown;

static void show(struct str text)
{
	assert_int_equal(buf_put(&shown, text.p, text.n), 0);
}

static int setup(void **state)
{
	(void)state;
	buf_init(&shown, 10000);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	buf_fini(&shown);
	return 0;
}

#define DELTA(members) \
	"data: {\"choices\":[{\"index\":0,\"delta\":{" members "}}]}\n\n"
#define STOP \
	"data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n"

/* Feeds it in pieces of `step` bytes; the outcome is the first failure, or the
 * end's. */
static int feed(struct answer *a, const char *text, size_t step, struct err *e)
{
	struct str rest = str_of(text);
	while (rest.n) {
		if (answer_feed(a, str_head(rest, step), e))
			return -1;
		rest = str_tail(rest, step);
	}
	return answer_end(a, e);
}

static void an_answer_is_shown_and_kept_however_it_is_cut(void **state)
{
	static const char text[] =
		": waiting\n\n" DELTA("\"role\":\"assistant\",\"content\":null")
			DELTA("\"content\":\"Gr\xc3\xbc\xc3\x9f\"")
				DELTA("\"content\":\" Gott\"") STOP
		"data: [DONE]\n\n";
	(void)state;
	for (size_t step = 1; step < sizeof text; step++) {
		struct answer a;
		struct err e;
		buf_clear(&shown);
		answer_init(&a, show);
		assert_int_equal(feed(&a, text, step, &e), 0);
		assert_string_equal(shown.p, "Gr\xc3\xbc\xc3\x9f Gott");
		assert_string_equal(a.text.p, shown.p);
		assert_false(a.has_usage);
		answer_fini(&a);
	}
}

static void reasoning_is_set_apart_and_not_kept(void **state)
{
	struct answer a;
	struct err e;
	(void)state;
	answer_init(&a, show);
	assert_int_equal(feed(&a,
			      DELTA("\"reasoning_content\":\"hm\"")
				      DELTA("\"reasoning_content\":\"m\"")
					      DELTA("\"content\":\"4\"") DELTA(
						      "\"content\":\"2\"") STOP,
			      1000, &e),
			 0);
	assert_string_equal(shown.p, "Thinking:\nhmm\n\n--\n\n42");
	assert_string_equal(a.text.p, "42");
	answer_fini(&a);
}

static void usage_is_noted(void **state)
{
	struct answer a;
	struct err e;
	(void)state;
	answer_init(&a, show);
	assert_int_equal(
		feed(&a,
		     DELTA("\"content\":\"x\"") STOP
		     "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":33,"
		     "\"completion_tokens\":8}}\n\ndata: [DONE]\n\n",
		     1000, &e),
		0);
	assert_true(a.has_usage);
	assert_int_equal(a.prompt_tokens, 33);
	assert_int_equal(a.answer_tokens, 8);
	answer_fini(&a);
}

static void the_servers_error_in_the_stream_is_the_error(void **state)
{
	struct answer a;
	struct err e;
	(void)state;
	answer_init(&a, show);
	assert_int_equal(
		feed(&a,
		     DELTA("\"content\":\"x\"") "data: {\"error\":{\"message\":\"the engine "
						"died\"}}\n\ndata: [DONE]\n\n",
		     1000, &e),
		-1);
	assert_string_equal(e.msg, "the engine died");
	assert_string_equal(shown.p, "x");
	answer_fini(&a);
}

static void nonsense_is_an_error(void **state)
{
	static const struct {
		const char *text, *says;
	} cases[] = {
		{ "", "no answer that could be read" },
		{ "{\"choices\":[]}", "no answer that could be read" },
		{ "data: {\"choices\":\n\n", "the answer's stream" },
		{ DELTA("\"content\":7"), "'content' must be a string" },
		{ DELTA("\"content\":\"x\""), "broke off" },
		{ "data: {\"error\":\"no\"}\n\n", "no" },
		{ "data: {\"error\":7}\n\n", "reports an error" },
	};
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct answer a;
		struct err e;
		answer_init(&a, show);
		assert_int_equal(feed(&a, cases[i].text, 1000, &e), -1);
		assert_non_null(strstr(e.msg, cases[i].says));
		answer_fini(&a);
	}
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(an_answer_is_shown_and_kept_however_it_is_cut),
		T(reasoning_is_set_apart_and_not_kept),
		T(usage_is_noted),
		T(the_servers_error_in_the_stream_is_the_error),
		T(nonsense_is_an_error),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
