/* intern.h - pieces of bytes, each kept once and known by its number.
 *
 * Equal pieces have equal numbers, from 0 in the order in which they came.
 * There is a ceiling to all bytes together: past it nothing is kept any more,
 * is_full says so, and the number is that of the first piece. */
#pragma once
#include "base/base.h"
#include <stdbool.h>
#include <stdint.h>

struct intern_piece {
	size_t at, n;
};

struct intern {
	char *bytes;		  /* owned; each piece aligned for uint32_t */
	struct intern_piece *all; /* owned */
	uint32_t *slots;	  /* owned; a hash table of numbers + 1 */
	size_t n, cap, n_bytes, cap_bytes, n_slots, max_bytes;
	bool is_full;
};

void intern_init(struct intern *t, size_t max_bytes);
void intern_fini(struct intern *t);
uint32_t intern_put(struct intern *t, const void *p, size_t n);
/* The piece, borrowed until the next intern_put(). */
const void *intern_get(const struct intern *t, uint32_t number, size_t *n);
