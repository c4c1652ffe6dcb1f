#include "oci/digest.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#define EMPTY "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
#define ABC "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"

static void hashes_match_the_standard(void **state)
{
	(void)state;
	struct digest d = digest_of(STR("abc"));
	assert_string_equal(d.hex, ABC);
	d = digest_of(STR(""));
	assert_string_equal(d.hex, EMPTY);
}

static void pieces_hash_like_the_whole(void **state)
{
	(void)state;
	auto_(digest_ctx) c = digest_ctx_new();
	digest_ctx_put(c, "a", 1);
	digest_ctx_put(c, NULL, 0);
	digest_ctx_put(c, "bc", 2);
	struct digest d = digest_ctx_end(c);
	assert_string_equal(d.hex, ABC);
}

static void text_goes_both_ways(void **state)
{
	(void)state;
	struct err e;
	struct digest d, other = digest_of(STR("x"));
	char text[DIGEST_TEXT_BYTES];
	assert_int_equal(digest_parse(STR(DIGEST_PREFIX ABC), &d, &e), 0);
	assert_string_equal(digest_text(&d, text), DIGEST_PREFIX ABC);
	assert_true(digest_parse_hex(STR(ABC), &other));
	assert_true(digest_eq(&d, &other));
}

static void anything_else_is_refused(void **state)
{
	(void)state;
	static const char *const bad[] = {
		"",
		"sha256:",
		ABC,
		"sha256:" ABC "0",
		"SHA256:" ABC,
		"sha512:" ABC,
		"sha256:BA7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff6"
		"1f20015ad",
		"sha256:../816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff6"
		"1f20015ad",
	};
	struct digest d;
	struct err e;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		assert_int_equal(digest_parse(str_of(bad[i]), &d, &e), -1);
		assert_int_equal(e.code, ERR_INVALID);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(hashes_match_the_standard),
		cmocka_unit_test(pieces_hash_like_the_whole),
		cmocka_unit_test(text_goes_both_ways),
		cmocka_unit_test(anything_else_is_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
