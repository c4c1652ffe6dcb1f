/* writer.h - JSON text under construction.
 *
 * It grows up to a ceiling; what would pass that is dropped, and is_full tells
 * so once, at the end, instead of at every call. */
#pragma once
#include "base/buf.h"

struct writer {
	struct buf buf;
	bool is_full;
};

/* `auto_writer struct writer w = WRITER(most);` for locals. */
#define WRITER(max_bytes) ((struct writer){ .buf = { .max = (max_bytes) } })
#define auto_writer __attribute__((cleanup(writer_fini)))
void writer_fini(struct writer *w);
void writer_clear(struct writer *w);

void writer_put(struct writer *w, const char *fmt, ...) printf_like(2, 3);
void writer_raw(struct writer *w, struct str s);
/* A JSON string with its quotes. */
void writer_json(struct writer *w, struct str s);

static inline struct str writer_str(const struct writer *w)
{
	return buf_str(&w->buf);
}
