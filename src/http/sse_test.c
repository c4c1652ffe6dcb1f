#include "http/sse.h"
#include "unit/guard.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

/* Events come out one after the other, each in brackets. */
static void on_event(void *ctx, struct str data)
{
	struct buf *out = ctx;
	assert_int_equal(buf_puts(out, "["), 0);
	assert_int_equal(buf_put(out, data.p, data.n), 0);
	assert_int_equal(buf_puts(out, "]"), 0);
}

static int feed(struct str bytes, size_t step, size_t max, struct buf *out,
		struct err *e)
{
	struct sse_decoder d;
	int r = 0;
	sse_decoder_init(&d, max);
	while (bytes.n && !r) {
		struct str piece = guard_place(str_head(bytes, step));
		r = sse_decode(&d, piece, on_event, out, e);
		bytes = str_tail(bytes, step);
	}
	sse_decoder_fini(&d);
	return r;
}

static const struct {
	const char *stream, *events;
} cases[] = {
	{ "", "" },
	{ "data: a\n\n", "[a]" },
	{ "data:a\n\n", "[a]" },
	{ "data:  a \n\n", "[ a ]" },
	{ "data: a\r\n\r\n", "[a]" },
	{ "data: a\r\r", "[a]" },
	{ "data: a\r\n\n", "[a]" },
	{ "data: a\r\ndata: b\rdata: c\ndata\n\n", "[a\nb\nc\n]" },
	{ "data: a\n\ndata: b\n\n" SSE_DONE, "[a][b][[DONE]]" },
	{ "data: a\n\n\n\ndata: b\n\n", "[a][b]" },
	{ ": comment\n\ndata: a\n: another\n\n", "[a]" },
	{ ":\n:data: x\n\n", "" },
	{ "event: e\nid: 1\nretry: 5\ndata: a\n\n", "[a]" },
	{ "event: e\n\n", "" },
	{ "data\n\n", "[]" },
	{ "data:\n\n", "[]" },
	{ "data:\ndata:\n\n", "[\n]" },
	{ "datax: a\nDATA: b\n data: c\n\n", "" },
	{ "data: a\ndata: cut off", "" },
	{ "data: a\n", "" },
	{ "\xef\xbb\xbf"
	  "data: a\n\n",
	  "[a]" },
	{ "\n\xef\xbb\xbf"
	  "data: a\n\n",
	  "" },
	{ "data: {\"a\":\":\"}\n\n", "[{\"a\":\":\"}]" },
};

static void events_come_out_however_the_stream_was_cut(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct str stream = str_of(cases[i].stream);
		for (size_t step = 1; step <= stream.n + 1; step++) {
			auto_buf struct buf out;
			buf_init(&out, 1000);
			struct err e;
			assert_int_equal(feed(stream, step, 1000, &out, &e), 0);
			if (!str_eq(buf_str(&out), cases[i].events))
				fail_msg("%s gave %s", stream.p,
					 buf_str(&out).p);
		}
	}
}

static void an_event_may_be_as_large_as_the_limit(void **state)
{
	(void)state;
	static const char fits[] = "data: abc\ndata: defghi\n\n";
	static const char larger[] = "data: abc\ndata: defghij\n\n";
	for (size_t step = 1; step < sizeof larger; step++) {
		auto_buf struct buf out;
		buf_init(&out, 1000);
		struct err e;
		/* A line that comes in pieces counts whole. */
		size_t max = strlen("abc\ndefghi");
		if (step >= sizeof fits - 1) {
			assert_int_equal(feed(STR(fits), step, max, &out, &e),
					 0);
			assert_string_equal(out.p, "[abc\ndefghi]");
		}
		assert_int_equal(feed(STR(larger), step, max, &out, &e), -1);
		assert_int_equal(e.code, ERR_ENGINE);
	}
}

static void a_line_without_end_is_refused_at_the_limit(void **state)
{
	(void)state;
	auto_buf struct buf out;
	buf_init(&out, 1000);
	struct err e;
	assert_int_equal(feed(STR(":aaaaaaaaa"), 1, 10, &out, &e), 0);
	assert_int_equal(feed(STR(":aaaaaaaaaa"), 1, 10, &out, &e), -1);
}

static void what_we_write_reads_back(void **state)
{
	(void)state;
	auto_buf struct buf stream, out;
	struct err e;
	buf_init(&stream, 1000);
	buf_init(&out, 1000);
	assert_int_equal(sse_put_comment(&stream, "loading"), 0);
	assert_int_equal(sse_put(&stream, STR("{\"a\":1}")), 0);
	assert_int_equal(sse_put(&stream, STR("")), 0);
	assert_string_equal(stream.p,
			    ": loading\n\ndata: {\"a\":1}\n\ndata: \n\n");
	assert_int_equal(feed(buf_str(&stream), 1, 100, &out, &e), 0);
	assert_string_equal(out.p, "[{\"a\":1}][]");
}

static void an_event_that_does_not_fit_leaves_the_buffer_as_it_was(void **state)
{
	(void)state;
	auto_buf struct buf b;
	buf_init(&b, strlen("data: a\n\n") * 2 - 1);
	assert_int_equal(sse_put(&b, STR("a")), 0);
	assert_int_equal(sse_put(&b, STR("a")), BUF_FULL);
	assert_int_equal(sse_put_comment(&b, "comment"), BUF_FULL);
	assert_string_equal(b.p, "data: a\n\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(events_come_out_however_the_stream_was_cut),
		cmocka_unit_test(an_event_may_be_as_large_as_the_limit),
		cmocka_unit_test(a_line_without_end_is_refused_at_the_limit),
		cmocka_unit_test(what_we_write_reads_back),
		cmocka_unit_test(
			an_event_that_does_not_fit_leaves_the_buffer_as_it_was),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
