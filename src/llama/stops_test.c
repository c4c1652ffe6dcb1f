#include "llama/stops.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <cmocka.h>

/* Feeds `text` in pieces of `step` bytes; gives what was shown, "|" after each
 * showing, and '!' at the end if a stop string was hit. */
static char *shown(const char *text, size_t step, const struct str *words,
		   size_t n_words)
{
	struct stops s;
	struct buf b;
	struct str out;
	int hit = 0;
	stops_init(&s, words, n_words);
	buf_init(&b, 4096);
	for (struct str t = str_of(text); t.n && !hit; t = str_tail(t, step)) {
		hit = stops_add(&s, str_head(t, step), &out);
		assert_true(str_is_utf8(out));
		assert_int_equal(buf_put(&b, out.p, out.n), 0);
		if (out.n && step < 100)
			assert_int_equal(buf_puts(&b, "|"), 0);
	}
	if (!hit) {
		out = stops_flush(&s);
		assert_int_equal(buf_put(&b, out.p, out.n), 0);
	}
	if (hit)
		assert_int_equal(buf_puts(&b, "!"), 0);
	stops_fini(&s);
	return buf_take(&b);
}

static void check(const char *text, size_t step, const struct str *words,
		  size_t n_words, const char *want)
{
	char *got = shown(text, step, words, n_words);
	assert_string_equal(got, want);
	free(got);
}

static void text_without_stops_passes_at_once(void **state)
{
	(void)state;
	check("abc", 1, NULL, 0, "a|b|c|");
	check("abc", 100, NULL, 0, "abc");
}

static void a_character_comes_out_whole(void **state)
{
	(void)state;
	check("\xc3\xa4"
	      "b\xf0\x9f\x98\x80",
	      1, NULL, 0, "\xc3\xa4|b|\xf0\x9f\x98\x80|");
	check("\xe4\xbd\xa0\xe5\xa5\xbd", 2, NULL, 0,
	      "\xe4\xbd\xa0|\xe5\xa5\xbd|");
}

static void a_stop_string_and_what_follows_never_show(void **state)
{
	struct str words[] = { STR("END"), STR("\n\n") };
	(void)state;
	for (size_t step = 1; step < 5; step++) {
		char *got = shown("one EN two END three", step, words, 2);
		char *p = got;
		for (char *q = got; *q; q++)
			if (*q != '|')
				*p++ = *q;
		*p = '\0';
		assert_string_equal(got, "one EN two !");
		free(got);
	}
	check("a\n\nb", 100, words, 2, "a!");
}

static void what_might_become_a_stop_string_waits(void **state)
{
	struct str words[] = { STR("stop") };
	(void)state;
	check("sto", 1, words, 1, "sto");
	check("stow", 1, words, 1, "stow|");
	check("ststop", 1, words, 1, "st|!");
}

static void the_first_of_several_stops_counts(void **state)
{
	struct str words[] = { STR("later"), STR("soon") };
	(void)state;
	check("x soon later", 100, words, 2, "x !");
	check("x later soon", 100, words, 2, "x !");
}

static void a_stop_inside_multibyte_text_is_found(void **state)
{
	struct str words[] = { STR("\xe5\xa5\xbd") };
	(void)state;
	check("\xe4\xbd\xa0\xe5\xa5\xbd\xe4", 1, words, 1, "\xe4\xbd\xa0|!");
}

static void bytes_that_are_no_utf8_are_not_held_for_ever(void **state)
{
	struct stops s;
	struct str out;
	(void)state;
	stops_init(&s, NULL, 0);
	assert_int_equal(stops_add(&s, STR("\xff\x80\x80\x80\x80"), &out), 0);
	assert_int_equal(out.n, 5);
	assert_int_equal(stops_add(&s, STR("\xe4"), &out), 0);
	assert_int_equal(out.n, 0);
	assert_int_equal(stops_add(&s, STR("a"), &out), 0);
	assert_int_equal(out.n, 2);
	stops_fini(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(text_without_stops_passes_at_once),
		cmocka_unit_test(a_character_comes_out_whole),
		cmocka_unit_test(a_stop_string_and_what_follows_never_show),
		cmocka_unit_test(what_might_become_a_stop_string_waits),
		cmocka_unit_test(the_first_of_several_stops_counts),
		cmocka_unit_test(a_stop_inside_multibyte_text_is_found),
		cmocka_unit_test(bytes_that_are_no_utf8_are_not_held_for_ever),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
