/* A name that is taken must come back the same from its exact text. */
#include "oci/ref.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct ref r, again;
	struct err e;
	char text[REF_TEXT_BYTES], text2[REF_TEXT_BYTES];
	if (ref_parse((struct str){ (const char *)p, n }, NULL, &r, &e))
		return 0;
	if (!r.repository[0])
		return 0;
	ref_text(&r, text);
	if (ref_parse(str_of(text), NULL, &again, &e) ||
	    strcmp(text, ref_text(&again, text2)) != 0)
		abort();
	struct str familiar = ref_familiar(str_of(text), NULL);
	if (familiar.p < text || familiar.p + familiar.n > text + strlen(text))
		abort();
	return 0;
}
