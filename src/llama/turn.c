#include "llama/turn.h"

#include "base/base.h"

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#define PIXEL 3
/* Of a picture on its side, what is a row here is a column there: in squares of
 * this side both stay in the processor's cache. */
#define TILE 64

/* The stored pixels as the eye shall have them: where the one at the top left
 * is, and how far away its neighbours are. */
struct view {
	const uint8_t *first;
	ptrdiff_t right, down;
	uint32_t width, height;
};

static struct view view_of(const struct pixels *p, unsigned orientation)
{
	static const bool from_right[] = { 0, 0, 1, 1, 0, 0, 0, 1, 1 };
	static const bool from_below[] = { 0, 0, 0, 1, 1, 0, 1, 1, 0 };
	ptrdiff_t column = PIXEL, row = PIXEL * (ptrdiff_t)p->width;
	const uint8_t *first = p->rgb;
	if (from_right[orientation]) {
		first += row - column;
		column = -column;
	}
	if (from_below[orientation]) {
		first += row * ((ptrdiff_t)p->height - 1);
		row = -row;
	}
	if (orientation < 5)
		return (struct view){ first, column, row, p->width, p->height };
	return (struct view){ first, row, column, p->height, p->width };
}

static void copy_tile(const struct view *v, uint32_t left, uint32_t top,
		      uint8_t *to)
{
	uint32_t right = MIN(left + TILE, v->width);
	uint32_t bottom = MIN(top + TILE, v->height);
	for (uint32_t y = top; y < bottom; y++) {
		const uint8_t *from = v->first + v->down * y + v->right * left;
		uint8_t *at = to + PIXEL * ((size_t)v->width * y + left);
		for (uint32_t x = left; x < right; x++) {
			memcpy(at, from, PIXEL);
			at += PIXEL;
			from += v->right;
		}
	}
}

void turn_upright(struct pixels *p, unsigned orientation)
{
	if (orientation < 2 || orientation > 8)
		return;
	struct view v = view_of(p, orientation);
	uint8_t *to = xcalloc((size_t)v.width * v.height, PIXEL);
	for (uint32_t y = 0; y < v.height; y += TILE)
		for (uint32_t x = 0; x < v.width; x += TILE)
			copy_tile(&v, x, y, to);
	free(p->rgb);
	*p = (struct pixels){ to, v.width, v.height };
}
