#include "llama/album.h"

#include "base/limits.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

static struct digest digest_of_number(size_t n)
{
	char text[32];
	snprintf(text, sizeof text, "%zu", n);
	return digest_of(str_of(text));
}

static void a_picture_has_its_name_again_and_no_other_has_it(void **state)
{
	struct album *a = album_new();
	struct digest one = digest_of_number(1), two = digest_of_number(2);
	int32_t name = album_name(a, &one, 0);
	(void)state;
	assert_true(name < -1);
	assert_int_equal(album_name(a, &one, 0), name);
	assert_int_not_equal(album_name(a, &one, 1), name);
	assert_int_not_equal(album_name(a, &two, 0), name);
	assert_int_equal(album_name(a, &one, 0), name);
	album_free(a);
}

static void who_was_forgotten_has_a_new_name(void **state)
{
	struct album *a = album_new();
	struct digest first = digest_of_number(0), kept = digest_of_number(1);
	int32_t name = album_name(a, &first, 0),
		keeps = album_name(a, &kept, 0);
	(void)state;
	for (size_t i = 2; i <= LIMIT_IMAGE_NAMES; i++) {
		struct digest d = digest_of_number(i);
		int32_t other = album_name(a, &d, 0);
		assert_true(other < name && other < keeps);
		assert_int_equal(album_name(a, &kept, 0), keeps);
	}
	assert_true(album_name(a, &first, 0) < name - LIMIT_IMAGE_NAMES + 1);
	album_free(a);
}

static void images_in_memory_have_a_ceiling_beside_others(void **state)
{
	struct album *a = album_new();
	struct err e;
	(void)state;
	assert_int_equal(album_open(a, LIMIT_IMAGES_OPEN + 1, &e), 0);
	assert_int_equal(album_open(a, 1, &e), -1);
	assert_int_equal(e.code, ERR_UNAVAILABLE);
	album_close(a, 2);
	assert_int_equal(album_open(a, 1, &e), 0);
	assert_int_equal(album_open(a, 1, &e), -1);
	album_free(a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
			a_picture_has_its_name_again_and_no_other_has_it),
		cmocka_unit_test(who_was_forgotten_has_a_new_name),
		cmocka_unit_test(images_in_memory_have_a_ceiling_beside_others),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
