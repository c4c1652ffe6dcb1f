#include "llama/floats.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <cmocka.h>

static void a_vector_gets_length_one(void **state)
{
	float v[] = { 3, 0, -4 };
	(void)state;
	floats_normalise(v, 3);
	assert_float_equal(v[0], 0.6, 1e-6);
	assert_float_equal(v[2], -0.8, 1e-6);
}

static void zeros_stay_zeros(void **state)
{
	float v[] = { 0, 0 };
	(void)state;
	floats_normalise(v, 2);
	assert_true(v[0] == 0 && v[1] == 0);
}

static void json_numbers_read_back_exactly(void **state)
{
	float v[] = { 0.1f,
		      -1.17549435e-38f,
		      3.40282347e38f,
		      0,
		      -1.4e-45f,
		      -0.015625f,
		      16777216,
		      1e-5f,
		      -1.00000012e-7f,
		      123456.789f };
	const size_t n = ARRAY_LEN(v);
	struct buf b;
	(void)state;
	buf_init(&b, 1000);
	assert_int_equal(floats_put_json(&b, v, n), 0);
	char *p = b.p;
	assert_true(*p++ == '[');
	for (size_t i = 0; i < n; i++) {
		assert_true(strtof(p, &p) == v[i]);
		assert_true(*p++ == (i == n - 1 ? ']' : ','));
	}
	buf_fini(&b);
}

static void a_number_that_is_none_becomes_null(void **state)
{
	float v[] = { 1, NAN, INFINITY, -INFINITY, 0.1f };
	struct buf b;
	(void)state;
	buf_init(&b, 1000);
	assert_int_equal(floats_put_json(&b, v, 5), 0);
	assert_string_equal(b.p, "[1,null,null,null,0.1]");
	buf_fini(&b);
}

static void base64(const float *v, size_t n, const char *want)
{
	struct buf b;
	buf_init(&b, 1000);
	assert_int_equal(floats_put_base64(&b, v, n), 0);
	assert_string_equal(b.p, want);
	buf_fini(&b);
}

static void base64_pads_each_length_rightly(void **state)
{
	float v[] = { 1, -2, 0.5f };
	(void)state;
	base64(v, 0, "\"\"");
	base64(v, 1, "\"AACAPw==\"");
	base64(v, 2, "\"AACAPwAAAMA=\"");
	base64(v, 3, "\"AACAPwAAAMAAAAA/\"");
}

static void a_full_buffer_is_told(void **state)
{
	float v[] = { 1, 2, 3 };
	struct buf b;
	(void)state;
	for (size_t max = 0; max < 7; max++) {
		buf_init(&b, max);
		assert_int_equal(floats_put_json(&b, v, 3), BUF_FULL);
		buf_fini(&b);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_vector_gets_length_one),
		cmocka_unit_test(zeros_stay_zeros),
		cmocka_unit_test(json_numbers_read_back_exactly),
		cmocka_unit_test(a_number_that_is_none_becomes_null),
		cmocka_unit_test(base64_pads_each_length_rightly),
		cmocka_unit_test(a_full_buffer_is_told),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
