/* guard.h - test inputs against a page that must not be read.
 *
 * guard_place() copies bytes to right before such a page, so that a parser
 * which looks one byte too far faults, with or without a sanitizer. */
#pragma once
#include "base/str.h"
#include <assert.h>
#include <sys/mman.h>

#define GUARD_BYTES ((size_t)1 << 20)
#define GUARD_PAGE ((size_t)65536) /* a multiple of every page size in use */

/* Valid until the next call. */
static inline struct str guard_place(struct str s)
{
	static char *end;
	if (!end) {
		char *map = mmap(NULL, GUARD_BYTES + GUARD_PAGE,
				 PROT_READ | PROT_WRITE,
				 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		assert(map != MAP_FAILED);
		end = map + GUARD_BYTES;
		int failed = mprotect(end, GUARD_PAGE, PROT_NONE);
		assert(!failed);
	}
	assert(s.n <= GUARD_BYTES);
	if (s.n)
		memcpy(end - s.n, s.p, s.n);
	return (struct str){ end - s.n, s.n };
}
