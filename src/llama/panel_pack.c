#include "llama/panel_half.h"
#include "llama/panel_shape.h"

#include <stdbool.h>
#include <string.h>

/* A block of one row, as ggml has it: where its bits lie. */
struct source {
	const uint8_t *nibbles; /* of the first and of the second half: */
	size_t to_second;
	unsigned shift, second_shift;
	const uint8_t *more; /* fifth and sixth bits */
	unsigned more_shift; /* with them in bytes */
};

INLINE uint32_t word(const uint8_t *from)
{
	uint32_t w;
	memcpy(&w, from, sizeof w);
	return w;
}

/* Four bits, each the lowest of a byte. */
INLINE uint32_t spread(uint32_t bits)
{
	return (bits & 15) * 0x00204081 & 0x01010101;
}

/* The q of a group. */
INLINE uint32_t group(const struct panel_shape *s, const struct source *from,
		      size_t g)
{
	bool second = g >= PANEL_GROUPS / 2;
	const uint8_t *at = from->nibbles + 4 * (g % (PANEL_GROUPS / 2));
	uint32_t q = second ? word(at + from->to_second) >> from->second_shift
			    : word(at) >> from->shift;
	q &= 0x0f0f0f0f;
	if (s->bits == 5 && s->n_blocks == 1)
		return q | spread(word(from->more) >> 4 * g) << 4;
	if (s->bits == 4)
		return q;
	uint32_t mask = s->bits == 5 ? 0x01010101 : 0x03030303;
	return q | (word(from->more + 4 * g) >> from->more_shift & mask) << 4;
}

INLINE void pack_block(const struct panel_shape *s, const struct source *from,
		       size_t row, uint8_t *to)
{
	const unsigned n_rest = 2 * (unsigned)s->bits - 8;
	uint32_t rest[2] = { 0, 0 };
	to += 4 * row;
	if (s->bits == 8) {
		for (size_t g = 0; g < PANEL_GROUPS; g++) {
			/* ggml's q is from -128 */
			uint32_t four =
				word(from->nibbles + 4 * g) ^ 0x80808080;
			memcpy(to + 64 * g, &four, 4);
		}
		return;
	}
	for (size_t g = 0; g < PANEL_GROUPS / 2; g++) {
		uint32_t second = group(s, from, g + PANEL_GROUPS / 2);
		uint32_t low = second & 0x01010101 * ((1U << n_rest) - 1);
		uint32_t four = group(s, from, g) | (second - low)
							    << (8 - s->bits);
		memcpy(to + 64 * g, &four, 4);
		if (s->bits == 5)
			rest[0] |= low << 2 * g;
		else
			rest[g / 2] |= low << 4 * (g % 2);
	}
	for (size_t i = 0; i < n_rest / 2; i++)
		memcpy(to + PANEL_AT_REST + 64 * i, &rest[i], 4);
}

/* ggml's row of blocks: d, m, fifth bits, nibbles. */
INLINE void pack_simple(const struct panel_shape *s, const uint8_t *from,
			size_t row, uint8_t *to)
{
	size_t n_halves = s->has_min ? 2 : 1;
	for (size_t i = 0; i < n_halves; i++)
		memcpy(to + 2 * (PANEL_ROWS * i + row), from + 2 * i, 2);
	from += 2 * n_halves;
	struct source source = { .more = from, .second_shift = 4 };
	source.nibbles = from + (s->bits == 5 ? 4 : 0);
	pack_block(s, &source, row, to + panel_head_bytes(s));
}

INLINE void pack_scales(const uint8_t *from, size_t n, size_t row, uint8_t *to)
{
	for (size_t i = 0; i < n; i++)
		to[PANEL_ROWS * i + row] = from[i];
}

/* ggml's K types with 4 and 5 bits: d, m, scales, fifth bits (of block k bit k
 * of 32 bytes), nibbles of two blocks in 32 bytes. */
INLINE void pack_with_min(const struct panel_shape *s, const uint8_t *from,
			  size_t row, uint8_t *to)
{
	const uint8_t *fifth = from + 16, *nibbles = fifth;
	if (s->bits == 5)
		nibbles += 32;
	memcpy(to + 2 * row, from, 2);
	memcpy(to + 2 * (PANEL_ROWS + row), from + 2, 2);
	pack_scales(from + 4, 12, row, to + panel_at_scales(s));
	to += panel_head_bytes(s);
	for (unsigned k = 0; k < s->n_blocks; k++) {
		struct source source = {
			.nibbles = nibbles + 32 * (k / 2),
			.to_second = 16,
			.shift = 4 * (k % 2),
			.second_shift = 4 * (k % 2),
			.more = fifth,
			.more_shift = k,
		};
		pack_block(s, &source, row, to + k * panel_block_bytes(s));
	}
}

/* With 6 bits: nibbles of four blocks in 64 bytes, their other bits in 32,
 * scales, d. */
INLINE void pack_six(const struct panel_shape *s, const uint8_t *from,
		     size_t row, uint8_t *to)
{
	memcpy(to + 2 * row, from + 208, 2);
	pack_scales(from + 192, 16, row, to + panel_at_scales(s));
	to += panel_head_bytes(s);
	for (unsigned k = 0; k < s->n_blocks; k++) {
		unsigned of_four = k % 4;
		struct source source = {
			.nibbles = from + 64 * (k / 4) + 32 * (of_four % 2),
			.to_second = 16,
			.shift = 4 * (of_four / 2),
			.second_shift = 4 * (of_four / 2),
			.more = from + 128 + 32 * (k / 4),
			.more_shift = 2 * of_four,
		};
		pack_block(s, &source, row, to + k * panel_block_bytes(s));
	}
}

INLINE void pack(const struct panel_shape *s, size_t n, const uint8_t *rows,
		 uint8_t *panel)
{
	size_t n_heads = n / PANEL_BLOCK / s->n_blocks;
	size_t head = panel_head_bytes(s) + s->n_blocks * panel_block_bytes(s);
	size_t each = head / PANEL_ROWS;
	for (size_t i = 0; i < n_heads; i++)
		for (size_t r = 0; r < PANEL_ROWS; r++) {
			const uint8_t *from = rows + (r * n_heads + i) * each;
			uint8_t *to = panel + i * head;
			if (s->n_blocks == 1)
				pack_simple(s, from, r, to);
			else if (s->has_min)
				pack_with_min(s, from, r, to);
			else
				pack_six(s, from, r, to);
		}
}

/* A program for each type: a model's start waits for it. */
#define PACK(type)                                                       \
	static void pack_##type(size_t n, const void *rows, void *panel) \
	{                                                                \
		pack(&panel_shapes[PANEL_##type], n, rows, panel);       \
	}
PANEL_TYPES(PACK)

void panel_pack(enum panel_type type, size_t n, const void *rows, void *panel)
{
#define CASE(type)                           \
	case PANEL_##type:                   \
		pack_##type(n, rows, panel); \
		break;
	switch (type) {
		PANEL_TYPES(CASE)
	case PANEL_F16:
		panel_half_pack(n, rows, panel);
		break;
	}
}
