/* config.json and what a helper prints, of any bytes. */
#include "oci/credentials.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct str text = { (const char *)p, n };
	struct credentials c;
	char *helper;
	credentials_parse_config(text, "r:5000", &helper, &c);
	if (helper && strchr(helper, '/'))
		abort();
	if ((c.user != NULL) != (c.secret != NULL))
		abort();
	free(helper);
	credentials_fini(&c);
	credentials_parse_helper(text, &c);
	credentials_fini(&c);
	return 0;
}
