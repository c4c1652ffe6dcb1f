#include "model/tar.h"
#include "base/limits.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>

#define BUILD(name)               \
	auto_buf struct buf name; \
	buf_init(&name, 64u << 20)

static void put(struct buf *b, const void *p, size_t n)
{
	assert_int_equal(buf_put(b, p, n), 0);
}

static void pad(struct buf *b)
{
	while (b->n % TAR_BLOCK_BYTES)
		put(b, "", 1);
}

static void put_checksum(char *block)
{
	unsigned sum = 0;
	memset(block + 148, ' ', 8);
	for (size_t i = 0; i < TAR_BLOCK_BYTES; i++)
		sum += (unsigned char)block[i];
	snprintf(block + 148, 7, "%06o", sum);
	block[155] = ' ';
}

static void put_entry(struct buf *b, char type, const char *name,
		      const char *contents, size_t n)
{
	char block[TAR_BLOCK_BYTES];
	tar_header(block, name, 0644, n);
	block[156] = type;
	put_checksum(block);
	put(b, block, sizeof block);
	put(b, contents, n);
	pad(b);
}

static void put_file(struct buf *b, const char *name, const char *contents)
{
	put_entry(b, '0', name, contents, strlen(contents));
}

static void put_end(struct buf *b)
{
	put(b, (char[2 * TAR_BLOCK_BYTES]){ 0 }, 2 * TAR_BLOCK_BYTES);
}

/* What the archive holds when it comes in pieces of this size: "name=contents;"
 * for files, "name;" for the rest, then "!" if it may not end there. */
static int listing(const struct buf *b, size_t piece, struct buf *out,
		   struct err *e)
{
	auto_(tar) t = tar_new();
	struct str data;
	buf_clear(out);
	for (size_t at = 0; at < b->n; at += piece) {
		struct str in = { b->p + at, MIN(piece, b->n - at) };
		int outcome;
		while ((outcome = tar_next(t, &in, &data, e)) != TAR_MORE) {
			if (outcome < 0)
				return -1;
			if (outcome == TAR_END)
				break;
			const struct tar_entry *entry = tar_entry(t);
			if (outcome == TAR_DATA)
				put(out, data.p, data.n);
			else
				assert_int_equal(
					buf_printf(out, ";%s%s", entry->name,
						   entry->is_file ? "=" : ""),
					0);
		}
	}
	if (!tar_is_whole(t))
		put(out, "!", 1);
	return 0;
}

static void expect(const struct buf *b, const char *want)
{
	static const size_t pieces[] = { SIZE_MAX / 2, 1, 7, 511, 512, 513 };
	struct err e;
	for (size_t i = 0; i < ARRAY_LEN(pieces); i++) {
		BUILD(got);
		put(&got, "", 0);
		if (listing(b, pieces[i], &got, &e))
			fail_msg("%s", e.msg);
		assert_string_equal(got.p ? got.p : "", want);
	}
}

static void expect_wrong(const struct buf *b, const char *words)
{
	struct err e;
	BUILD(got);
	assert_int_equal(listing(b, SIZE_MAX / 2, &got, &e), -1);
	assert_int_equal(e.code, ERR_INVALID);
	if (!strstr(e.msg, words))
		fail_msg("\"%s\" is not in: %s", words, e.msg);
}

static void entries_come_out_whatever_the_pieces(void **state)
{
	(void)state;
	BUILD(b);
	put_entry(&b, '5', "folder/", "", 0);
	put_file(&b, "folder/a", "hello");
	put_file(&b, "folder/empty", "");
	put_file(&b, "b", "world");
	put_entry(&b, '2', "link", "", 0);
	put_end(&b);
	expect(&b, ";folder/;folder/a=hello;folder/empty=;b=world;link");
	put(&b, "rubbish", 7);
	expect(&b, ";folder/;folder/a=hello;folder/empty=;b=world;link");
}

static void an_archive_may_end_only_between_entries(void **state)
{
	(void)state;
	BUILD(b);
	put_file(&b, "a", "hello");
	size_t whole = b.n;
	put_end(&b);
	for (size_t n = 1; n < b.n; n++) {
		struct err e;
		BUILD(got);
		struct buf cut = b;
		cut.n = n;
		assert_int_equal(listing(&cut, SIZE_MAX / 2, &got, &e), 0);
		bool is_between = n == whole || n == whole + TAR_BLOCK_BYTES;
		bool is_refused = got.n && got.p[got.n - 1] == '!';
		assert_int_equal(is_refused, !is_between);
	}
}

static void long_names_and_sizes_come_from_extended_headers(void **state)
{
	(void)state;
	static const char pax[] = "17 path=a/long/1\n9 size=5\n11 other=x\n"
				  "14 comment=a=\n";
	BUILD(b);
	put_entry(&b, 'g', "global", "9 path=g\n", 9);
	put_entry(&b, 'x', "pax", pax, sizeof pax - 1);
	char block[TAR_BLOCK_BYTES];
	tar_header(block, "short", 0644, 0);
	put(&b, block, sizeof block);
	put(&b, "hello", 5);
	pad(&b);
	put_entry(&b, 'L', "././@LongLink", "gnu/name", 9);
	put_file(&b, "short", "x");
	put_file(&b, "after", "y");
	put_end(&b);
	expect(&b, ";a/long/1=hello;gnu/name=x;after=y");
}

static void prefixes_are_put_before_names(void **state)
{
	(void)state;
	BUILD(b);
	char block[TAR_BLOCK_BYTES];
	tar_header(block, "name", 0644, 0);
	snprintf(block + 345, 155, "dir/sub");
	put_checksum(block);
	put(&b, block, sizeof block);
	expect(&b, ";dir/sub/name=");
}

static void large_sizes_go_both_ways(void **state)
{
	(void)state;
	static const uint64_t sizes[] = { (1ull << 33) - 1, 1ull << 33,
					  70ull << 40 };
	for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
		struct err e;
		struct str data;
		auto_(tar) t = tar_new();
		char block[TAR_BLOCK_BYTES];
		tar_header(block, "big", 0644, sizes[i]);
		struct str in = { block, sizeof block };
		assert_int_equal(tar_next(t, &in, &data, &e), TAR_ENTRY);
		assert_int_equal(tar_entry(t)->bytes, sizes[i]);
	}
}

static void wrong_archives_are_refused(void **state)
{
	(void)state;
	char block[TAR_BLOCK_BYTES];
	BUILD(sum);
	tar_header(block, "a", 0644, 0);
	block[0] = 'b';
	put(&sum, block, sizeof block);
	expect_wrong(&sum, "checksum");
	BUILD(size);
	tar_header(block, "a", 0644, 0);
	block[124] = 'x';
	put_checksum(block);
	put(&size, block, sizeof block);
	expect_wrong(&size, "a size is wrong");
	BUILD(huge);
	tar_header(block, "a", 0644, 0);
	memset(block + 124, 0xff, 12);
	put_checksum(block);
	put(&huge, block, sizeof block);
	expect_wrong(&huge, "a size is wrong");
	BUILD(type);
	put_entry(&type, 'S', "a", "", 0);
	expect_wrong(&type, "unknown type");
	BUILD(link);
	put_entry(&link, '1', "a", "x", 1);
	expect_wrong(&link, "with contents");
	BUILD(after);
	put(&after, (char[TAR_BLOCK_BYTES]){ 0 }, TAR_BLOCK_BYTES);
	put_file(&after, "a", "");
	expect_wrong(&after, "after the end");
	BUILD(html);
	for (int i = 0; i < 20; i++)
		put(&html, "<html>this is not a tar archive</html>\n", 39);
	expect_wrong(&html, "checksum");
}

static void wrong_pax_records_are_refused(void **state)
{
	(void)state;
	static const char *const bad[] = {
		"x path=a\n",
		"9 path=a",
		"99 path=a\n",
		"0 path=a\n",
		"2 \n",
		"8 pathaa\n",
		"9 size=x\n",
		"23 size=99999999999999999999\n",
		"19 GNU.sparse.a=b\n",
		" \n",
	};
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct err e;
		BUILD(b);
		BUILD(got);
		put_entry(&b, 'x', "pax", bad[i], strlen(bad[i]));
		if (listing(&b, SIZE_MAX / 2, &got, &e) == 0)
			fail_msg("taken: %s", bad[i]);
	}
}

static void extended_headers_are_limited(void **state)
{
	(void)state;
	auto_free char *name = xcalloc(1, LIMIT_TAR_HEADER_BYTES + 1);
	memset(name, 'n', LIMIT_TAR_HEADER_BYTES + 1);
	BUILD(at_limit);
	put_entry(&at_limit, 'L', "l", name, LIMIT_TAR_HEADER_BYTES);
	put_file(&at_limit, "a", "");
	struct err e;
	BUILD(got);
	assert_int_equal(listing(&at_limit, SIZE_MAX / 2, &got, &e), 0);
	assert_int_equal(got.n, LIMIT_TAR_HEADER_BYTES + 2);
	BUILD(above);
	put_entry(&above, 'L', "l", name, LIMIT_TAR_HEADER_BYTES + 1);
	expect_wrong(&above, "too long");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(entries_come_out_whatever_the_pieces),
		cmocka_unit_test(an_archive_may_end_only_between_entries),
		cmocka_unit_test(
			long_names_and_sizes_come_from_extended_headers),
		cmocka_unit_test(prefixes_are_put_before_names),
		cmocka_unit_test(large_sizes_go_both_ways),
		cmocka_unit_test(wrong_archives_are_refused),
		cmocka_unit_test(wrong_pax_records_are_refused),
		cmocka_unit_test(extended_headers_are_limited),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
