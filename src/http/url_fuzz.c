#include "http/url.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

/* A path is clean text below the root, whatever the target was. */
static void check_path(struct str path)
{
	struct str rest = str_tail(path, 1), segment;
	assert(str_starts(path, "/") && str_is_utf8(path));
	assert(!memchr(path.p, '\0', path.n) && path.p[path.n] == '\0');
	while (path.n > 1 && str_split(&rest, '/', &segment))
		assert(segment.n && !str_eq(segment, ".") &&
		       !str_eq(segment, ".."));
}

static void check_target(struct str text)
{
	struct arena a;
	struct url_target t;
	struct err e;
	struct str value;
	bool on;
	arena_init(&a);
	if (url_parse_target(text, &a, &t, &e) == 0 && !str_eq(text, "*"))
		check_path(t.path);
	if (url_query_get(text, "a", &a, &value))
		assert(str_is_utf8(value) && value.p[value.n] == '\0');
	if (url_query_bool(text, "a", false, &a, &on, &e))
		assert(str_of(e.param).n == 1);
	arena_fini(&a);
}

static void check_base(struct str text)
{
	auto_free char *z = str_dup(text);
	struct url_base b;
	struct err e;
	if (url_parse_base(z, &b, &e))
		return;
	assert(b.address[0] && b.host[0]);
	assert(!b.prefix[0] || b.prefix[0] == '/');
	assert(!str_ends(str_of(b.prefix), "/"));
	assert(url_is_authority(str_of(b.host)));
	if (!str_starts(str_of(b.address), "unix:"))
		assert(url_is_authority(str_of(b.address)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct str text = { (const char *)data, n };
	check_target(text);
	check_base(text);
	return 0;
}
