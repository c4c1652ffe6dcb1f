#include "oci/gojson.h"

static bool is_line_separator(struct str s)
{
	return str_starts(s, "\xe2\x80\xa8") || str_starts(s, "\xe2\x80\xa9");
}

static int put_ascii(struct buf *out, char c)
{
	static const char from[] = "\"\\\b\f\n\r\t", to[] = "\"\\bfnrt";
	const char *hit = strchr(from, c);
	if (c && hit)
		return buf_printf(out, "\\%c", to[hit - from]);
	if ((unsigned char)c < 0x20 || strchr("<>&", c))
		return buf_printf(out, "\\u%04x", c);
	return buf_put(out, &c, 1);
}

static int put_sequence(struct buf *out, struct str s, size_t n)
{
	if (n == 0)
		return buf_puts(out, "\\ufffd");
	if (n == 1)
		return put_ascii(out, s.p[0]);
	if (is_line_separator(s))
		return buf_printf(out, "\\u202%c",
				  s.p[2] == '\xa8' ? '8' : '9');
	return buf_put(out, s.p, n);
}

int gojson_put(struct buf *out, const char *z)
{
	struct str s = str_of(z);
	if (buf_puts(out, "\""))
		return BUF_FULL;
	while (s.n) {
		size_t n = str_utf8(s);
		if (put_sequence(out, s, n))
			return BUF_FULL;
		s = str_tail(s, MAX(n, 1));
	}
	return buf_puts(out, "\"");
}
