#include "base/str.h"

#include <assert.h>
#include <jansson.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void check_split(struct str s, char sep)
{
	struct str rest = s, piece = { NULL, 0 };
	size_t pieces = 0, bytes = 0, seps = 0;
	while (str_split(&rest, sep, &piece)) {
		pieces++;
		bytes += piece.n;
		assert(str_find(piece, sep) < 0);
	}
	for (size_t i = 0; i < s.n; i++)
		seps += s.p[i] == sep;
	assert(pieces == seps + 1 && bytes == s.n - seps);
}

static void check_number(struct str s)
{
	uint64_t v;
	char text[24];
	if (!str_to_u64(s, &v))
		return;
	while (s.n > 1 && s.p[0] == '0')
		s = str_tail(s, 1);
	snprintf(text, sizeof text, "%llu", (unsigned long long)v);
	assert(str_eq(s, text));
}

/* jansson has a UTF-8 decoder of its own. */
static void check_utf8(struct str s)
{
	json_t *j = json_stringn(s.p, s.n);
	assert(str_is_utf8(s) == (j != NULL));
	json_decref(j);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct str s = { n ? (const char *)data : "", n };
	check_split(s, ',');
	check_number(s);
	check_utf8(s);
	struct str trimmed = str_trim(s);
	assert(trimmed.n <= n);
	return 0;
}
