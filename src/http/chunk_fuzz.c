#include "http/chunk.h"
#include "base/buf.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

struct outcome {
	int r;
	size_t left;
	struct buf body;
};

static void feed(struct str bytes, size_t step, struct outcome *o)
{
	struct chunk_decoder d;
	struct err e;
	chunk_decoder_init(&d);
	buf_init(&o->body, bytes.n);
	o->r = CHUNK_MORE;
	while (bytes.n && o->r == CHUNK_MORE) {
		struct str in = str_head(bytes, step), piece;
		size_t had = in.n;
		do {
			o->r = chunk_decode(&d, &in, &piece, &e);
			if (o->r >= 0 && buf_put(&o->body, piece.p, piece.n))
				abort();
		} while (o->r == 0);
		bytes = str_tail(bytes, had - in.n);
	}
	o->left = bytes.n;
}

/* Cutting the input must not change what comes out. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct str bytes = { (const char *)data, n };
	struct outcome whole, cut;
	feed(bytes, n, &whole);
	for (size_t step = 1; step <= 3; step++) {
		feed(bytes, step, &cut);
		assert(cut.r == whole.r);
		if (whole.r != -1)
			assert(cut.left == whole.left &&
			       cut.body.n == whole.body.n &&
			       !memcmp(buf_str(&cut.body).p,
				       buf_str(&whole.body).p, cut.body.n));
		buf_fini(&cut.body);
	}
	buf_fini(&whole.body);
	return 0;
}
