#include "cli/progress.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <cmocka.h>

static int feed(struct progress *p, const char *text, size_t step,
		struct err *e)
{
	struct str rest = str_of(text);
	while (rest.n) {
		if (progress_feed(p, str_head(rest, step), e))
			return -1;
		rest = str_tail(rest, step);
	}
	return 0;
}

static const char good[] =
	"{\"type\":\"progress\",\"message\":\"Transferred: 1.03 MB\"}\n"
	"\n"
	"not JSON\n"
	"{\"type\":\"success\",\"message\":\"Model loaded successfully\"}\n";
static const char bad[] =
	"{\"type\":\"progress\",\"message\":\"x\"}\n"
	"{\"type\":\"error\",\"message\":\"Error: digest mismatch\"}\n"
	"Error: digest mismatch\n";

static void events_may_be_cut_anywhere(void **state)
{
	(void)state;
	for (size_t step = 1; step < sizeof bad; step++) {
		struct progress p;
		struct err e;
		progress_init(&p, 100);
		assert_int_equal(feed(&p, good, step, &e), 0);
		assert_int_equal(feed(&p, bad, step, &e), -1);
		assert_string_equal(e.msg, "Error: digest mismatch");
		progress_fini(&p);
	}
}

static void an_endless_line_is_an_error(void **state)
{
	static char xs[100000];
	struct progress p;
	struct err e;
	(void)state;
	memset(xs, 'x', sizeof xs - 1);
	progress_init(&p, 100);
	assert_int_equal(feed(&p, xs, 1000, &e), -1);
	progress_fini(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(events_may_be_cut_anywhere),
		cmocka_unit_test(an_endless_line_is_an_error),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
