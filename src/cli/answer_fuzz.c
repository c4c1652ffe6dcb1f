#include "cli/answer.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

#define MAX_BYTES 100000

static void show(struct str text)
{
	assert(str_is_utf8(text));
}

static int feed(struct answer *a, struct str bytes, size_t step)
{
	struct err e;
	for (; bytes.n; bytes = str_tail(bytes, step))
		if (answer_feed(a, str_head(bytes, step), &e))
			return -1;
	return answer_end(a, &e);
}

/* Cutting the stream must not change the answer. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct str bytes = { (const char *)data, n };
	struct answer whole, cut;
	if (n > MAX_BYTES)
		return -1;
	answer_init(&whole, show);
	answer_init(&cut, show);
	int a = feed(&whole, bytes, MAX_BYTES), b = feed(&cut, bytes, 3);
	assert(a == b);
	assert(whole.text.n == cut.text.n &&
	       !memcmp(buf_str(&whole.text).p, buf_str(&cut.text).p,
		       cut.text.n));
	answer_fini(&whole);
	answer_fini(&cut);
	return 0;
}
