/* str.h - a borrowed run of bytes: what parsers hand out instead of copies.
 *
 * A `struct str` owns nothing and need not end in NUL; it lives as long as the
 * bytes that it points into. */
#pragma once
#include "base/base.h"
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

struct str {
	const char *p;
	size_t n;
};

/* For printf: "%.*s", STR_ARG(s). */
#define STR_ARG(s) (int)(s).n, (s).p
/* A literal as a constant initialiser. */
#define STR(lit) ((struct str){ (lit), sizeof(lit) - 1 })

static inline struct str str_of(const char *z)
{
	return (struct str){ z, z ? strlen(z) : 0 };
}

static inline bool str_eq(struct str a, const char *z)
{
	size_t n = strlen(z);
	return a.n == n && memcmp(a.p, z, n) == 0;
}

/* ASCII case does not matter (header names, host names, schemes). */
bool str_eq_nocase(struct str a, const char *z);
bool str_starts(struct str a, const char *prefix);
bool str_ends(struct str a, const char *suffix);
/* The first n bytes, or all; and what comes after them. */
static inline struct str str_head(struct str a, size_t n)
{
	return (struct str){ a.p, MIN(n, a.n) };
}

static inline struct str str_tail(struct str a, size_t n)
{
	n = MIN(n, a.n);
	return (struct str){ n ? a.p + n : a.p, a.n - n };
}

/* Without spaces and tabs at either end. */
struct str str_trim(struct str a);
/* Index of the first / last `c`, or -1. */
ptrdiff_t str_find(struct str a, char c);
ptrdiff_t str_find_last(struct str a, char c);
/* Takes the next piece up to `sep` out of *rest; false when none is left.
 * "a,,b" gives "a", "", "b". */
bool str_split(struct str *rest, char sep, struct str *piece);
/* Decimal digits only: no sign, no space, no overflow. */
bool str_to_u64(struct str a, uint64_t *out);
/* A NUL-terminated copy; the caller frees it. */
char *str_dup(struct str a) must_use;
/* What a hex digit of either case stands for, or -1. */
int str_hex(char c);
/* How many bytes the character takes that `a`, which is not empty, begins with:
 * well-formed UTF-8 (RFC 3629), else 0. */
size_t str_utf8(struct str a);
/* Is all of it that? */
bool str_is_utf8(struct str a);
