/* What head.h takes, frame.h takes too, with the same end and the same body:
 * the front and the server behind it must never read one message in two ways.
 */
#include "http/frame.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void check_same(const struct http_head *h, const struct http_frame *f)
{
	assert(h->framing == f->framing);
	assert(f->framing != HTTP_LENGTH || h->length == f->length);
	assert(h->minor == f->minor && h->status == f->status);
	assert(h->keep_alive == f->keep_alive);
	assert(h->target.p == f->target.p && h->target.n == f->target.n);
}

static void check(struct str bytes, bool is_request)
{
	static struct http_head h;
	struct http_frame f;
	struct err e;
	size_t used = 0, end = 0, seen = 0, again = 0;
	int got = is_request
			  ? head_parse_request(bytes, &h, &used, &e)
			  : head_parse_response(bytes, HTTP_GET, &h, &used, &e);
	int found = frame_find(bytes, LIMIT_HEAD_BYTES, &seen, &end, &e);
	if (found) {
		assert(got != 0);
		return;
	}
	struct str head = str_head(bytes, end);
	/* The end does not depend on how the bytes came. */
	seen = 0;
	for (size_t i = 0; i < end; i++)
		assert(frame_find(str_head(bytes, i), LIMIT_HEAD_BYTES, &seen,
				  &again, &e) == FRAME_MORE);
	int framed = is_request ? frame_request(head, &f, &e)
				: frame_response(head, HTTP_GET, &f, &e);
	if (got == 0) {
		assert(framed == 0 && end == used);
		check_same(&h, &f);
	}
	if (framed == 0)
		assert(str_starts(head, "\r\n") ||
		       f.fields.p + f.fields.n + 2 == head.p + head.n);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	check((struct str){ (const char *)data, n }, true);
	check((struct str){ (const char *)data, n }, false);
	return 0;
}
