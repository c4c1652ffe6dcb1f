#include "base/str.h"

#include <strings.h>

bool str_eq_nocase(struct str a, const char *z)
{
	size_t n = strlen(z);
	return a.n == n && strncasecmp(a.p, z, n) == 0;
}

bool str_starts(struct str a, const char *prefix)
{
	size_t n = strlen(prefix);
	return a.n >= n && memcmp(a.p, prefix, n) == 0;
}

bool str_ends(struct str a, const char *suffix)
{
	size_t n = strlen(suffix);
	return a.n >= n && memcmp(a.p + a.n - n, suffix, n) == 0;
}

struct str str_trim(struct str a)
{
	while (a.n && (a.p[0] == ' ' || a.p[0] == '\t'))
		a = str_tail(a, 1);
	while (a.n && (a.p[a.n - 1] == ' ' || a.p[a.n - 1] == '\t'))
		a.n--;
	return a;
}

ptrdiff_t str_find(struct str a, char c)
{
	const char *hit = a.n ? memchr(a.p, c, a.n) : NULL;
	return hit ? hit - a.p : -1;
}

ptrdiff_t str_find_last(struct str a, char c)
{
	const char *hit = a.n ? memrchr(a.p, c, a.n) : NULL;
	return hit ? hit - a.p : -1;
}

bool str_split(struct str *rest, char sep, struct str *piece)
{
	if (!rest->p)
		return false;
	ptrdiff_t at = str_find(*rest, sep);
	if (at < 0) {
		*piece = *rest;
		*rest = (struct str){ NULL, 0 };
		return true;
	}
	*piece = str_head(*rest, (size_t)at);
	*rest = str_tail(*rest, (size_t)at + 1);
	return true;
}

bool str_to_u64(struct str a, uint64_t *out)
{
	uint64_t v = 0;
	if (!a.n)
		return false;
	for (size_t i = 0; i < a.n; i++) {
		if (a.p[i] < '0' || a.p[i] > '9')
			return false;
		uint64_t digit = (uint64_t)(a.p[i] - '0');
		if (v > (UINT64_MAX - digit) / 10)
			return false;
		v = v * 10 + digit;
	}
	*out = v;
	return true;
}

char *str_dup(struct str a)
{
	char *s = xcalloc(a.n + 1, 1);
	if (a.n)
		memcpy(s, a.p, a.n);
	return s;
}

int str_hex(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The bounds of the second byte exclude overlong forms, surrogates and what
 * lies beyond U+10FFFF (RFC 3629, section 4). */
size_t str_utf8(struct str a)
{
	const unsigned char *p = (const unsigned char *)a.p;
	unsigned char lo = 0x80, hi = 0xbf;
	size_t len;
	if (p[0] < 0x80)
		return 1;
	if (p[0] < 0xc2 || p[0] > 0xf4)
		return 0;
	len = p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : 4;
	if (p[0] == 0xe0)
		lo = 0xa0;
	else if (p[0] == 0xed)
		hi = 0x9f;
	else if (p[0] == 0xf0)
		lo = 0x90;
	else if (p[0] == 0xf4)
		hi = 0x8f;
	if (a.n < len || p[1] < lo || p[1] > hi)
		return 0;
	for (size_t i = 2; i < len; i++)
		if ((p[i] & 0xc0) != 0x80)
			return 0;
	return len;
}

bool str_is_utf8(struct str a)
{
	while (a.n) {
		size_t len = str_utf8(a);
		if (!len)
			return false;
		a = str_tail(a, len);
	}
	return true;
}
