#include "http/sse.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

#define MAX_EVENT 100000

static void on_event(void *ctx, struct str data)
{
	struct buf *out = ctx;
	if (buf_put(out, data.p, data.n) || buf_put(out, "", 1))
		abort();
}

static void feed(struct str bytes, size_t step, struct buf *out)
{
	struct sse_decoder d;
	struct err e;
	sse_decoder_init(&d, MAX_EVENT);
	for (; bytes.n; bytes = str_tail(bytes, step)) {
		int r = sse_decode(&d, str_head(bytes, step), on_event, out,
				   &e);
		assert(r == 0);
	}
	sse_decoder_fini(&d);
}

/* Cutting the stream must not change the events. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct str bytes = { (const char *)data, n };
	if (n > MAX_EVENT)
		return -1;
	for (size_t step = 1; step <= 3; step++) {
		auto_buf struct buf whole, cut;
		buf_init(&whole, n * 2);
		buf_init(&cut, n * 2);
		feed(bytes, n, &whole);
		feed(bytes, step, &cut);
		assert(whole.n == cut.n &&
		       !memcmp(buf_str(&whole).p, buf_str(&cut).p, cut.n));
	}
	return 0;
}
