/* buf.h - bytes that grow, up to a ceiling.
 *
 * Whoever makes a buffer names its ceiling; an append that would pass it
 * changes nothing and gives BUF_FULL. There is always a NUL after the last
 * byte, so `b.p` reads as a C string when no NUL was put in. */
#pragma once
#include "base/str.h"

struct buf {
	char *p; /* owned; NULL until the first append */
	size_t n;
	size_t cap;
	size_t max;
};

enum buf_outcome { BUF_FULL = 1 };

void buf_init(struct buf *b, size_t max_bytes);
void buf_fini(struct buf *b);
/* For locals: `auto_buf struct buf b; buf_init(&b, ...)`. */
#define auto_buf __attribute__((cleanup(buf_fini)))

int buf_put(struct buf *b, const void *p, size_t n) must_use;
/* Appends what can be read from `fd` until its end. BUF_FULL: there is more,
 * and what fitted stays. -1: errno says why. */
int buf_read(struct buf *b, int fd) must_use;
int buf_puts(struct buf *b, const char *z) must_use;
int buf_printf(struct buf *b, const char *fmt, ...) must_use printf_like(2, 3);
/* A JSON string of these bytes with its quotes; bytes that are not UTF-8
 * become U+FFFD. */
int buf_put_json(struct buf *b, struct str s) must_use;
/* Drops the first n bytes. */
void buf_drop(struct buf *b, size_t n);
/* Keeps only the first n bytes. */
void buf_cut(struct buf *b, size_t n);
/* Empties it and keeps its memory, or gives the memory back. */
void buf_clear(struct buf *b);
void buf_release(struct buf *b);
/* The bytes as a C string, now the caller's; the buffer is empty after. */
char *buf_take(struct buf *b) must_use;

static inline struct str buf_str(const struct buf *b)
{
	return (struct str){ b->p ? b->p : "", b->n };
}
