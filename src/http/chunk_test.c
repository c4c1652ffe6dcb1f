#include "http/chunk.h"
#include "base/buf.h"
#include "base/limits.h"
#include "unit/guard.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>

enum { MORE = CHUNK_MORE, DONE = CHUNK_DONE };

/* Feeds the bytes in pieces of `step`; the body is appended to *body. Gives the
 * outcome and how many bytes were not taken. */
static int feed(struct str bytes, size_t step, struct buf *body, size_t *left,
		struct err *e)
{
	struct chunk_decoder d;
	chunk_decoder_init(&d);
	int r = CHUNK_MORE;
	while (bytes.n && r == CHUNK_MORE) {
		struct str in = guard_place(str_head(bytes, step));
		size_t piece = in.n;
		do {
			struct str data;
			r = chunk_decode(&d, &in, &data, e);
			if (r >= 0)
				assert_int_equal(buf_put(body, data.p, data.n),
						 0);
			if (r == CHUNK_MORE)
				assert_int_equal(in.n, 0);
		} while (r == 0);
		bytes = str_tail(bytes, piece - in.n);
	}
	*left = bytes.n;
	return r;
}

static const struct {
	const char *text;
	const char *body;
} good[] = {
	{ "0\r\n\r\n", "" },
	{ "5\r\nhello\r\n0\r\n\r\n", "hello" },
	{ "1\r\na\r\n2\r\nbc\r\n00\r\n\r\n", "abc" },
	{ "a\r\n0123456789\r\n0\r\n\r\n", "0123456789" },
	{ "A\r\n\r\n0\r\n\r\n\r\n0\r\n0\r\n\r\n", "\r\n0\r\n\r\n\r\n0" },
	{ "0000000000000001\r\nx\r\n0\r\n\r\n", "x" },
	{ "1;a\r\nx\r\n0;b=c\r\n\r\n", "x" },
	{ "1;a=\"q;\\\"\t \xff\";b;c=d\r\nx\r\n0\r\n\r\n", "x" },
	{ "0\r\nA:\r\nB: c\r\n!: \x80\t\r\n\r\n", "" },
	{ "0\r\nContent-Lengths: 5\r\nContent-Lengt: 5\r\n\r\n", "" },
	{ "0\r\nTransfer-Encoding-Of-Mine: x\r\n\r\n", "" },
};

static void a_body_comes_out_however_it_was_cut(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(good); i++) {
		struct str text = str_of(good[i].text);
		for (size_t step = 1; step <= text.n; step++) {
			auto_buf struct buf body;
			buf_init(&body, 1000);
			struct err e = { .msg = "" };
			size_t left;
			int r = feed(text, step, &body, &left, &e);
			if (r != CHUNK_DONE)
				fail_msg("%d %s\n%s", r, e.msg, text.p);
			assert_int_equal(left, 0);
			assert_int_equal(body.n, strlen(good[i].body));
			assert_memory_equal(buf_str(&body).p, good[i].body,
					    body.n);
		}
	}
}

static void a_prefix_of_a_body_asks_for_more(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(good); i++) {
		struct str text = str_of(good[i].text);
		for (size_t n = 0; n < text.n; n++) {
			auto_buf struct buf body;
			buf_init(&body, 1000);
			struct err e;
			size_t left;
			assert_int_equal(
				feed(str_head(text, n), n, &body, &left, &e),
				CHUNK_MORE);
		}
	}
}

static void what_follows_the_body_is_left(void **state)
{
	(void)state;
	static const char text[] = "1\r\nx\r\n0\r\n\r\n0\r\n\r\nGET /";
	for (size_t step = 1; step < sizeof text; step++) {
		auto_buf struct buf body;
		buf_init(&body, 1000);
		struct err e;
		size_t left;
		assert_int_equal(feed(STR(text), step, &body, &left, &e),
				 CHUNK_DONE);
		assert_int_equal(left, strlen("0\r\n\r\nGET /"));
		assert_string_equal(body.p, "x");
	}
}

static void a_finished_body_stays_finished(void **state)
{
	(void)state;
	struct chunk_decoder d;
	struct str in = STR("0\r\n\r\nx"), data;
	struct err e;
	chunk_decoder_init(&d);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(chunk_decode(&d, &in, &data, &e), CHUNK_DONE);
		assert_int_equal(data.n, 0);
		assert_int_equal(in.n, 1);
	}
}

#define BAD(text)                      \
	{                              \
		text, sizeof(text) - 1 \
	}

static const struct str bad[] = {
	BAD("\r\n"),
	BAD("g\r\n"),
	BAD(" 5\r\nhello\r\n"),
	BAD("5 \r\nhello\r\n"),
	BAD("5\t;a\r\nhello\r\n"),
	BAD("+5\r\nhello\r\n"),
	BAD("-5\r\nhello\r\n"),
	BAD("0x5\r\nhello\r\n"),
	BAD("5\nhello\r\n"),
	BAD("5\rhello\r\n"),
	BAD("5\r\r\nhello\r\n"),
	BAD("5\r\nhello0\r\n"),
	BAD("5\r\nhello\n0\r\n"),
	BAD("5\r\nhello\r0\r\n"),
	BAD("5\r\nhello\r\n\r\n"),
	BAD("5\r\nhello\r\n;a\r\n"),
	BAD("00000000000000005\r\nhello\r\n"), /* 17 digits */
	BAD("10000000000000000\r\n"),
	BAD("5;\r\nhello\r\n"),
	BAD("5;;\r\nhello\r\n"),
	BAD("5; a\r\nhello\r\n"),
	BAD("5;a =b\r\nhello\r\n"),
	BAD("5;=a\r\nhello\r\n"),
	BAD("5;a=\r\nhello\r\n"),
	BAD("5;a=b=c\r\nhello\r\n"),
	BAD("5;a\nhello\r\n"),
	BAD("5;a=\"b\r\nhello\r\n"),
	BAD("5;a=\"b\\\r\nhello\r\n"),
	BAD("5;a=\"b\"c\r\nhello\r\n"),
	BAD("5;a=b\"c\"\r\nhello\r\n"),
	BAD("5;a=\"\0\"\r\nhello\r\n"),
	BAD("5;\0\r\nhello\r\n"),
	BAD("5\0\r\nhello\r\n"),
	BAD("0\r\n\n"),
	BAD("0\r\n\rx"),
	BAD("0\r\nA\r\n\r\n"),
	BAD("0\r\n: a\r\n\r\n"),
	BAD("0\r\nA : a\r\n\r\n"),
	BAD("0\r\n A: a\r\n\r\n"),
	BAD("0\r\nA: a\r\n b\r\n\r\n"),
	BAD("0\r\nA: a\n\r\n"),
	BAD("0\r\nA: a\0\r\n\r\n"),
	BAD("0\r\nA: a\rb\r\n\r\n"),
	BAD("0\r\ncontent-Length: 5\r\n\r\n"),
	BAD("0\r\nA: b\r\nTransfer-Encoding:\r\n\r\n"),
};

static void a_broken_body_is_refused_however_it_was_cut(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		for (size_t step = 1; step <= bad[i].n; step++) {
			auto_buf struct buf body;
			buf_init(&body, 1000);
			struct err e;
			size_t left;
			int r = feed(bad[i], step, &body, &left, &e);
			if (r != -1 || e.code != ERR_INVALID)
				fail_msg("%d for\n%s", r, bad[i].p);
		}
	}
}

/* Feeds `head`, then n times `fill`, then `tail`. */
static int fill(const char *head, char c, size_t n, const char *tail,
		struct err *e)
{
	auto_buf struct buf text, body;
	buf_init(&text, 100000);
	buf_init(&body, 100);
	assert_int_equal(buf_puts(&text, head), 0);
	for (size_t i = 0; i < n; i++)
		assert_int_equal(buf_put(&text, &c, 1), 0);
	assert_int_equal(buf_puts(&text, tail), 0);
	size_t left;
	return feed(buf_str(&text), text.n, &body, &left, e);
}

static void a_size_line_may_be_as_long_as_the_limit(void **state)
{
	(void)state;
	struct err e;
	/* The line counts with its CR. */
	size_t n = LIMIT_CHUNK_LINE_BYTES - strlen("1;\r");
	assert_int_equal(fill("1;", 'a', n, "\r\nx\r\n0\r\n\r\n", &e), DONE);
	assert_int_equal(fill("1;", 'a', n + 1, "\r\nx\r\n", &e), -1);
	assert_int_equal(e.code, ERR_INVALID);
}

static void the_limit_of_a_size_line_is_for_each(void **state)
{
	(void)state;
	auto_buf struct buf text, body;
	buf_init(&text, 100000);
	buf_init(&body, 1000);
	for (int i = 0; i < LIMIT_CHUNK_LINE_BYTES; i++)
		assert_int_equal(buf_puts(&text, "1;abc\r\nx\r\n"), 0);
	assert_int_equal(buf_puts(&text, CHUNK_LAST), 0);
	struct err e;
	size_t left;
	assert_int_equal(feed(buf_str(&text), text.n, &body, &left, &e),
			 CHUNK_DONE);
	assert_int_equal(body.n, LIMIT_CHUNK_LINE_BYTES);
}

static void a_trailer_may_be_as_large_as_the_limit(void **state)
{
	(void)state;
	struct err e;
	size_t n = LIMIT_TRAILER_BYTES - strlen("A:\r\n\r\n");
	assert_int_equal(fill("0\r\nA:", 'a', n, "\r\n\r\n", &e), DONE);
	assert_int_equal(fill("0\r\nA:", 'a', n + 1, "\r\n\r\n", &e), -1);
	assert_int_equal(e.code, ERR_HEAD_LARGE);
}

static void the_largest_size_is_no_overflow(void **state)
{
	(void)state;
	struct chunk_decoder d;
	struct str in = STR("ffffFFFFffffFFFF\r\nabc"), data;
	struct err e;
	chunk_decoder_init(&d);
	assert_int_equal(chunk_decode(&d, &in, &data, &e), MORE);
	assert_int_equal(data.n, 3);
	assert_true(d.left == UINT64_MAX - 3);
}

static void a_chunk_that_we_write_reads_back(void **state)
{
	(void)state;
	static const struct {
		uint64_t n;
		const char *line;
	} cases[] = {
		{ 1, "1\r\n" },
		{ 15, "f\r\n" },
		{ 16, "10\r\n" },
		{ 65536, "10000\r\n" },
		{ UINT64_MAX, "ffffffffffffffff\r\n" },
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		char out[CHUNK_HEAD_BYTES];
		struct str line = chunk_head(cases[i].n, out);
		assert_int_equal(line.n, strlen(cases[i].line));
		assert_memory_equal(line.p, cases[i].line, line.n);
		struct chunk_decoder d;
		struct str data;
		struct err e;
		chunk_decoder_init(&d);
		assert_int_equal(chunk_decode(&d, &line, &data, &e), MORE);
		assert_true(d.left == cases[i].n);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_body_comes_out_however_it_was_cut),
		cmocka_unit_test(a_prefix_of_a_body_asks_for_more),
		cmocka_unit_test(what_follows_the_body_is_left),
		cmocka_unit_test(a_finished_body_stays_finished),
		cmocka_unit_test(a_broken_body_is_refused_however_it_was_cut),
		cmocka_unit_test(a_size_line_may_be_as_long_as_the_limit),
		cmocka_unit_test(the_limit_of_a_size_line_is_for_each),
		cmocka_unit_test(a_trailer_may_be_as_large_as_the_limit),
		cmocka_unit_test(the_largest_size_is_no_overflow),
		cmocka_unit_test(a_chunk_that_we_write_reads_back),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
