#include "llama/turn.h"

#include "base/base.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

/* "abc/def" is two rows of three pixels. */
static struct pixels pixels_of(const char *rows)
{
	size_t n = strlen(rows), width = strcspn(rows, "/");
	struct pixels p = { xcalloc(n, 3), (uint32_t)width,
			    (uint32_t)((n + 1) / (width + 1)) };
	uint8_t *to = p.rgb;
	for (; *rows; rows++)
		for (int i = 0; *rows != '/' && i < 3; i++)
			*to++ = (uint8_t)(*rows + 100 * (i - 1));
	return p;
}

static void assert_same(const struct pixels *a, const struct pixels *b)
{
	assert_int_equal(a->width, b->width);
	assert_int_equal(a->height, b->height);
	assert_memory_equal(a->rgb, b->rgb, 3ul * a->width * a->height);
}

static void each_number_is_a_turn_of_its_own(void **state)
{
	static const char *const upright[] = {
		"abc/def",  "abc/def",	"cba/fed",  "fed/cba",	"def/abc",
		"ad/be/cf", "da/eb/fc", "fc/eb/da", "cf/be/ad", "abc/def",
	};
	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(upright); i++) {
		struct pixels p = pixels_of("abc/def");
		struct pixels want = pixels_of(upright[i]);
		turn_upright(&p, i);
		assert_same(&p, &want);
		pixels_fini(&p);
		pixels_fini(&want);
	}
}

/* Larger than what is copied at once, and no multiple of it. */
static void two_turns_that_undo_each_other_change_nothing(void **state)
{
	static const unsigned undone[] = { 0, 1, 2, 3, 4, 5, 8, 7, 6 };
	enum { WIDTH = 200, HEIGHT = 131 };
	(void)state;
	for (unsigned n = 1; n <= 8; n++) {
		struct pixels a = { xcalloc(WIDTH * HEIGHT, 3), WIDTH, HEIGHT };
		struct pixels b = { xcalloc(WIDTH * HEIGHT, 3), WIDTH, HEIGHT };
		for (int i = 0; i < WIDTH * HEIGHT * 3; i++)
			a.rgb[i] = b.rgb[i] = (uint8_t)(i * 131 / 7);
		turn_upright(&a, n);
		assert_int_equal(a.width, n < 5 ? WIDTH : HEIGHT);
		if (n > 1)
			assert_memory_not_equal(a.rgb, b.rgb, WIDTH * HEIGHT);
		turn_upright(&a, undone[n]);
		assert_same(&a, &b);
		pixels_fini(&a);
		pixels_fini(&b);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_number_is_a_turn_of_its_own),
		cmocka_unit_test(two_turns_that_undo_each_other_change_nothing),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
