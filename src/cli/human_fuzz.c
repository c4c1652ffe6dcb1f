#include "cli/human.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct str text = { (const char *)data, n };
	char out[HUMAN_BYTES];
	int64_t seconds;
	if (human_parse_duration(text, &seconds))
		human_duration(seconds, out);
	if (human_parse_time(text, &seconds))
		human_duration(seconds, out);
	return 0;
}
