#include "http/router.h"
#include "base/buf.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static const struct route rows[] = {
	{ .method = HTTP_GET, .pattern = "/" },
	{ .method = HTTP_GET, .pattern = "/a" },
	{ .method = HTTP_GET, .pattern = "/a/{x...}/b" },
	{ .method = HTTP_GET, .pattern = "/a/{x}/{y...}/b/{z}" },
	{ .method = HTTP_GET, .pattern = "/{x}/b/{y...}" },
	{ .method = HTTP_GET, .pattern = "/a/{x...}" },
};

/* The pattern with its parameters put back in is the path. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct str path = { (const char *)data, n };
	struct route_match m;
	int r = router_find(rows, ARRAY_LEN(rows), HTTP_GET, path, &m);
	assert(r == 0 || r == ROUTER_NO_PATH);
	if (r)
		return 0;
	auto_buf struct buf out;
	buf_init(&out, n);
	struct str pattern = str_of(m.route->pattern);
	for (size_t param = 0; pattern.n;) {
		if (pattern.p[0] != '{') {
			r = buf_put(&out, pattern.p, 1);
			pattern = str_tail(pattern, 1);
		} else {
			assert(m.params[param].n);
			r = buf_put(&out, m.params[param].p, m.params[param].n);
			param++;
			pattern = str_tail(pattern,
					   (size_t)str_find(pattern, '}') + 1);
		}
		assert(r == 0);
	}
	assert(out.n == n && !memcmp(out.p, data, n));
	return 0;
}
