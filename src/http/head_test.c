#include "http/head.h"
#include "unit/guard.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>

#define OK "GET / HTTP/1.1\r\nHost: a\r\n"

static int request(struct str bytes, struct http_head *h, size_t *used,
		   struct err *e)
{
	return head_parse_request(guard_place(bytes), h, used, e);
}

static void assert_str(struct str s, const char *wanted)
{
	assert_int_equal(s.n, strlen(wanted));
	assert_memory_equal(s.p, wanted, s.n);
}

/* ---- requests ---- */

static const struct {
	const char *text;
	const char *target;
	enum http_method method;
	enum http_framing framing;
	unsigned length;
	bool keep_alive;
	unsigned n_fields;
} good_requests[] = {
	{ OK "\r\n", "/", HTTP_GET, HTTP_NO_BODY, 0, true, 1 },
	{ "\r\n" OK "\r\n", "/", HTTP_GET, HTTP_NO_BODY, 0, true, 1 },
	{ "GET / HTTP/1.0\r\n\r\n", "/", HTTP_GET, HTTP_NO_BODY, 0, false, 0 },
	{ "GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", "/", HTTP_GET,
	  HTTP_NO_BODY, 0, true, 1 },
	{ "GET / HTTP/1.0\r\nConnection: keep-alive, close\r\n\r\n", "/",
	  HTTP_GET, HTTP_NO_BODY, 0, false, 1 },
	{ OK "Connection: close\r\n\r\n", "/", HTTP_GET, HTTP_NO_BODY, 0, false,
	  2 },
	{ OK "Connection: x, CLOSE ,y\r\n\r\n", "/", HTTP_GET, HTTP_NO_BODY, 0,
	  false, 2 },
	{ OK "Connection: x\r\nConnection: close\r\n\r\n", "/", HTTP_GET,
	  HTTP_NO_BODY, 0, false, 3 },
	{ "POST /v1 HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n", "/v1",
	  HTTP_POST, HTTP_LENGTH, 5, true, 2 },
	{ OK "content-length:\t 0005  \r\n\r\n", "/", HTTP_GET, HTTP_LENGTH, 5,
	  true, 2 },
	{ OK "Content-Length: 0\r\n\r\n", "/", HTTP_GET, HTTP_LENGTH, 0, true,
	  2 },
	{ "PUT /x?y HTTP/1.1\r\nHost:a\r\nTransfer-Encoding: chunked\r\n\r\n",
	  "/x?y", HTTP_PUT, HTTP_CHUNKED, 0, true, 2 },
	{ OK "transfer-ENCODING:\tChunked \r\n\r\n", "/", HTTP_GET,
	  HTTP_CHUNKED, 0, true, 2 },
	{ "HEAD http://h/x HTTP/1.1\r\nHost: h\r\n\r\n", "http://h/x",
	  HTTP_HEAD, HTTP_NO_BODY, 0, true, 1 },
	{ "OPTIONS * HTTP/1.1\r\nHost:\r\n\r\n", "*", HTTP_OPTIONS,
	  HTTP_NO_BODY, 0, true, 1 },
	{ "PATCH /a HTTP/1.1\r\nHost: [::1]:80\r\nX:\r\nY: \t \r\n\r\n", "/a",
	  HTTP_PATCH, HTTP_NO_BODY, 0, true, 3 },
	{ "DELETE /\"<>^`{|}\\ HTTP/1.1\r\nHost: a_b-c.d:\r\n\r\n",
	  "/\"<>^`{|}\\", HTTP_DELETE, HTTP_NO_BODY, 0, true, 1 },
	{ "!#$%&'*+-.^_`|~ / HTTP/1.1\r\nHost: a\r\n\r\n", "/", HTTP_OTHER,
	  HTTP_NO_BODY, 0, true, 1 },
	{ OK "X: \x80\xff obs-text,\ttab\r\n\r\n", "/", HTTP_GET, HTTP_NO_BODY,
	  0, true, 2 },
	{ OK "Upgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\n\r\n", "/",
	  HTTP_GET, HTTP_NO_BODY, 0, true, 3 },
};

static void a_good_request_gives_its_meaning(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(good_requests); i++) {
		struct http_head h;
		struct err e = { .msg = "" };
		size_t used = 0;
		struct str text = str_of(good_requests[i].text);
		if (request(text, &h, &used, &e))
			fail_msg("%s\n%s", text.p, e.msg);
		assert_int_equal(used, text.n);
		assert_int_equal(h.method, good_requests[i].method);
		assert_str(h.target, good_requests[i].target);
		assert_int_equal(h.framing, good_requests[i].framing);
		assert_int_equal(h.length, good_requests[i].length);
		assert_int_equal(h.keep_alive, good_requests[i].keep_alive);
		assert_int_equal(h.n_fields, good_requests[i].n_fields);
	}
}

static void every_prefix_of_a_good_request_asks_for_more(void **state)
{
	(void)state;
	struct http_head h;
	struct err e;
	size_t used;
	for (size_t i = 0; i < ARRAY_LEN(good_requests); i++) {
		struct str text = str_of(good_requests[i].text);
		for (size_t n = 0; n < text.n; n++)
			assert_int_equal(
				request(str_head(text, n), &h, &used, &e),
				HEAD_MORE);
	}
}

static void what_follows_a_head_is_not_looked_at(void **state)
{
	(void)state;
	static const char *const tails[] = { "\r\n\r\n", "\n", "x", "\x16\x03",
					     OK "\r\n" };
	struct http_head h;
	struct err e;
	for (size_t i = 0; i < ARRAY_LEN(good_requests); i++) {
		for (size_t j = 0; j < ARRAY_LEN(tails); j++) {
			size_t used = 0;
			auto_free char *text = xasprintf(
				"%s%s", good_requests[i].text, tails[j]);
			assert_int_equal(request(str_of(text), &h, &used, &e),
					 0);
			assert_int_equal(used, strlen(good_requests[i].text));
			assert_int_equal(h.n_fields, good_requests[i].n_fields);
		}
	}
}

#define BAD(text, code)                            \
	{                                          \
		text, sizeof(text) - 1, ERR_##code \
	}

static const struct bad_case {
	const char *text;
	size_t n;
	enum err_code code;
} bad_requests[] = {
	/* The start line. */
	BAD("\r\n\r\n" OK "\r\n", INVALID),
	BAD("\n" OK "\r\n", INVALID),
	BAD("\r" OK "\r\n", INVALID),
	BAD(" GET / HTTP/1.1\r\nHost: a\r\n\r\n", INVALID),
	BAD("GET  / HTTP/1.1\r\nHost: a\r\n\r\n", INVALID),
	BAD("GET /  HTTP/1.1\r\nHost: a\r\n\r\n", INVALID),
	BAD("GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n", INVALID),
	BAD("GET / HTTP/1.1 \r\nHost: a\r\n\r\n", INVALID),
	BAD("GET /\r\nHost: a\r\n\r\n", INVALID),
	BAD("GET / \r\nHost: a\r\n\r\n", INVALID),
	BAD("GET\r\nHost: a\r\n\r\n", INVALID),
	BAD("G@T / HTTP/1.1\r\nHost: a\r\n\r\n", INVALID),
	BAD("GET /\x80 HTTP/1.1\r\nHost: a\r\n\r\n", INVALID),
	BAD("GET /\x7f HTTP/1.1\r\nHost: a\r\n\r\n", INVALID),
	BAD("GET /\0 HTTP/1.1\r\nHost: a\r\n\r\n", INVALID),
	BAD("GET / http/1.1\r\nHost: a\r\n\r\n", INVALID),
	BAD("GET / HTTP/1\r\nHost: a\r\n\r\n", INVALID),
	BAD("GET / HTTP/11\r\nHost: a\r\n\r\n", INVALID),
	BAD("GET / HTTP/1.10\r\nHost: a\r\n\r\n", INVALID),
	BAD("GET / HTTP/1.\r\nHost: a\r\n\r\n", INVALID),
	BAD("GET / HTTP/-1.1\r\nHost: a\r\n\r\n", INVALID),
	BAD("GET / HTTP/1.2\r\nHost: a\r\n\r\n", HTTP_VERSION),
	BAD("GET / HTTP/0.9\r\nHost: a\r\n\r\n", HTTP_VERSION),
	BAD("PRI * HTTP/2.0\r\n\r\n", HTTP_VERSION),
	BAD("GET * HTTP/1.1\r\nHost: a\r\n\r\n", INVALID),
	BAD("CONNECT a:80 HTTP/1.1\r\nHost: a\r\n\r\n", NOT_IMPL),
	BAD("\x16\x03\x01\x02", INVALID), /* a TLS greeting */
	/* Line ends. */
	BAD("GET / HTTP/1.1\nHost: a\n\n", INVALID),
	BAD("GET / HTTP/1.1\r\nHost: a\n\r\n", INVALID),
	BAD(OK "\n", INVALID),
	BAD(OK "X: a\rb\r\n\r\n", INVALID),
	BAD(OK "X: a\r\r\n\r\n", INVALID),
	BAD(OK "\rX: a\r\n\r\n", INVALID),
	/* Names and values. */
	BAD(OK "X : a\r\n\r\n", INVALID),
	BAD(OK "X\t: a\r\n\r\n", INVALID),
	BAD(OK " X: a\r\n\r\n", INVALID),
	BAD(OK "X: a\r\n b\r\n\r\n", INVALID),
	BAD(OK "X: a\r\n\tb\r\n\r\n", INVALID),
	BAD(OK ": a\r\n\r\n", INVALID),
	BAD(OK "X\r\n\r\n", INVALID),
	BAD(OK "X\x80: a\r\n\r\n", INVALID),
	BAD(OK "X(: a\r\n\r\n", INVALID),
	BAD(OK "X\0: a\r\n\r\n", INVALID),
	BAD(OK "X: a\0b\r\n\r\n", INVALID),
	BAD(OK "X: a\x01\r\n\r\n", INVALID),
	BAD(OK "X: a\x7f\r\n\r\n", INVALID),
	BAD("GET / HTTP/1.1\r\n Host: a\r\n\r\n", INVALID),
	/* Host. */
	BAD("GET / HTTP/1.1\r\n\r\n", INVALID),
	BAD(OK "Host: a\r\n\r\n", INVALID),
	BAD("GET / HTTP/1.0\r\nHost: a\r\nhost: b\r\n\r\n", INVALID),
	BAD("GET / HTTP/1.1\r\nHost: a b\r\n\r\n", INVALID),
	BAD("GET / HTTP/1.1\r\nHost: a,b\r\n\r\n", INVALID),
	BAD("GET / HTTP/1.1\r\nHost: u@a\r\n\r\n", INVALID),
	BAD("GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", INVALID),
	BAD("GET / HTTP/1.1\r\nHost: a:b\r\n\r\n", INVALID),
	BAD("GET / HTTP/1.1\r\nHost: a:70000\r\n\r\n", INVALID),
	BAD("GET / HTTP/1.1\r\nHost: [::1\r\n\r\n", INVALID),
	BAD("GET / HTTP/1.1\r\nHost: \xc3\xa4\r\n\r\n", INVALID),
	/* How long is the body? */
	BAD(OK "Content-Length:\r\n\r\n", INVALID),
	BAD(OK "Content-Length: +5\r\n\r\n", INVALID),
	BAD(OK "Content-Length: -5\r\n\r\n", INVALID),
	BAD(OK "Content-Length: 0x5\r\n\r\n", INVALID),
	BAD(OK "Content-Length: 5a\r\n\r\n", INVALID),
	BAD(OK "Content-Length: 5 5\r\n\r\n", INVALID),
	BAD(OK "Content-Length: 5, 5\r\n\r\n", INVALID),
	BAD(OK "Content-Length: 5.0\r\n\r\n", INVALID),
	BAD(OK "Content-Length: 5\t\r\n\r\n", INVALID),
	BAD(OK "Content-Length: 5 \t\r\n\r\n", INVALID),
	BAD(OK "Transfer-Encoding: chunked\t\r\n\r\n", INVALID),
	BAD(OK "Content-Length: \"5\"\r\n\r\n", INVALID),
	BAD(OK "Content-Length: 18446744073709551616\r\n\r\n", INVALID),
	BAD(OK "Content-Length: 5\r\nContent-Length: 5\r\n\r\n", INVALID),
	BAD(OK "Content-Length: 5\r\nContent-Length: 6\r\n\r\n", INVALID),
	BAD(OK "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
	    INVALID),
	BAD(OK "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n",
	    INVALID),
	BAD(OK "Transfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n",
	    INVALID),
	BAD(OK "Transfer-Encoding: chunked\r\n"
	       "Transfer-Encoding: chunked\r\n\r\n",
	    INVALID),
	BAD("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", INVALID),
	BAD(OK "Transfer-Encoding: gzip\r\n\r\n", NOT_IMPL),
	BAD(OK "Transfer-Encoding: gzip, chunked\r\n\r\n", NOT_IMPL),
	BAD(OK "Transfer-Encoding: chunked, gzip\r\n\r\n", NOT_IMPL),
	BAD(OK "Transfer-Encoding: chunked, chunked\r\n\r\n", NOT_IMPL),
	BAD(OK "Transfer-Encoding: chunked,\r\n\r\n", NOT_IMPL),
	BAD(OK "Transfer-Encoding: xchunked\r\n\r\n", NOT_IMPL),
	BAD(OK "Transfer-Encoding: chunked;q=1\r\n\r\n", NOT_IMPL),
	BAD(OK "Transfer-Encoding: \"chunked\"\r\n\r\n", NOT_IMPL),
	BAD(OK "Transfer-Encoding: identity\r\n\r\n", NOT_IMPL),
	BAD(OK "Transfer-Encoding:\r\n\r\n", NOT_IMPL),
	BAD(OK "Transfer-Encoding: \x0b"
	       "chunked\r\n\r\n",
	    INVALID),
	BAD(OK "Expect: 200-ok\r\n\r\n", EXPECT),
	BAD(OK "Expect: 100-continue, x\r\n\r\n", EXPECT),
	BAD(OK "Expect:\r\n\r\n", EXPECT),
};

static void a_bad_request_is_refused_with_its_code(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad_requests); i++) {
		const struct bad_case *c = &bad_requests[i];
		struct http_head h;
		struct err e;
		size_t used;
		int r = request((struct str){ c->text, c->n }, &h, &used, &e);
		if (r != -1 || e.code != c->code)
			fail_msg("%d, code %d for\n%s", r, e.code, c->text);
		assert_true(strlen(e.msg) > 10);
	}
}

/* A prefix may be refused early, but then all that is longer is refused too,
 * and no prefix passes. */
static void a_prefix_of_a_bad_request_never_passes(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad_requests); i++) {
		struct str text = { bad_requests[i].text, bad_requests[i].n };
		bool refused = false;
		for (size_t n = 0; n <= text.n; n++) {
			struct http_head h;
			struct err e;
			size_t used;
			int r = request(str_head(text, n), &h, &used, &e);
			assert_int_not_equal(r, 0);
			if (refused)
				assert_int_equal(r, -1);
			refused = r == -1;
		}
	}
}

static const char token_marks[] = "!#$%&'*+-.^_`|~";

static bool is_token_char(int c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') ||
	       (c >= 'A' && c <= 'Z') || (c && strchr(token_marks, c));
}

static int with_byte(const char *before, int c, const char *after)
{
	char text[200];
	struct http_head h;
	struct err e;
	size_t used;
	size_t n = (size_t)snprintf(text, sizeof text, "%s", before);
	text[n++] = (char)c;
	n += (size_t)snprintf(text + n, sizeof text - n, "%s", after);
	return request((struct str){ text, n }, &h, &used, &e);
}

static void each_byte_is_taken_only_where_the_grammar_has_it(void **state)
{
	(void)state;
	for (int c = 0; c < 256; c++) {
		bool token = is_token_char(c);
		bool visible = c > 0x20 && c < 0x7f;
		bool value = visible || c == ' ' || c == '\t' || c >= 0x80;
		assert_int_equal(
			with_byte("G", c, "T / HTTP/1.1\r\nHost: a\r\n\r\n"),
			token ? 0 : -1);
		assert_int_equal(
			with_byte("GET /", c, "x HTTP/1.1\r\nHost: a\r\n\r\n"),
			visible ? 0 : -1);
		/* A colon ends the name, which leaves a good field. */
		assert_int_equal(with_byte(OK "X", c, "Y: z\r\n\r\n"),
				 token || c == ':' ? 0 : -1);
		assert_int_equal(with_byte(OK "X: y", c, "z\r\n\r\n"),
				 value ? 0 : -1);
	}
}

static void the_value_is_what_lies_between_the_spaces(void **state)
{
	(void)state;
	struct http_head h;
	struct err e;
	size_t used;
	assert_int_equal(
		request(STR(OK "X: \t a \t b\t \r\nY:\r\n\r\n"), &h, &used, &e),
		0);
	assert_str(h.fields[1].name, "X");
	assert_str(h.fields[1].value, "a \t b");
	assert_str(h.fields[2].value, "");
}

static void host_expect_and_upgrade_are_told(void **state)
{
	(void)state;
	struct http_head h;
	struct err e;
	size_t used;
	assert_int_equal(request(STR("GET / HTTP/1.1\r\nHost: a.b:80\r\n"
				     "Expect: 100-Continue\r\nUpgrade: x\r\n"
				     "Connection: upgrade\r\n\r\n"),
				 &h, &used, &e),
			 0);
	assert_true(h.has_host);
	assert_str(h.host, "a.b:80");
	assert_true(h.expect_continue);
	assert_true(h.upgrade);
	assert_int_equal(request(STR("GET / HTTP/1.0\r\nExpect: x\r\n"
				     "Upgrade: x\r\nConnection: upgrade\r\n"
				     "\r\n"),
				 &h, &used, &e),
			 0);
	assert_false(h.has_host);
	assert_false(h.expect_continue);
	assert_false(h.upgrade);
}

/* ---- ceilings ---- */

/* A request of exactly n bytes, filled up by one long value. */
static char *request_of(size_t n)
{
	static const char start[] = OK "X: ";
	char *text = xcalloc(n + 1, 1);
	memset(text, 'x', n);
	memcpy(text, start, sizeof start - 1);
	memcpy(text + n - 4, "\r\n\r\n", 4);
	return text;
}

static void a_head_may_be_as_large_as_the_limit(void **state)
{
	(void)state;
	struct http_head h;
	struct err e;
	size_t used;
	auto_free char *fits = request_of(LIMIT_HEAD_BYTES);
	assert_int_equal(request(str_of(fits), &h, &used, &e), 0);
	assert_int_equal(used, LIMIT_HEAD_BYTES);
	auto_free char *larger = request_of(LIMIT_HEAD_BYTES + 1);
	assert_int_equal(request(str_of(larger), &h, &used, &e), -1);
	assert_int_equal(e.code, ERR_HEAD_LARGE);
	/* Told as soon as the limit is reached without an end. */
	assert_int_equal(request(str_head(str_of(larger), LIMIT_HEAD_BYTES), &h,
				 &used, &e),
			 -1);
	assert_int_equal(request(str_head(str_of(larger), LIMIT_HEAD_BYTES - 1),
				 &h, &used, &e),
			 HEAD_MORE);
}

static int request_with_fields(unsigned n, struct http_head *h, struct err *e)
{
	static char text[LIMIT_HEAD_BYTES];
	size_t used, at = (size_t)snprintf(text, sizeof text, OK);
	for (unsigned i = 1; i < n; i++)
		at += (size_t)snprintf(text + at, sizeof text - at,
				       "X%u: y\r\n", i);
	at += (size_t)snprintf(text + at, sizeof text - at, "\r\n");
	return request((struct str){ text, at }, h, &used, e);
}

static void a_head_may_have_as_many_fields_as_the_limit(void **state)
{
	(void)state;
	struct http_head h;
	struct err e;
	assert_int_equal(request_with_fields(LIMIT_HEAD_FIELDS, &h, &e), 0);
	assert_int_equal(h.n_fields, LIMIT_HEAD_FIELDS);
	assert_str(h.fields[99].name, "X99");
	assert_int_equal(request_with_fields(LIMIT_HEAD_FIELDS + 1, &h, &e),
			 -1);
	assert_int_equal(e.code, ERR_HEAD_LARGE);
}

static int request_with_target(size_t n, struct err *e)
{
	static char text[LIMIT_TARGET_BYTES + 100];
	struct http_head h;
	size_t used;
	size_t at = (size_t)snprintf(text, sizeof text, "GET /");
	memset(text + at, 'x', n - 1);
	at += n - 1;
	at += (size_t)snprintf(text + at, sizeof text - at,
			       " HTTP/1.1\r\nHost: a\r\n\r\n");
	return request((struct str){ text, at }, &h, &used, e);
}

static void a_target_may_be_as_long_as_the_limit(void **state)
{
	(void)state;
	struct err e;
	assert_int_equal(request_with_target(LIMIT_TARGET_BYTES, &e), 0);
	assert_int_equal(request_with_target(LIMIT_TARGET_BYTES + 1, &e), -1);
	assert_int_equal(e.code, ERR_TARGET_LARGE);
	assert_int_equal(err_http_status(e.code), 414);
}

/* ---- responses ---- */

static const struct {
	const char *text;
	enum http_method to;
	int status;
	enum http_framing framing;
	unsigned length;
	bool keep_alive;
} good_responses[] = {
	{ "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", HTTP_GET, 200,
	  HTTP_LENGTH, 5, true },
	{ "HTTP/1.1 200 \r\nContent-Length: 5\r\n\r\n", HTTP_GET, 200,
	  HTTP_LENGTH, 5, true },
	{ "HTTP/1.1 200\r\nContent-Length: 5\r\n\r\n", HTTP_GET, 200,
	  HTTP_LENGTH, 5, true },
	{ "HTTP/1.1 404 Not  Found \xe4\t!\r\nContent-Length: 0\r\n\r\n",
	  HTTP_GET, 404, HTTP_LENGTH, 0, true },
	{ "HTTP/1.1 999 x\r\nTransfer-Encoding: chunked\r\n\r\n", HTTP_POST,
	  999, HTTP_CHUNKED, 0, true },
	{ "HTTP/1.1 200 OK\r\n\r\n", HTTP_GET, 200, HTTP_UNTIL_CLOSE, 0,
	  false },
	{ "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n\r\n", HTTP_GET, 200,
	  HTTP_UNTIL_CLOSE, 0, false },
	{ "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n"
	  "Content-Length: 1\r\n\r\n",
	  HTTP_GET, 200, HTTP_LENGTH, 1, true },
	{ "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 1\r\n\r\n",
	  HTTP_GET, 200, HTTP_LENGTH, 1, false },
	{ "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", HTTP_HEAD, 200,
	  HTTP_NO_BODY, 5, true },
	{ "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", HTTP_HEAD,
	  200, HTTP_NO_BODY, 0, true },
	{ "HTTP/1.1 200 OK\r\n\r\n", HTTP_HEAD, 200, HTTP_NO_BODY, 0, true },
	{ "HTTP/1.1 100 Continue\r\n\r\n", HTTP_POST, 100, HTTP_NO_BODY, 0,
	  true },
	{ "HTTP/1.1 103 Hints\r\nLink: x\r\n\r\n", HTTP_POST, 103, HTTP_NO_BODY,
	  0, true },
	{ "HTTP/1.1 204 No Content\r\n\r\n", HTTP_GET, 204, HTTP_NO_BODY, 0,
	  true },
	{ "HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n", HTTP_GET, 204,
	  HTTP_NO_BODY, 0, true },
	{ "HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n", HTTP_GET, 204,
	  HTTP_NO_BODY, 5, false },
	{ "HTTP/1.1 100 x\r\nTransfer-Encoding: chunked\r\n\r\n", HTTP_GET, 100,
	  HTTP_NO_BODY, 0, false },
	{ "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", HTTP_GET,
	  304, HTTP_NO_BODY, 5, true },
};

static int response(struct str bytes, enum http_method to, struct http_head *h,
		    struct err *e)
{
	size_t used = 0;
	int r = head_parse_response(guard_place(bytes), to, h, &used, e);
	if (r == 0)
		assert_int_equal(used, bytes.n);
	return r;
}

static void a_good_response_gives_its_meaning(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(good_responses); i++) {
		struct http_head h;
		struct err e = { .msg = "" };
		struct str text = str_of(good_responses[i].text);
		if (response(text, good_responses[i].to, &h, &e))
			fail_msg("%s\n%s", text.p, e.msg);
		assert_int_equal(h.status, good_responses[i].status);
		assert_int_equal(h.framing, good_responses[i].framing);
		assert_int_equal(h.length, good_responses[i].length);
		assert_int_equal(h.keep_alive, good_responses[i].keep_alive);
		for (size_t n = 0; n < text.n; n++)
			assert_int_equal(response(str_head(text, n),
						  good_responses[i].to, &h, &e),
					 HEAD_MORE);
	}
}

#define RES "HTTP/1.1 200 OK\r\n"

static const struct bad_case bad_responses[] = {
	BAD("\r\n" RES "\r\n", INVALID),
	BAD("http/1.1 200 OK\r\n\r\n", INVALID),
	BAD("HTTP/1.1  200 OK\r\n\r\n", INVALID),
	BAD("HTTP/1.1\t200 OK\r\n\r\n", INVALID),
	BAD("HTTP/1.1200 OK\r\n\r\n", INVALID),
	BAD("HTTP/1.1 20 OK\r\n\r\n", INVALID),
	BAD("HTTP/1.1 2000 OK\r\n\r\n", INVALID),
	BAD("HTTP/1.1 099 OK\r\n\r\n", INVALID),
	BAD("HTTP/1.1 2x0 OK\r\n\r\n", INVALID),
	BAD("HTTP/1.1 200OK\r\n\r\n", INVALID),
	BAD("HTTP/1.1 200 O\0K\r\n\r\n", INVALID),
	BAD("HTTP/1.1 200 O\rK\r\n\r\n", INVALID),
	BAD("HTTP/1.1 200 OK\n\n", INVALID),
	BAD("HTTP/1.1\r\n\r\n", INVALID),
	BAD("HTTP/2.0 200 OK\r\n\r\n", HTTP_VERSION),
	BAD("HTTP/1.9 200 OK\r\n\r\n", HTTP_VERSION),
	BAD("ICY 200 OK\r\n\r\n", INVALID),
	BAD(RES "Content-Length: 5\r\nContent-Length: 5\r\n\r\n", INVALID),
	BAD(RES "Content-Length: 5, 5\r\n\r\n", INVALID),
	BAD(RES "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
	    INVALID),
	BAD(RES "Transfer-Encoding: gzip\r\n\r\n", NOT_IMPL),
	BAD("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", INVALID),
	BAD(RES "X: a\r\n b\r\n\r\n", INVALID),
	BAD(RES "X : a\r\n\r\n", INVALID),
};

static void a_bad_response_is_refused_and_so_is_each_prefix(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad_responses); i++) {
		struct str text = { bad_responses[i].text, bad_responses[i].n };
		struct http_head h;
		struct err e;
		int r = response(text, HTTP_GET, &h, &e);
		if (r != -1 || e.code != bad_responses[i].code)
			fail_msg("%d, code %d for\n%s", r, e.code, text.p);
		for (size_t n = 0; n < text.n; n++)
			assert_int_not_equal(
				response(str_head(text, n), HTTP_GET, &h, &e),
				0);
	}
}

/* ---- looking into a head ---- */

static void fields_are_found_without_case(void **state)
{
	(void)state;
	struct http_head h;
	struct err e;
	size_t used;
	assert_int_equal(
		head_parse_request(STR(OK "A: 1\r\na: 2\r\nX: p , Q,\r\n"
					  "x: r\r\n\r\n"),
				   &h, &used, &e),
		0);
	assert_str(head_find(&h, "a")->value, "1");
	assert_null(head_find(&h, "b"));
	assert_true(head_has_token(&h, "x", "q"));
	assert_true(head_has_token(&h, "X", "R"));
	assert_false(head_has_token(&h, "X", "p , q"));
	assert_false(head_has_token(&h, "X", "s"));
}

static void fields_of_one_hop_are_known(void **state)
{
	(void)state;
	struct http_head h;
	struct err e;
	size_t used;
	assert_int_equal(
		head_parse_request(STR(OK "Connection: close, X-Mine\r\n\r\n"),
				   &h, &used, &e),
		0);
	static const char *const hop[] = { "connection", "KEEP-ALIVE",
					   "te",	 "Trailer",
					   "upgrade",	 "transfer-encoding",
					   "x-mine",	 "Proxy-Connection" };
	for (size_t i = 0; i < ARRAY_LEN(hop); i++)
		assert_true(head_is_hop_by_hop(&h, str_of(hop[i])));
	static const char *const end[] = { "Host", "X-Other", "Proxy", "" };
	for (size_t i = 0; i < ARRAY_LEN(end); i++)
		assert_false(head_is_hop_by_hop(&h, str_of(end[i])));
}

static void every_status_that_an_error_has_is_named(void **state)
{
	(void)state;
#define ERR(name, status, type, exit_status) \
	if (status != 499)                   \
		assert_string_not_equal(head_reason(status), "");
#include "base/err_codes.h"
#undef ERR
	assert_string_equal(head_reason(200), "OK");
	assert_string_equal(head_reason(299), "");
	assert_string_equal(head_method_name(HTTP_DELETE), "DELETE");
	assert_string_equal(head_method_name(HTTP_OTHER), "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_good_request_gives_its_meaning),
		cmocka_unit_test(every_prefix_of_a_good_request_asks_for_more),
		cmocka_unit_test(what_follows_a_head_is_not_looked_at),
		cmocka_unit_test(a_bad_request_is_refused_with_its_code),
		cmocka_unit_test(a_prefix_of_a_bad_request_never_passes),
		cmocka_unit_test(
			each_byte_is_taken_only_where_the_grammar_has_it),
		cmocka_unit_test(the_value_is_what_lies_between_the_spaces),
		cmocka_unit_test(host_expect_and_upgrade_are_told),
		cmocka_unit_test(a_head_may_be_as_large_as_the_limit),
		cmocka_unit_test(a_head_may_have_as_many_fields_as_the_limit),
		cmocka_unit_test(a_target_may_be_as_long_as_the_limit),
		cmocka_unit_test(a_good_response_gives_its_meaning),
		cmocka_unit_test(
			a_bad_response_is_refused_and_so_is_each_prefix),
		cmocka_unit_test(fields_are_found_without_case),
		cmocka_unit_test(fields_of_one_hop_are_known),
		cmocka_unit_test(every_status_that_an_error_has_is_named),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
