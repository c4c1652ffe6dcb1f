#include "base/buf.h"

#include <assert.h>
#include <jansson.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

/* What buf_put_json() writes is JSON for the same text (as far as that is
 * UTF-8), and with too little room it leaves the buffer as it was. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct str text = { (const char *)data, n };
	auto_buf struct buf out, small;
	buf_init(&out, 6 * n + 2);
	if (buf_put_json(&out, text))
		abort();
	json_t *j = json_loadb(out.p, out.n, JSON_DECODE_ANY | JSON_ALLOW_NUL,
			       NULL);
	assert(json_is_string(j));
	if (str_is_utf8(text))
		assert(json_string_length(j) == n &&
		       !memcmp(json_string_value(j), data, n));
	json_decref(j);

	buf_init(&small, out.n + 2);
	if (buf_puts(&small, "abc"))
		abort();
	assert(buf_put_json(&small, text) == BUF_FULL);
	assert(small.n == 3 && !strcmp(small.p, "abc"));
	return 0;
}
