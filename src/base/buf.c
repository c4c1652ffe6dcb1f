#include "base/buf.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

void buf_init(struct buf *b, size_t max_bytes)
{
	/* No object is larger, and one byte more still adds up. */
	*b = (struct buf){ .max = MIN(max_bytes, (size_t)PTRDIFF_MAX - 1) };
}

void buf_fini(struct buf *b)
{
	buf_release(b);
}

static int reserve(struct buf *b, size_t more)
{
	if (more > b->max - b->n)
		return BUF_FULL;
	size_t need = b->n + more + 1;
	if (need <= b->cap)
		return 0;
	size_t cap = b->cap ? b->cap : 128;
	while (cap < need)
		cap = cap > SIZE_MAX / 2 ? need : cap * 2;
	if (cap > b->max + 1)
		cap = b->max + 1;
	b->p = xrealloc(b->p, cap);
	b->cap = cap;
	return 0;
}

int buf_put(struct buf *b, const void *p, size_t n)
{
	if (reserve(b, n))
		return BUF_FULL;
	if (n)
		memcpy(b->p + b->n, p, n);
	b->n += n;
	b->p[b->n] = '\0';
	return 0;
}

int buf_read(struct buf *b, int fd)
{
	char piece[4096];
	ssize_t n;
	while ((n = read(fd, piece, sizeof piece)) != 0) {
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -1;
		if (buf_put(b, piece, (size_t)n))
			return BUF_FULL;
	}
	return 0;
}

int buf_puts(struct buf *b, const char *z)
{
	return buf_put(b, z, strlen(z));
}

int buf_printf(struct buf *b, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	int n = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	if (n < 0 || reserve(b, (size_t)n))
		return BUF_FULL;
	va_start(ap, fmt);
	vsnprintf(b->p + b->n, (size_t)n + 1, fmt, ap);
	va_end(ap);
	b->n += (size_t)n;
	return 0;
}

static int put_escape(struct buf *b, unsigned char c)
{
	switch (c) {
	case '"':
		return buf_puts(b, "\\\"");
	case '\\':
		return buf_puts(b, "\\\\");
	case '\n':
		return buf_puts(b, "\\n");
	case '\r':
		return buf_puts(b, "\\r");
	case '\t':
		return buf_puts(b, "\\t");
	default:
		return buf_printf(b, "\\u%04x", c);
	}
}

/* How many bytes from p on can stand in a JSON string as they are. */
static size_t plain(struct str s)
{
	size_t i = 0;
	while (i < s.n && (unsigned char)s.p[i] >= 0x20 && s.p[i] != '"' &&
	       s.p[i] != '\\' && (unsigned char)s.p[i] < 0x7f)
		i++;
	return i;
}

int buf_put_json(struct buf *b, struct str s)
{
	size_t was = b->n;
	int full = buf_put(b, "\"", 1);
	while (s.n && !full) {
		size_t n = plain(s);
		if (n) {
			full = buf_put(b, s.p, n);
			s = str_tail(s, n);
			continue;
		}
		n = str_utf8(s);
		if (n == 1)
			full = put_escape(b, (unsigned char)s.p[0]);
		else if (n)
			full = buf_put(b, s.p, n);
		else
			full = buf_puts(b, "\xef\xbf\xbd");
		s = str_tail(s, MAX(n, (size_t)1));
	}
	if (!full)
		full = buf_put(b, "\"", 1);
	if (full)
		buf_cut(b, was);
	return full;
}

void buf_drop(struct buf *b, size_t n)
{
	if (!n)
		return;
	memmove(b->p, b->p + n, b->n - n);
	b->n -= n;
	b->p[b->n] = '\0';
}

void buf_cut(struct buf *b, size_t n)
{
	b->n = MIN(n, b->n);
	if (b->p)
		b->p[b->n] = '\0';
}

void buf_clear(struct buf *b)
{
	buf_cut(b, 0);
}

void buf_release(struct buf *b)
{
	free(b->p);
	b->p = NULL;
	b->n = b->cap = 0;
}

char *buf_take(struct buf *b)
{
	char *s = b->p ? b->p : xstrdup("");
	b->p = NULL;
	b->n = b->cap = 0;
	return s;
}
