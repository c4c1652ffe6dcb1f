#include "llama/params.h"

#include <float.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <cmocka.h>

/* A request with this one field; the error if it is refused. */
static int parse(const struct params_field *f, json_t *value, struct err *e)
{
	auto_json *body = json_object();
	struct params p;
	*e = (struct err){ 0 };
	json_object_set_new(body, f->name, value);
	return params_parse(body, (enum params_where)f->where, &p, e);
}

static void refused(const struct params_field *f, json_t *value)
{
	struct err e;
	assert_int_equal(parse(f, value, &e), -1);
	assert_int_equal(e.code, ERR_INVALID);
	assert_string_equal(e.param, f->name);
	assert_non_null(strstr(e.msg, f->name));
}

static void accepted(const struct params_field *f, json_t *value)
{
	struct err e;
	assert_int_equal(parse(f, value, &e), 0);
}

static bool fits(const struct params_field *f, double d)
{
	if (f->kind == PARAMS_NUM)
		return d >= f->least && d <= f->most;
	return f->kind == PARAMS_INT && d < 0x1p63 && d >= -0x1p63 &&
	       (int64_t)d >= f->first && (int64_t)d <= f->last;
}

static void every_number_is_bounded_on_both_sides(void **state)
{
	static const double odd[] = {
		-1,	      -0.0,  2147483648., 0x1p63,
		-2147483649., 1e300, -1e300,	  DBL_MAX
	};
	size_t n;
	const struct params_field *f = params_fields(&n);
	(void)state;
	for (size_t i = 0; i < n; i++)
		for (size_t k = 0; k < ARRAY_LEN(odd); k++)
			if (fits(&f[i], odd[k]))
				accepted(&f[i], json_real(odd[k]));
			else
				refused(&f[i], json_real(odd[k]));
}

static void the_ends_of_each_range_are_in_it(void **state)
{
	size_t n;
	const struct params_field *f = params_fields(&n);
	(void)state;
	for (size_t i = 0; i < n; i++) {
		if (f[i].kind == PARAMS_NUM) {
			assert_true(f[i].least < f[i].most);
			accepted(&f[i], json_real(f[i].least));
			accepted(&f[i], json_real(f[i].most));
			refused(&f[i], json_real(f[i].least - 0.001));
			refused(&f[i], json_real(f[i].most + 0.001));
		} else if (f[i].kind == PARAMS_INT) {
			assert_true(f[i].first < f[i].last);
			accepted(&f[i], json_integer(f[i].first));
			accepted(&f[i], json_integer(f[i].last));
			if (f[i].first > INT64_MIN)
				refused(&f[i], json_integer(f[i].first - 1));
			if (f[i].last < INT64_MAX)
				refused(&f[i], json_integer(f[i].last + 1));
		}
	}
}

static void a_fraction_is_no_whole_number(void **state)
{
	size_t n;
	const struct params_field *f = params_fields(&n);
	(void)state;
	for (size_t i = 0; i < n; i++)
		if (f[i].kind == PARAMS_INT)
			refused(&f[i], json_real(1.5));
}

static void a_wrong_type_names_the_field(void **state)
{
	size_t n;
	const struct params_field *f = params_fields(&n);
	(void)state;
	for (size_t i = 0; i < n; i++) {
		bool is_text = f[i].kind == PARAMS_TEXT;
		if (!is_text && !(f[i].shapes & PARAMS_STRING))
			refused(&f[i], json_string("7"));
		if (!(f[i].shapes & PARAMS_ARRAY))
			refused(&f[i], json_array());
		if (!(f[i].shapes & PARAMS_OBJECT))
			refused(&f[i], json_object());
		if (f[i].kind != PARAMS_BOOL)
			refused(&f[i], json_true());
		if (f[i].kind != PARAMS_INT && f[i].kind != PARAMS_NUM)
			refused(&f[i], json_integer(1));
	}
}

static void null_is_as_absent(void **state)
{
	size_t n;
	const struct params_field *f = params_fields(&n);
	(void)state;
	for (size_t i = 0; i < n; i++)
		accepted(&f[i], json_null());
}

static void a_field_of_another_request_is_ignored(void **state)
{
	auto_json *body = json_pack("{s:s,s:s}", "input", "x", "echo", "yes");
	struct params p;
	struct err e;
	(void)state;
	assert_int_equal(params_parse(body, PARAMS_CHAT, &p, &e), 0);
	assert_int_equal(params_parse(body, PARAMS_COMPLETION, &p, &e), -1);
}

static void one_name_may_mean_two_things(void **state)
{
	auto_json *chat = json_pack("{s:b}", "logprobs", 1);
	auto_json *text = json_pack("{s:i}", "logprobs", 3);
	struct params p;
	struct err e;
	(void)state;
	assert_int_equal(params_parse(chat, PARAMS_CHAT, &p, &e), 0);
	assert_true(p.logprobs);
	assert_int_equal(params_parse(text, PARAMS_COMPLETION, &p, &e), 0);
	assert_int_equal(p.n_logprobs, 3);
	assert_int_equal(params_parse(text, PARAMS_CHAT, &p, &e), -1);
}

static void a_body_that_is_no_object_is_refused(void **state)
{
	auto_json *body = json_array();
	struct params p;
	struct err e;
	(void)state;
	assert_int_equal(params_parse(body, PARAMS_CHAT, &p, &e), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_number_is_bounded_on_both_sides),
		cmocka_unit_test(the_ends_of_each_range_are_in_it),
		cmocka_unit_test(a_fraction_is_no_whole_number),
		cmocka_unit_test(a_wrong_type_names_the_field),
		cmocka_unit_test(null_is_as_absent),
		cmocka_unit_test(a_field_of_another_request_is_ignored),
		cmocka_unit_test(one_name_may_mean_two_things),
		cmocka_unit_test(a_body_that_is_no_object_is_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
