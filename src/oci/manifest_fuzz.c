/* What is read can be written, and what was written reads the same. */
#include "oci/manifest.h"
#include "base/limits.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct err e;
	auto_(manifest) m = NULL;
	auto_(manifest) again = NULL;
	auto_buf struct buf text, text2;
	buf_init(&text, SIZE_MAX / 2);
	buf_init(&text2, SIZE_MAX / 2);
	if (manifest_parse((struct str){ (const char *)p, n }, &m, &e))
		return 0;
	for (size_t i = 0; i < m->n_layers; i++)
		manifest_layer_kind(&m->layers[i]);
	if (manifest_write(m, &text) ||
	    manifest_parse(buf_str(&text), &again, &e) ||
	    manifest_write(again, &text2) || strcmp(text.p, text2.p) != 0)
		abort();
	return 0;
}
