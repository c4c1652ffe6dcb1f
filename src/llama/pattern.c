#include "llama/pattern.h"

#include <stdlib.h>

#define MOST_RANGES 64
#define MOST_DEPTH 50
#define MOST_TIMES 1000
#define LAST_CODE 0x10ffff

struct range {
	uint32_t first, last;
};

struct set {
	struct range r[MOST_RANGES];
	size_t n;
};

struct reader {
	struct str rest;
	struct buf *out;
	size_t depth;
};

static int alternatives(struct reader *r, bool is_top);

/* ---- sets of characters ---- */

static int set_add(struct set *s, uint32_t first, uint32_t last)
{
	if (first > last || s->n == MOST_RANGES)
		return -1;
	s->r[s->n++] = (struct range){ first, last };
	return 0;
}

static int set_drop(struct set *s, uint32_t first, uint32_t last)
{
	struct set left = { .n = 0 };
	for (size_t i = 0; i < s->n; i++) {
		struct range a = s->r[i];
		if (a.last < first || a.first > last) {
			if (set_add(&left, a.first, a.last))
				return -1;
			continue;
		}
		if ((a.first < first && set_add(&left, a.first, first - 1)) ||
		    (a.last > last && set_add(&left, last + 1, a.last)))
			return -1;
	}
	*s = left;
	return 0;
}

static int set_invert(struct set *s)
{
	struct set all = { .r = { { 0, LAST_CODE } }, .n = 1 };
	for (size_t i = 0; i < s->n; i++)
		if (set_drop(&all, s->r[i].first, s->r[i].last))
			return -1;
	*s = all;
	return 0;
}

/* What a JSON string holds only as an escape, and halves of characters. */
static int set_clean(struct set *s)
{
	return set_drop(s, 0, 0x1f) || set_drop(s, '"', '"') ||
			       set_drop(s, '\\', '\\') ||
			       set_drop(s, 0x7f, 0x7f) ||
			       set_drop(s, 0xd800, 0xdfff) || !s->n
		       ? -1
		       : 0;
}

static int add_spaces(struct set *s)
{
	static const struct range spaces[] = {
		{ 0x9, 0xd },	    { 0x1c, 0x20 },	{ 0x85, 0x85 },
		{ 0xa0, 0xa0 },	    { 0x1680, 0x1680 }, { 0x2000, 0x200a },
		{ 0x2028, 0x2029 }, { 0x202f, 0x202f }, { 0x205f, 0x205f },
		{ 0x3000, 0x3000 }, { 0xfeff, 0xfeff },
	};
	for (size_t i = 0; i < ARRAY_LEN(spaces); i++)
		if (set_add(s, spaces[i].first, spaces[i].last))
			return -1;
	return 0;
}

/* \d, \w and \s, and what is not those. Validators disagree about characters
 * behind ASCII; what they all agree about is made. */
static int add_kind(struct set *s, char kind)
{
	struct set own = { .n = 0 };
	if (((kind | 32) == 'd' && set_add(&own, '0', '9')) ||
	    ((kind | 32) == 's' &&
	     (kind == 's' ? set_add(&own, ' ', ' ') : add_spaces(&own))) ||
	    ((kind | 32) == 'w' &&
	     (set_add(&own, '0', '9') || set_add(&own, 'A', 'Z') ||
	      set_add(&own, '_', '_') || set_add(&own, 'a', 'z'))))
		return -1;
	if (kind < 'a' && (set_invert(&own) ||
			   (kind != 'S' && set_drop(&own, 0x80, LAST_CODE))))
		return -1;
	for (size_t i = 0; i < own.n; i++)
		if (set_add(s, own.r[i].first, own.r[i].last))
			return -1;
	return 0;
}

/* ---- reading ---- */

static bool take(struct reader *r, char c)
{
	if (!r->rest.n || r->rest.p[0] != c)
		return false;
	r->rest = str_tail(r->rest, 1);
	return true;
}

/* One character; the pattern is UTF-8. */
static int read_code(struct reader *r, uint32_t *out)
{
	const unsigned char *p = (const unsigned char *)r->rest.p;
	if (!r->rest.n)
		return -1;
	size_t n = p[0] < 0x80 ? 1 : p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : 4;
	uint32_t code = n == 1 ? p[0] : p[0] & (0x7fu >> n);
	if (r->rest.n < n)
		return -1;
	for (size_t i = 1; i < n; i++)
		code = code << 6 | (p[i] & 0x3fu);
	r->rest = str_tail(r->rest, n);
	*out = code;
	return 0;
}

static int read_hex(struct reader *r, size_t n, uint32_t *out)
{
	char digits[5] = { 0 }, *end;
	if (r->rest.n < n)
		return -1;
	memcpy(digits, r->rest.p, n);
	r->rest = str_tail(r->rest, n);
	*out = (uint32_t)strtoul(digits, &end, 16);
	return end == digits + n && digits[0] != '-' && digits[0] != '+' ? 0
									 : -1;
}

/* What stands for one character behind a backslash. */
static int read_escape(struct reader *r, uint32_t *out)
{
	static const char names[] = "tnrfv", codes[] = "\t\n\r\f\v";
	uint32_t c;
	const char *at;
	if (read_code(r, &c))
		return -1;
	*out = c;
	if (c == 'x' || c == 'u')
		return read_hex(r, c == 'x' ? 2 : 4, out);
	if (c < 0x80 && c && (at = strchr(names, (int)c))) {
		*out = (unsigned char)codes[at - names];
		return 0;
	}
	bool is_word = (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') ||
		       (c >= 'a' && c <= 'z');
	return is_word || c >= 0x80 ? -1 : 0;
}

static char kind_ahead(const struct reader *r)
{
	return r->rest.n > 1 && r->rest.p[0] == '\\' && r->rest.p[1] &&
			       strchr("dDwWsS", r->rest.p[1])
		       ? r->rest.p[1]
		       : '\0';
}

static int read_member(struct reader *r, struct set *s)
{
	uint32_t first, last;
	char kind = kind_ahead(r);
	if (kind) {
		r->rest = str_tail(r->rest, 2);
		return add_kind(s, kind);
	}
	bool is_escape = take(r, '\\');
	if (is_escape ? read_escape(r, &first) : read_code(r, &first))
		return -1;
	last = first;
	if (r->rest.n > 1 && r->rest.p[0] == '-' && r->rest.p[1] != ']') {
		r->rest = str_tail(r->rest, 1);
		if (kind_ahead(r) || (take(r, '\\') ? read_escape(r, &last)
						    : read_code(r, &last)))
			return -1;
	}
	/* "[[:alpha:]]" and the like mean other things elsewhere. */
	return first == '[' && !is_escape ? -1 : set_add(s, first, last);
}

/* ---- writing ---- */

static int put_set(struct reader *r, struct set *s)
{
	if (set_clean(s) || buf_puts(r->out, "["))
		return -1;
	for (size_t i = 0; i < s->n; i++) {
		struct range a = s->r[i];
		if (buf_printf(r->out, "\\U%08X", a.first) ||
		    (a.last > a.first &&
		     buf_printf(r->out, "-\\U%08X", a.last)))
			return -1;
	}
	return buf_puts(r->out, "]");
}

static int put_any(struct reader *r)
{
	struct set s = { .n = 0 };
	if (set_add(&s, '\n', '\n') || set_add(&s, '\r', '\r') ||
	    set_add(&s, 0x85, 0x85) || set_add(&s, 0x2028, 0x2029) ||
	    set_invert(&s))
		return -1;
	return put_set(r, &s);
}

static int put_code(struct reader *r, uint32_t code)
{
	struct set s = { .r = { { code, code } }, .n = 1 };
	switch (code) {
	case '"':
		return buf_puts(r->out, "(\\\\\")");
	case '\\':
		return buf_puts(r->out, "(\\\\\\\\)");
	case '\n':
		return buf_puts(r->out, "(\\\\n)");
	case '\r':
		return buf_puts(r->out, "(\\\\r)");
	case '\t':
		return buf_puts(r->out, "(\\\\t)");
	default:
		return put_set(r, &s);
	}
}

/* ---- the language ---- */

static int class(struct reader *r)
{
	struct set s = { .n = 0 };
	bool is_not = take(r, '^');
	while (!take(r, ']'))
		if (!r->rest.n || read_member(r, &s))
			return -1;
	if (is_not && set_invert(&s))
		return -1;
	return put_set(r, &s);
}

static int group(struct reader *r)
{
	if (take(r, '?') && !take(r, ':'))
		return -1;
	if (buf_puts(r->out, "(") || alternatives(r, false) || !take(r, ')'))
		return -1;
	return buf_puts(r->out, ")");
}

static int atom(struct reader *r)
{
	struct set s = { .n = 0 };
	uint32_t code;
	char kind = kind_ahead(r);
	if (kind) {
		r->rest = str_tail(r->rest, 2);
		return add_kind(&s, kind) ? -1 : put_set(r, &s);
	}
	if (take(r, '\\'))
		return read_escape(r, &code) ? -1 : put_code(r, code);
	if (take(r, '.'))
		return put_any(r);
	if (take(r, '['))
		return class(r);
	if (take(r, '('))
		return group(r);
	if (strchr("^$*+?{})", r->rest.p[0]) || read_code(r, &code))
		return -1;
	return put_code(r, code);
}

static int number(struct reader *r, unsigned *out)
{
	size_t n = 0;
	*out = 0;
	while (n < r->rest.n && r->rest.p[n] >= '0' && r->rest.p[n] <= '9' &&
	       *out <= MOST_TIMES)
		*out = *out * 10 + (unsigned)(r->rest.p[n++] - '0');
	r->rest = str_tail(r->rest, n);
	return n && *out <= MOST_TIMES ? 0 : -1;
}

static int times(struct reader *r)
{
	unsigned least, most;
	if (number(r, &least))
		return -1;
	if (take(r, '}'))
		return buf_printf(r->out, "{%u}", least);
	if (!take(r, ','))
		return -1;
	if (take(r, '}'))
		return buf_printf(r->out, "{%u,}", least);
	/* llama.cpp counts from the one up to the other, whatever they are. */
	if (number(r, &most) || !take(r, '}') || most < least)
		return -1;
	return buf_printf(r->out, "{%u,%u}", least, most);
}

static int repetition(struct reader *r)
{
	static const char marks[] = "*+?";
	int failed = 0;
	for (size_t i = 0; marks[i]; i++)
		if (take(r, marks[i])) {
			char mark[] = { marks[i], '\0' };
			failed = buf_puts(r->out, mark);
			take(r, '?'); /* lazy: it matches the same */
			return failed;
		}
	if (!take(r, '{'))
		return 0;
	failed = times(r);
	take(r, '?');
	return failed;
}

static bool is_at_end(const struct reader *r, bool is_top)
{
	return !r->rest.n || r->rest.p[0] == '|' ||
	       (!is_top && r->rest.p[0] == ')') ||
	       (is_top && r->rest.p[0] == '$' &&
		(r->rest.n == 1 || r->rest.p[1] == '|'));
}

/* A pattern matches anywhere, unless it says where. */
static int alternative(struct reader *r, bool is_top)
{
	if (is_top && !take(r, '^') && (put_any(r) || buf_puts(r->out, "*")))
		return -1;
	while (!is_at_end(r, is_top))
		if (atom(r) || repetition(r))
			return -1;
	if (is_top && !take(r, '$') && (put_any(r) || buf_puts(r->out, "*")))
		return -1;
	return 0;
}

static int alternatives(struct reader *r, bool is_top)
{
	if (r->depth++ == MOST_DEPTH)
		return -1;
	do {
		if (alternative(r, is_top))
			return -1;
	} while (take(r, '|') && buf_puts(r->out, "|") == 0);
	r->depth--;
	return 0;
}

int pattern_rewrite(struct str pattern, struct buf *out)
{
	struct reader r = { .rest = pattern, .out = out };
	if (buf_puts(out, "^(") || alternatives(&r, true) || r.rest.n)
		return -1;
	return buf_puts(out, ")$");
}
