/* An index that is read writes the same text again and again. */
#include "oci/index.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct err e;
	auto_(index) x = NULL;
	auto_(index) again = NULL;
	auto_buf struct buf text, text2;
	buf_init(&text, SIZE_MAX / 2);
	buf_init(&text2, SIZE_MAX / 2);
	if (index_parse((struct str){ (const char *)p, n }, &x, &e))
		return 0;
	if (index_write(x, &text) || index_parse(buf_str(&text), &again, &e) ||
	    index_write(again, &text2) || strcmp(text.p, text2.p) != 0)
		abort();
	return 0;
}
