/* arena.h - memory that dies all at once, with the exchange that it serves.
 *
 * Nothing taken from an arena is freed by hand, and nothing in it is kept
 * beyond its owner. Growth is bounded by what feeds it (limits.h). */
#pragma once
#include "base/str.h"

struct arena {
	struct arena_block *blocks; /* newest first */
};

void arena_init(struct arena *a);
void arena_fini(struct arena *a);

/* Zeroed, aligned for any type. */
void *arena_alloc(struct arena *a, size_t n) must_use;
/* A NUL-terminated copy. */
char *arena_str(struct arena *a, struct str s) must_use;
char *arena_printf(struct arena *a, const char *fmt, ...) must_use
	printf_like(2, 3);
