#include "base/arena.h"

#include <stdalign.h>
#include <stdarg.h>
#include <stdio.h>

struct arena_block {
	struct arena_block *next;
	size_t used;
	size_t cap;
	alignas(max_align_t) char mem[];
};

void arena_init(struct arena *a)
{
	a->blocks = NULL;
}

void arena_fini(struct arena *a)
{
	while (a->blocks) {
		struct arena_block *b = a->blocks;
		a->blocks = b->next;
		free(b);
	}
}

void *arena_alloc(struct arena *a, size_t n)
{
	const size_t align = alignof(max_align_t);
	n = (n + align - 1) & ~(align - 1);
	struct arena_block *b = a->blocks;
	if (!b || b->cap - b->used < n) {
		size_t cap = MAX(n, (size_t)1000);
		b = xrealloc(NULL, sizeof *b + cap);
		b->next = a->blocks;
		b->used = 0;
		b->cap = cap;
		a->blocks = b;
	}
	void *p = b->mem + b->used;
	b->used += n;
	return memset(p, 0, n);
}

char *arena_str(struct arena *a, struct str s)
{
	char *z = arena_alloc(a, s.n + 1);
	if (s.n)
		memcpy(z, s.p, s.n);
	return z;
}

char *arena_printf(struct arena *a, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	int n = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	char *z = arena_alloc(a, (size_t)n + 1);
	va_start(ap, fmt);
	vsnprintf(z, (size_t)n + 1, fmt, ap);
	va_end(ap);
	return z;
}
