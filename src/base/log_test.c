#include "base/log.h"
#include "base/buf.h"
#include "base/limits.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <unistd.h>
#include <cmocka.h>

/* Each line lands here without its time, which is 25 bytes. */
static void on_line(void *ctx, const char *source, struct str line)
{
	struct buf *b = ctx;
	(void)source;
	assert_true(line.n > 25 && line.p[23] == 'Z' && line.p[24] == ' ');
	assert_int_equal(buf_put(b, line.p + 25, line.n - 25), 0);
	assert_int_equal(buf_puts(b, "\n"), 0);
}

static int start(void **state)
{
	struct buf *b = xcalloc(1, sizeof *b);
	buf_init(b, 100000);
	log_init("test", LOG_INFO);
	log_set_sink(on_line, b);
	*state = b;
	return 0;
}

static int stop(void **state)
{
	log_set_sink(NULL, NULL);
	buf_fini(*state);
	free(*state);
	return 0;
}

static void a_line_has_level_and_source(void **state)
{
	struct buf *b = *state;
	log_info("loaded model=%s", "ai/x");
	log_error("gone");
	assert_string_equal(b->p, "info test: loaded model=ai/x\n"
				  "error test: gone\n");
}

static void lines_above_the_level_are_dropped(void **state)
{
	struct buf *b = *state;
	log_debug("a");
	log_set_level(LOG_DEBUG);
	log_debug("b");
	log_set_level(LOG_ERROR);
	log_warn("c");
	log_relay(LOG_WARN, "engine", STR("d"));
	assert_string_equal(b->p, "debug test: b\n");
}

static void a_message_stays_one_line(void **state)
{
	struct buf *b = *state;
	log_warn("a\nb\r\033[1m\tc\x7f \xc3\xa4");
	log_relay(LOG_INFO, "engine", STR("d\0e\n"));
	assert_string_equal(b->p, "warn test: a\\x0ab\\x0d\\x1b[1m c\\x7f "
				  "\xc3\xa4\n"
				  "info engine: d\\x00e\\x0a\n");
}

static void a_long_message_is_cut(void **state)
{
	struct buf *b = *state;
	auto_free char *text = xcalloc(LIMIT_LOG_LINE_BYTES * 2, 1);
	memset(text, '\1', LIMIT_LOG_LINE_BYTES * 2 - 1);
	log_info("%s", text);
	log_relay(LOG_INFO, "engine", str_of(text));
	struct str rest = buf_str(b), line;
	for (int i = 0; i < 2; i++) {
		assert_true(str_split(&rest, '\n', &line));
		assert_true(line.n + 25 < LIMIT_LOG_LINE_BYTES);
		assert_true(line.n + 25 > LIMIT_LOG_LINE_BYTES - 10);
		assert_true(str_ends(line, "\\x01"));
	}
}

static void a_line_of_our_own_form_is_not_stamped_twice(void **state)
{
	struct buf *b = *state;
	log_relay(LOG_INFO, "engine",
		  STR("2026-11-23T03:50:24.123Z warn worker: slow ms=5"));
	log_relay(LOG_INFO, "engine",
		  STR("2026-11-23T03:50:24.123Z debug worker: hidden"));
	log_relay(LOG_INFO, "engine", STR("2026-11-23T03:50:24.123Z"));
	assert_string_equal(b->p, "warn engine: slow ms=5\n"
				  "info engine: 2026-11-23T03:50:24.123Z\n");
}

static void a_closed_stderr_does_no_harm(void **state)
{
	struct buf *b = *state;
	int was = dup(STDERR_FILENO);
	int none = open("/dev/null", O_RDONLY | O_CLOEXEC);
	dup2(none, STDERR_FILENO);
	log_info("still here");
	dup2(was, STDERR_FILENO);
	close(was);
	close(none);
	assert_string_equal(b->p, "info test: still here\n");
}

static void levels_are_known_by_their_names(void **state)
{
	(void)state;
	enum log_level level;
	assert_true(log_level_parse("warn", &level));
	assert_int_equal(level, LOG_WARN);
	assert_false(log_level_parse("WARN", &level));
	assert_false(log_level_parse("", &level));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_line_has_level_and_source,
						start, stop),
		cmocka_unit_test_setup_teardown(
			lines_above_the_level_are_dropped, start, stop),
		cmocka_unit_test_setup_teardown(a_message_stays_one_line, start,
						stop),
		cmocka_unit_test_setup_teardown(a_long_message_is_cut, start,
						stop),
		cmocka_unit_test_setup_teardown(
			a_line_of_our_own_form_is_not_stamped_twice, start,
			stop),
		cmocka_unit_test_setup_teardown(a_closed_stderr_does_no_harm,
						start, stop),
		cmocka_unit_test(levels_are_known_by_their_names),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
