#include "cli/layers.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#define A "aaaaaaaaaaaabbbb"
#define B "bbbbbbbbbbbbcccc"
#define EVENT(id, there)                                              \
	"{\"type\":\"progress\",\"message\":\"x\",\"total\":3000000," \
	"\"layer\":{\"id\":\"sha256:" id                              \
	"\",\"size\":1500000,\"current\":" there "},\"mode\":\"pull\"}\n"
#define DONE "{\"type\":\"success\",\"message\":\"Model pulled\"}\n"

/* Feeds `text` in pieces of n bytes; the caller frees what was shown. */
static char *show(const char *text, size_t n, bool is_tty, int *outcome,
		  struct err *e)
{
	char *shown = NULL;
	size_t size;
	struct layers l;
	FILE *out = open_memstream(&shown, &size);
	struct str rest = str_of(text);
	layers_init(&l, out);
	assert_false(l.is_tty); /* memory is no terminal */
	l.is_tty = is_tty;
	*outcome = 0;
	while (rest.n && !*outcome) {
		*outcome = layers_feed(&l, str_head(rest, n), e);
		rest = str_tail(rest, n);
	}
	if (!*outcome)
		*outcome = layers_end(&l, e);
	layers_fini(&l);
	fclose(out);
	return shown;
}

static void lines_say_the_sum_and_never_twice(void **state)
{
	struct err e;
	int outcome;
	(void)state;
	for (size_t n = 1; n < 200; n += 13) {
		auto_free char *shown =
			show(EVENT(A, "500000") EVENT(A, "500000")
				     EVENT(B, "1500000") "no event\n" DONE,
			     n, false, &outcome, &e);
		assert_int_equal(outcome, 0);
		assert_string_equal(shown, "Downloaded 500.00kB of 3.00MB\n"
					   "Downloaded 2.00MB of 3.00MB\n"
					   "Model pulled\n");
	}
}

static void an_error_says_whether_it_may_pass(void **state)
{
	struct err e;
	int outcome;
	(void)state;
	free(show("{\"type\":\"error\",\"message\":\"no\"}\n", 1000, false,
		  &outcome, &e));
	assert_int_equal(outcome, -1);
	assert_int_equal(e.code, ERR_INTERNAL);
	free(show("{\"type\":\"error\",\"message\":\"later\","
		  "\"retry\":true}\n",
		  1000, false, &outcome, &e));
	assert_int_equal(outcome, -1);
	assert_int_equal(e.code, ERR_UNAVAILABLE);
	assert_string_equal(e.msg, "later");
}

static void a_push_has_words_of_its_own(void **state)
{
#define PUSHED(id, there)                                             \
	"{\"type\":\"progress\",\"message\":\"x\",\"total\":1500000," \
	"\"layer\":{\"id\":\"sha256:" id                              \
	"\",\"size\":1500000,\"current\":" there "},\"mode\":\"push\"}\n"
	struct err e;
	int outcome;
	(void)state;
	auto_free char *shown =
		show(PUSHED(A, "500000") PUSHED(B, "1500000") DONE, 1000, false,
		     &outcome, &e);
	assert_int_equal(outcome, 0);
	assert_string_equal(shown, "Uploaded 500.00kB of 1.50MB\n"
				   "Uploaded 2.00MB of 3.00MB\n"
				   "Model pulled\n");
	auto_free char *bars =
		show(PUSHED(A, "750000") PUSHED(A, "1500000") DONE, 1000, true,
		     &outcome, &e);
	assert_int_equal(outcome, 0);
	assert_string_equal(
		bars,
		"aaaaaaaaaaaa: Uploading     [==============>             ] "
		"750.00kB/1.50MB\033[K\n"
		"\033[1A"
		"aaaaaaaaaaaa: Push complete\033[K\n"
		"Model pulled\n");
}

static void a_terminal_has_a_bar_for_each_layer(void **state)
{
	struct err e;
	int outcome;
	(void)state;
	auto_free char *shown =
		show(EVENT(A, "0") EVENT(B, "750000") EVENT(A, "1500000") DONE,
		     1000, true, &outcome, &e);
	assert_int_equal(outcome, 0);
	assert_string_equal(
		shown,
		"aaaaaaaaaaaa: Waiting      \033[K\n"
		"\033[1A"
		"aaaaaaaaaaaa: Waiting      \033[K\n"
		"bbbbbbbbbbbb: Downloading   [==============>             ] "
		"750.00kB/1.50MB\033[K\n"
		"\033[2A"
		"aaaaaaaaaaaa: Pull complete\033[K\n"
		"bbbbbbbbbbbb: Downloading   [==============>             ] "
		"750.00kB/1.50MB\033[K\n"
		"Model pulled\n");
}

static void an_error_ends_it_and_silence_is_one(void **state)
{
	struct err e;
	int outcome;
	(void)state;
	auto_free char *shown =
		show(EVENT(A, "5") "{\"type\":\"error\",\"message\":\"Error: "
				   "no\\u001b[2J space\"}\n" DONE,
		     7, false, &outcome, &e);
	assert_int_equal(outcome, -1);
	assert_null(strstr(shown, "Model pulled"));
	assert_string_equal(e.msg, "Error: no[2J space");
	assert_int_equal(e.code, ERR_INTERNAL);
	auto_free char *silent = show(EVENT(A, "5"), 7, false, &outcome, &e);
	assert_null(strstr(silent, "Model pulled"));
	assert_int_equal(outcome, -1);
	assert_int_equal(e.code, ERR_ENGINE);
}

static void what_no_layer_is_cannot_draw(void **state)
{
	struct err e;
	int outcome;
	(void)state;
	auto_free char *shown = show(
		"{\"type\":\"progress\",\"message\":\"a\\nb\\u001bc\","
		"\"layer\":{\"size\":0,\"current\":0}}\n"
		"{\"type\":\"progress\",\"layer\":5}\n"
		"{\"type\":\"progress\",\"layer\":{\"id\":7}}\n"
		"{\"type\":\"progress\",\"layer\":{\"id\":\"x\",\"size\":-1}}\n"
		"[]\n" DONE,
		50, true, &outcome, &e);
	assert_int_equal(outcome, 0);
	assert_string_equal(shown, "a bc\nModel pulled\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lines_say_the_sum_and_never_twice),
		cmocka_unit_test(an_error_says_whether_it_may_pass),
		cmocka_unit_test(a_push_has_words_of_its_own),
		cmocka_unit_test(a_terminal_has_a_bar_for_each_layer),
		cmocka_unit_test(an_error_ends_it_and_silence_is_one),
		cmocka_unit_test(what_no_layer_is_cannot_draw),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
