#include "api/usage.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

static const char answer[] =
	"{\"id\":\"x\",\"choices\":[],\"usage\":{\"completion_tokens\":8,"
	"\"prompt_tokens\": 33,\"total_tokens\":41,"
	"\"prompt_tokens_details\":{\"cached_tokens\":24}}}";

static const char stream_end[] =
	"data: {\"choices\":[{\"finish_reason\":\"stop\"}],\"timings\":"
	"{\"cache_n\":24,\"prompt_n\":9,\"prompt_ms\":1434.287,"
	"\"predicted_n\":3}}\n\ndata: [DONE]\n\n";

static void usage_is_read_from_an_answer(void **state)
{
	struct usage u = { .n = 0 };
	struct usage_counts n;
	(void)state;
	usage_see(&u, str_of(answer));
	assert_true(usage_read(&u, &n));
	assert_int_equal(n.prompt, 33);
	assert_int_equal(n.cached, 24);
	assert_int_equal(n.completion, 8);
}

static void usage_may_come_cut_anywhere(void **state)
{
	struct usage_counts n;
	(void)state;
	for (size_t cut = 0; cut <= strlen(answer); cut++) {
		struct usage u = { .n = 0 };
		usage_see(&u, str_head(str_of(answer), cut));
		usage_see(&u, str_tail(str_of(answer), cut));
		assert_true(usage_read(&u, &n));
		assert_int_equal(n.completion, 8);
	}
}

static void timings_serve_when_usage_was_not_asked_for(void **state)
{
	struct usage u = { .n = 0 };
	struct usage_counts n;
	(void)state;
	for (int i = 0; i < 1000; i++)
		usage_see(&u, STR("data: {\"choices\":[]}\n\n"));
	usage_see(&u, str_of(stream_end));
	assert_true(usage_read(&u, &n));
	assert_int_equal(n.prompt, 33);
	assert_int_equal(n.cached, 24);
	assert_int_equal(n.completion, 3);
}

static void an_answer_without_numbers_tells_nothing(void **state)
{
	struct usage_counts n;
	static const char *const texts[] = {
		"",
		"{}",
		"{\"usage\":null}",
		"{\"usage\":{\"prompt_tokens\":\"x\"}}",
		"{\"usage\":{\"prompt_tokens\":99999999999999999999999}}",
		"\"timings\":{}",
	};
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		struct usage u = { .n = 0 };
		usage_see(&u, str_of(texts[i]));
		assert_false(usage_read(&u, &n));
	}
}

static void events_are_counted_however_they_are_cut(void **state)
{
	static const char stream[] = "data: a\n\ndata: b\n\n: c\n\ndata: d";
	(void)state;
	for (size_t cut = 0; cut < sizeof stream; cut++) {
		struct usage u = { .n = 0 };
		struct str all = { stream, sizeof stream - 1 };
		usage_count(&u, str_head(all, cut));
		usage_count(&u, str_tail(all, cut));
		assert_int_equal(usage_guess(&u, 40), 3 + 10);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(usage_is_read_from_an_answer),
		cmocka_unit_test(usage_may_come_cut_anywhere),
		cmocka_unit_test(timings_serve_when_usage_was_not_asked_for),
		cmocka_unit_test(an_answer_without_numbers_tells_nothing),
		cmocka_unit_test(events_are_counted_however_they_are_cut),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
