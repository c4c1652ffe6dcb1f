/* Any pattern: a rewritten one is of plain ASCII, and small against it. */
#include "llama/pattern.h"

#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	auto_buf struct buf out;
	buf_init(&out, 1 << 20);
	if (pattern_rewrite((struct str){ (const char *)data, n }, &out))
		return 0;
	if (out.n > 1000 + n * 800 || out.p[0] != '^' ||
	    out.p[out.n - 1] != '$')
		abort();
	for (size_t i = 0; i < out.n; i++)
		if (out.p[i] < 0x20 || out.p[i] > 0x7e)
			abort();
	return 0;
}
