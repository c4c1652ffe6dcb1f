#include "llama/writer.h"

#include <stdarg.h>
#include <stdio.h>

void writer_fini(struct writer *w)
{
	buf_fini(&w->buf);
}

void writer_clear(struct writer *w)
{
	w->is_full = false;
	buf_clear(&w->buf);
}

void writer_raw(struct writer *w, struct str s)
{
	if (buf_put(&w->buf, s.p, s.n))
		w->is_full = true;
}

void writer_json(struct writer *w, struct str s)
{
	if (buf_put_json(&w->buf, s))
		w->is_full = true;
}

void writer_put(struct writer *w, const char *fmt, ...)
{
	char text[512];
	va_list ap;
	va_start(ap, fmt);
	int n = vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	/* Formats are for numbers and short words; strings of clients go
	 * through writer_json(). */
	if (n < 0 || (size_t)n >= sizeof text)
		w->is_full = true;
	else
		writer_raw(w, (struct str){ text, (size_t)n });
}
