#include "http/sse.h"

#include <assert.h>

int sse_put(struct buf *out, struct str text)
{
	assert(str_find(text, '\n') < 0 && str_find(text, '\r') < 0);
	size_t was = out->n;
	if (!buf_puts(out, "data: ") && !buf_put(out, text.p, text.n) &&
	    !buf_puts(out, "\n\n"))
		return 0;
	buf_cut(out, was);
	return BUF_FULL;
}

int sse_put_comment(struct buf *out, const char *text)
{
	assert(!strpbrk(text, "\r\n"));
	return buf_printf(out, ": %s\n\n", text);
}

void sse_decoder_init(struct sse_decoder *d, size_t max_event_bytes)
{
	*d = (struct sse_decoder){ .at_start = true };
	buf_init(&d->line, max_event_bytes);
	buf_init(&d->data, max_event_bytes);
}

void sse_decoder_fini(struct sse_decoder *d)
{
	buf_fini(&d->line);
	buf_fini(&d->data);
}

static int too_large(const struct sse_decoder *d, struct err *e)
{
	return err_set(e, ERR_ENGINE,
		       "an event of the stream is larger than %zu bytes",
		       d->data.max);
}

static void dispatch(struct sse_decoder *d, sse_event_fn fn, void *ctx)
{
	if (d->has_data)
		fn(ctx, buf_str(&d->data));
	d->has_data = false;
	buf_clear(&d->data);
}

/* Only `data` matters to us; event, id and retry are skipped, as are comments,
 * whose field name is empty. */
static int take_line(struct sse_decoder *d, struct str line, sse_event_fn fn,
		     void *ctx, struct err *e)
{
	if (d->at_start && str_starts(line, "\xef\xbb\xbf"))
		line = str_tail(line, 3);
	d->at_start = false;
	if (!line.n) {
		dispatch(d, fn, ctx);
		return 0;
	}
	if (!str_eq(line, "data") && !str_starts(line, "data:"))
		return 0;
	struct str value = str_tail(line, strlen("data:"));
	if (str_starts(value, " "))
		value = str_tail(value, 1);
	if (d->has_data && buf_puts(&d->data, "\n"))
		return too_large(d, e);
	d->has_data = true;
	if (buf_put(&d->data, value.p, value.n))
		return too_large(d, e);
	return 0;
}

int sse_decode(struct sse_decoder *d, struct str bytes, sse_event_fn fn,
	       void *ctx, struct err *e)
{
	while (bytes.n) {
		if (d->after_cr && bytes.p[0] == '\n')
			bytes = str_tail(bytes, 1);
		d->after_cr = false;
		size_t n = 0;
		while (n < bytes.n && bytes.p[n] != '\n' && bytes.p[n] != '\r')
			n++;
		struct str line = str_head(bytes, n);
		bool is_whole = n < bytes.n;
		/* A line that lies in one piece is not copied. */
		if (!is_whole || d->line.n) {
			if (buf_put(&d->line, line.p, line.n))
				return too_large(d, e);
			line = buf_str(&d->line);
		}
		if (!is_whole)
			return 0;
		d->after_cr = bytes.p[n] == '\r';
		bytes = str_tail(bytes, n + 1);
		if (take_line(d, line, fn, ctx, e))
			return -1;
		buf_clear(&d->line);
	}
	return 0;
}
