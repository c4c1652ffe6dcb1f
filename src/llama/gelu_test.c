#include "llama/gelu.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

static double expected(double x)
{
	return 0.5 * x *
	       (1 + tanh(0.7978845608028654 * x * (1 + 0.044715 * x * x)));
}

static void test_values_of_all_sizes(void **state)
{
	float x[64], out[64];
	(void)state;
	for (size_t n = 0; n <= 40 && gelu_is_possible(); n++)
		for (float scale = 1e-3f; scale < 1e9f; scale *= 7) {
			for (size_t i = 0; i < 64; i++) {
				x[i] = scale * ((float)i - 19.5f) / 20;
				out[i] = 42;
			}
			gelu(x, n, out);
			for (size_t i = 0; i < n; i++)
				assert_true(fabs((double)out[i] -
						 expected((double)x[i])) <=
					    1e-6 * fmax(1, fabs((double)x[i])));
			assert_true(out[n] == 42);
		}
}

static void test_in_place(void **state)
{
	float x[3] = { -1, 0, 2 };
	(void)state;
	if (gelu_is_possible()) {
		gelu(x, 3, x);
		assert_true(fabsf(x[0] + 0.158808f) < 1e-5f);
		assert_true(x[1] == 0);
		assert_true(fabsf(x[2] - 1.954598f) < 1e-5f);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_values_of_all_sizes),
		cmocka_unit_test(test_in_place),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
