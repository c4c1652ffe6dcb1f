#include "http/frame.h"
#include "unit/guard.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#define MOST 4096

static int read_request(const char *text, struct http_frame *f, struct err *e)
{
	struct str bytes = guard_place(str_of(text));
	size_t seen = 0, end = 0;
	int got = frame_find(bytes, MOST, &seen, &end, e);
	return got ? got : frame_request(str_head(bytes, end), f, e);
}

/* What head.h refuses and a relay must let through, with how it is framed. */
static const struct {
	const char *text;
	enum http_framing framing;
	unsigned length;
	bool keep_alive;
} lenient[] = {
	{ "GET / HTTP/1.1\r\n\r\n", HTTP_NO_BODY, 0, true },
	{ "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", HTTP_NO_BODY, 0,
	  true },
	{ "GET / HTTP/1.1\r\nHost: %2Fvar%2Frun\r\n\r\n", HTTP_NO_BODY, 0,
	  true },
	{ "GET / HTTP/1.1\r\nExpect: more\r\nContent-Length: 3\r\n\r\n",
	  HTTP_LENGTH, 3, true },
	{ "GET * HTTP/1.1\r\nContent-Length:\t7 \r\n\r\n", HTTP_LENGTH, 7,
	  true },
	{ "X /\xff\xfe HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
	  HTTP_NO_BODY, 0, true },
	{ "\r\nPUT /x HTTP/1.1\r\ntransfer-encoding: CHUNKED\r\n"
	  "connection: a, Close\r\n\r\n",
	  HTTP_CHUNKED, 0, false },
};

static void a_relay_judges_framing_and_nothing_else(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(lenient); i++) {
		struct http_frame f;
		struct err e;
		assert_int_equal(read_request(lenient[i].text, &f, &e), 0);
		assert_int_equal(f.framing, lenient[i].framing);
		assert_int_equal(f.length, lenient[i].length);
		assert_int_equal(f.keep_alive, lenient[i].keep_alive);
	}
}

static void fields_come_line_by_line(void **state)
{
	(void)state;
	struct http_frame f;
	struct err e;
	struct str line, name;
	assert_int_equal(
		read_request("GET / HTTP/1.1\r\nA: b\r\nCc:\r\n\r\n", &f, &e),
		0);
	assert_true(frame_next_field(&f.fields, &line, &name));
	assert_true(str_eq(name, "A") && str_eq(line, "A: b\r\n"));
	assert_true(frame_next_field(&f.fields, &line, &name));
	assert_true(str_eq(name, "Cc") && str_eq(line, "Cc:\r\n"));
	assert_false(frame_next_field(&f.fields, &line, &name));
}

static void the_end_is_found_however_the_bytes_come(void **state)
{
	(void)state;
	static const char text[] = "GET / HTTP/1.1\r\nA: b\r\n\r\nbody";
	size_t seen = 0, end = 0;
	struct err e;
	for (size_t n = 0; n < sizeof text - 5; n++)
		assert_int_equal(frame_find((struct str){ text, n }, MOST,
					    &seen, &end, &e),
				 FRAME_MORE);
	assert_int_equal(frame_find(str_of(text), MOST, &seen, &end, &e), 0);
	assert_int_equal(end, sizeof text - 5);
}

static void the_ceiling_is_the_caller_s(void **state)
{
	(void)state;
	static const char text[] = "GET / HTTP/1.1\r\nA: b\r\n\r\n";
	size_t n = sizeof text - 1, seen = 0, end;
	struct err e;
	assert_int_equal(frame_find(str_of(text), n, &seen, &end, &e), 0);
	seen = 0;
	assert_int_equal(frame_find(str_of(text), n - 1, &seen, &end, &e), -1);
	assert_int_equal(e.code, ERR_HEAD_LARGE);
}

static const struct {
	const char *text;
	enum http_method to;
	int status;
	enum http_framing framing;
	bool keep_alive;
} responses[] = {
	{ "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n", HTTP_GET, 200,
	  HTTP_LENGTH, true },
	{ "HTTP/1.1 200\r\nContent-Length: 2\r\n\r\n", HTTP_HEAD, 200,
	  HTTP_NO_BODY, true },
	{ "HTTP/1.1 200 \r\n\r\n", HTTP_GET, 200, HTTP_UNTIL_CLOSE, false },
	{ "HTTP/1.1 204 No\r\nContent-Length: 2\r\n\r\n", HTTP_GET, 204,
	  HTTP_NO_BODY, false },
	{ "HTTP/1.1 304 No\r\nContent-Length: 2\r\n\r\n", HTTP_GET, 304,
	  HTTP_NO_BODY, true },
	{ "HTTP/1.1 101 UPGRADED\r\nUpgrade: tcp\r\n\r\n", HTTP_POST, 101,
	  HTTP_NO_BODY, true },
	{ "HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n", HTTP_GET, 200,
	  HTTP_LENGTH, false },
};

static void responses_are_framed_by_what_they_answer(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(responses); i++) {
		struct http_frame f;
		struct err e;
		assert_int_equal(frame_response(str_of(responses[i].text),
						responses[i].to, &f, &e),
				 0);
		assert_int_equal(f.status, responses[i].status);
		assert_int_equal(f.framing, responses[i].framing);
		assert_int_equal(f.keep_alive, responses[i].keep_alive);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_relay_judges_framing_and_nothing_else),
		cmocka_unit_test(fields_come_line_by_line),
		cmocka_unit_test(the_end_is_found_however_the_bytes_come),
		cmocka_unit_test(the_ceiling_is_the_caller_s),
		cmocka_unit_test(responses_are_framed_by_what_they_answer),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
