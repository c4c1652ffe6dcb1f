#include "hub/listing.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#define OID "0123456789012345678901234567890123456789"
#define SHA OID "012345678901234567890123"
#define FILE_OF(path)                                                        \
	"{\"type\":\"file\",\"oid\":\"" OID "\",\"size\":7,\"path\":\"" path \
	"\"}"

static int add(struct listing *l, const char *page, struct err *e)
{
	return listing_add(l, str_of(page), e);
}

static void a_revision_is_its_commit_name_and_time(void **state)
{
	struct listing_revision r;
	struct err e;
	(void)state;
	assert_int_equal(
		listing_parse_revision(
			STR("{\"id\":\"Org/Repo\",\"sha\":\"" OID "\","
			    "\"lastModified\":\"2026-02-03T04:05:06.789Z\","
			    "\"siblings\":[{\"id\":\"x\"}]}"),
			&r, &e),
		0);
	assert_string_equal(r.commit.hex, OID);
	assert_string_equal(r.repository, "Org/Repo");
	assert_string_equal(r.changed, "2026-02-03T04:05:06Z");
}

static void a_revision_without_a_commit_is_none(void **state)
{
	static const char *const texts[] = {
		"",
		"{}",
		"[]",
		"{\"sha\":5}",
		"{\"sha\":\"main\"}",
		"{\"sha\":\"" OID "\",\"sha\":\"" OID "\"}",
		"{\"sha\":\"" OID "\"",
	};
	struct listing_revision r;
	struct err e;
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		assert_int_equal(
			listing_parse_revision(str_of(texts[i]), &r, &e), -1);
		assert_int_equal(e.code, ERR_CORRUPT);
	}
}

static void a_strange_name_or_time_is_not_believed(void **state)
{
	static const char *const texts[] = {
		"{\"sha\":\"" OID "\",\"id\":\"../x\","
		"\"lastModified\":\"yesterday\"}",
		"{\"sha\":\"" OID "\",\"id\":\"a?b\","
		"\"lastModified\":\"2026-13-03T04:05:06Z\"}",
		"{\"sha\":\"" OID "\",\"id\":\"/a\","
		"\"lastModified\":\"2026-02-03T04:05:06\"}",
		"{\"sha\":\"" OID "\",\"id\":\"\",\"lastModified\":\"\"}",
	};
	struct listing_revision r;
	struct err e;
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		assert_int_equal(
			listing_parse_revision(str_of(texts[i]), &r, &e), 0);
		assert_string_equal(r.repository, "");
		assert_string_equal(r.changed, "");
	}
}

static void pages_add_up_and_are_sorted(void **state)
{
	struct listing l;
	struct err e;
	(void)state;
	listing_init(&l);
	assert_int_equal(add(&l,
			     " [ " FILE_OF("b.gguf") " , " FILE_OF(
				     "x.png") ",{\"type\":\"directory\","
					      "\"path\":\"d\",\"size\":0}]\n",
			     &e),
			 0);
	assert_int_equal(
		add(&l,
		    "[{\"path\":\"a.gguf\",\"type\":\"file\",\"size\":1,"
		    "\"oid\":\"p\",\"lfs\":{\"oid\":\"" SHA "\",\"size\":9,"
		    "\"pointerSize\":134}}]",
		    &e),
		0);
	assert_int_equal(add(&l, "[]", &e), 0);
	assert_int_equal(listing_end(&l, &e), 0);
	assert_int_equal(l.n, 2);
	assert_int_equal(l.n_seen, 4);
	assert_string_equal(l.all[0].path, "a.gguf");
	assert_string_equal(l.all[0].sha256.hex, SHA);
	assert_int_equal(l.all[0].bytes, 9);
	assert_string_equal(l.all[1].git.hex, OID);
	listing_fini(&l);
}

static void a_file_twice_is_a_lie(void **state)
{
	struct listing l;
	struct err e;
	(void)state;
	listing_init(&l);
	assert_int_equal(
		add(&l, "[" FILE_OF("a.gguf") "," FILE_OF("a.gguf") "]", &e),
		0);
	assert_int_equal(listing_end(&l, &e), -1);
	assert_non_null(strstr(e.msg, "twice"));
	listing_fini(&l);
}

static void every_beginning_of_a_page_is_refused(void **state)
{
	static const char page[] =
		"[" FILE_OF("a\\\"]b.gguf") "," FILE_OF("b.gguf") "]";
	struct err e;
	(void)state;
	for (size_t n = 0; n < sizeof page; n++) {
		struct listing l;
		listing_init(&l);
		int got = listing_add(&l, (struct str){ page, n }, &e);
		assert_int_equal(got, n == sizeof page - 1 ? 0 : -1);
		listing_fini(&l);
	}
}

static void the_number_of_files_has_a_ceiling(void **state)
{
	struct listing l;
	struct err e;
	char page[300];
	(void)state;
	listing_init(&l);
	for (int i = 0; i <= LIMIT_HUB_FILES; i++) {
		snprintf(page, sizeof page,
			 "[{\"type\":\"file\",\"size\":1,\"oid\":\"" OID
			 "\",\"path\":\"%d.gguf\"}]",
			 i);
		assert_int_equal(add(&l, page, &e),
				 i == LIMIT_HUB_FILES ? -1 : 0);
	}
	assert_int_equal(e.code, ERR_UNSUPPORTED);
	listing_fini(&l);
}

/* A page with one entry of `bytes`. */
static size_t page_of(char *page, size_t bytes)
{
	static const char head[] = "{\"type\":\"file\",\"path\":\"x\",\"y\":\"";
	size_t n = 1 + bytes;
	memset(page, 'y', n);
	page[0] = '[';
	memcpy(page + 1, head, sizeof head - 1);
	memcpy(page + n - 2, "\"}]", 4);
	return n + 1;
}

static void an_entry_may_be_so_long_and_no_longer(void **state)
{
	auto_free char *page = xcalloc(LIMIT_HUB_ENTRY_BYTES + 400, 1);
	struct listing l;
	struct err e;
	(void)state;
	for (int more = 0; more < 2; more++) {
		size_t n = page_of(page, LIMIT_HUB_ENTRY_BYTES + (size_t)more);
		listing_init(&l);
		assert_int_equal(listing_add(&l, (struct str){ page, n }, &e),
				 -more);
		listing_fini(&l);
	}
}

static void the_next_page_is_found_in_a_link(void **state)
{
	static const struct {
		const char *link, *next;
	} cases[] = {
		{ "<https://h/a?x=1>; rel=\"next\"", "https://h/a?x=1" },
		{ "</a>; rel=\"prev\", </b>;rel=next", "/b" },
		{ "</a>; title=\"x\"; REL=\"NEXT\" , </b>; rel=\"last\"",
		  "/a" },
		{ "</a>; rel=\"last\"", NULL },
		{ "</a", NULL },
		{ "", NULL },
		{ "rel=\"next\"", NULL },
	};
	struct str next;
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		bool has = listing_next(str_of(cases[i].link), &next);
		assert_int_equal(has, cases[i].next != NULL);
		assert_true(!has || str_eq(next, cases[i].next));
	}
}

static void a_path_is_escaped_for_a_url(void **state)
{
	auto_free char *s = listing_escape("a b/\xc3\xa9#?%+&.gguf~-_");
	(void)state;
	assert_string_equal(s, "a%20b/%C3%A9%23%3F%25%2B%26.gguf~-_");
}

static void a_git_hash_is_gits(void **state)
{
	struct githash h = githash_of(STR("what is up, doc?"));
	struct githash parsed;
	(void)state;
	assert_string_equal(h.hex, "bd9dbf5aae1a3862dd1526723246b20206e5fc37");
	h = githash_of(STR(""));
	assert_string_equal(h.hex, "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391");
	assert_true(githash_parse(str_of(h.hex), &parsed));
	assert_false(githash_parse(STR("E69de29bb2d1d6434b8b29ae775ad8c2e48c53"
				       "91"),
				   &parsed));
	assert_false(githash_parse(STR("e6"), &parsed));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_revision_is_its_commit_name_and_time),
		cmocka_unit_test(a_revision_without_a_commit_is_none),
		cmocka_unit_test(a_strange_name_or_time_is_not_believed),
		cmocka_unit_test(pages_add_up_and_are_sorted),
		cmocka_unit_test(a_file_twice_is_a_lie),
		cmocka_unit_test(every_beginning_of_a_page_is_refused),
		cmocka_unit_test(the_number_of_files_has_a_ceiling),
		cmocka_unit_test(an_entry_may_be_so_long_and_no_longer),
		cmocka_unit_test(the_next_page_is_found_in_a_link),
		cmocka_unit_test(a_path_is_escaped_for_a_url),
		cmocka_unit_test(a_git_hash_is_gits),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
