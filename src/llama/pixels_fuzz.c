#include "base/str.h"
#include "llama/pixels.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct pixels p = { 0 };
	struct err e;
	if (pixels_read((struct str){ (const char *)data, size }, &p, &e) == 0)
		pixels_fini(&p);
	return 0;
}
