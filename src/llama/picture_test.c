#include "llama/picture.h"

#include "base/limits.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

/* One red pixel. */
#define RED                                                                    \
	"iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR42mP4z8AAAAMB" \
	"AQD3A0FDAAAAAElFTkSuQmCC"

static void read_refused(const char *url, const char *words)
{
	struct picture p = { 0 };
	struct err e = { 0 };
	assert_int_equal(picture_read(str_of(url), &p, &e), -1);
	assert_int_equal(e.code, ERR_INVALID);
	if (!strstr(e.msg, words))
		fail_msg("%s: %s", url, e.msg);
}

static void a_url_gives_pixels_and_the_files_digest(void **state)
{
	struct picture p = { 0 };
	struct err e;
	static const uint8_t red[] = { 255, 0, 0 };
	(void)state;
	assert_int_equal(
		picture_read(STR("data:image/png;base64," RED), &p, &e), 0);
	assert_int_equal(p.pixels.width, 1);
	assert_int_equal(p.pixels.height, 1);
	assert_memory_equal(p.pixels.rgb, red, sizeof red);
	struct digest first = p.digest;
	picture_fini(&p);
	/* The kind in the URL does not matter, nor does the padding. */
	assert_int_equal(picture_read(STR("data:;base64," RED), &p, &e), 0);
	assert_true(digest_eq(&p.digest, &first));
	picture_fini(&p);
}

static void other_urls_are_refused(void **state)
{
	struct err e;
	(void)state;
	read_refused("http://a/b.png", "not fetched");
	read_refused("https://a/b.png", "not fetched");
	read_refused("ftp://a/b.png", "must be data:");
	read_refused("data:image/png," RED, "must be data:");
	read_refused("data:image/png;base64", "must be data:");
	read_refused("", "must be data:");
	read_refused("data:image/png;base64,====", "base64");
	read_refused("data:image/png;base64,iVBOR", "cut");
	read_refused("data:image/png;base64,iV BORw", "base64");
	read_refused("data:image/png;base64,", "no PNG");
	assert_int_equal(picture_check(STR("data:image/png;base64,!"), &e), 0);
	assert_int_equal(picture_check(STR("http://a/b.png"), &e), -1);
}

static void a_file_has_a_ceiling(void **state)
{
	size_t most = (size_t)LIMIT_IMAGE_BYTES / 3 * 4;
	static const char head[] = "data:;base64,";
	auto_free char *url = xcalloc(most + 100, 1);
	struct err e;
	struct picture p = { 0 };
	(void)state;
	memcpy(url, head, strlen(head));
	memset(url + strlen(head), 'A', most + 8);
	struct str all = { url, strlen(head) + most };
	assert_int_equal(picture_check(all, &e), 0);
	assert_int_equal(picture_read(all, &p, &e), -1);
	assert_non_null(strstr(e.msg, "no PNG"));
	all.n += 8;
	assert_int_equal(picture_check(all, &e), -1);
	assert_non_null(strstr(e.msg, "bytes"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_url_gives_pixels_and_the_files_digest),
		cmocka_unit_test(other_urls_are_refused),
		cmocka_unit_test(a_file_has_a_ceiling),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
