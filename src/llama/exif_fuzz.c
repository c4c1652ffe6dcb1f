#include "llama/exif.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	unsigned n = exif_orientation((struct str){ (const char *)data, size });
	assert(n >= 1 && n <= 8);
	return 0;
}
