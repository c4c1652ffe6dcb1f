/* Any bytes: what is written in the end is a grammar again, and stays one. */
#include "llama/grammar.h"

#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	auto_buf struct buf once, twice;
	struct err e;
	buf_init(&once, 16u << 20);
	buf_init(&twice, 64u << 20);
	if (grammar_rewrite((struct str){ (const char *)data, n }, STR(""),
			    &once, &e))
		return 0;
	if (grammar_rewrite(buf_str(&once), STR(""), &twice, &e))
		abort();
	return 0;
}
