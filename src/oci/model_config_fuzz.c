/* Any config that is read can be written in Docker's form and read again. */
#include "oci/model_config.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct err e;
	auto_(model_config) c = NULL;
	auto_(model_config) again = NULL;
	auto_buf struct buf text;
	buf_init(&text, SIZE_MAX / 2);
	if (model_config_parse((struct str){ (const char *)p, n }, &c, &e))
		return 0;
	model_config_find(c, "general.architecture");
	if (model_config_write(c, &text) ||
	    model_config_parse(buf_str(&text), &again, &e))
		abort();
	return 0;
}
