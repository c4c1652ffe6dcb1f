#include "http/head.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void check_inside(struct str s, struct str all)
{
	assert(!s.n || (s.p >= all.p && s.p + s.n <= all.p + all.n));
}

static void check_head(const struct http_head *h, struct str text)
{
	assert(text.n <= LIMIT_HEAD_BYTES && str_ends(text, "\r\n\r\n"));
	assert(h->n_fields <= LIMIT_HEAD_FIELDS);
	check_inside(h->target, text);
	check_inside(h->method_text, text);
	check_inside(h->host, text);
	for (size_t i = 0; i < h->n_fields; i++) {
		check_inside(h->fields[i].name, text);
		check_inside(h->fields[i].value, text);
		assert(h->fields[i].name.n);
	}
	if (h->framing == HTTP_CHUNKED)
		assert(!head_find(h, "Content-Length"));
	if (h->framing == HTTP_LENGTH)
		assert(!head_find(h, "Transfer-Encoding"));
}

static int parse(struct str bytes, bool is_request, struct http_head *h,
		 size_t *used)
{
	struct err e = { .msg = "" };
	int r = is_request ? head_parse_request(bytes, h, used, &e)
			   : head_parse_response(bytes, HTTP_GET, h, used, &e);
	assert(r != -1 || (e.msg[0] && err_http_status(e.code) >= 400));
	return r;
}

/* What is accepted does not depend on what follows it, and needs all of it. */
static void check(struct str bytes, bool is_request)
{
	static struct http_head h, again;
	size_t used = 0, used_again = 0;
	int r = parse(bytes, is_request, &h, &used);
	if (r == HEAD_MORE)
		assert(bytes.n < LIMIT_HEAD_BYTES);
	if (r)
		return;
	assert(used <= bytes.n);
	struct str text = str_head(bytes, used);
	check_head(&h, text);
	assert(parse(text, is_request, &again, &used_again) == 0);
	assert(used == used_again && h.n_fields == again.n_fields);
	text.n--;
	assert(parse(text, is_request, &again, &used_again) == HEAD_MORE);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	check((struct str){ (const char *)data, n }, true);
	check((struct str){ (const char *)data, n }, false);
	return 0;
}
