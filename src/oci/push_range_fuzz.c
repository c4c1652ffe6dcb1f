/* What is read must be what the same number, written anew, says. */
#include "oci/push_range.h"

#include <inttypes.h>
#include <stdio.h>

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	uint64_t bytes, again;
	char text[40];
	if (!push_range_parse((struct str){ (const char *)p, n }, &bytes))
		return 0;
	snprintf(text, sizeof text, "0-%" PRIu64, bytes ? bytes - 1 : 0);
	if (bytes != 1 &&
	    (!push_range_parse(str_of(text), &again) || again != bytes))
		abort();
	return 0;
}
