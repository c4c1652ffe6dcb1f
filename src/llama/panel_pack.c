#include "llama/panel_half.h"
#include "llama/panel_shape.h"

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

/* The lowest bits of four bytes, side by side. */
INLINE uint32_t lowest_bits(uint32_t w)
{
	return (w & 0x01010101) * 0x01020408 >> 24 & 15;
}

INLINE void pack_fifth(const struct panel_shape *s, const struct source *from,
		       size_t row, uint8_t *to)
{
	uint64_t masks[PANEL_GROUPS];
	memcpy(masks, to, sizeof masks);
	for (size_t g = 0; g < PANEL_GROUPS; g++) {
		uint64_t four =
			s->n_blocks > 1
				? lowest_bits(word(from->more + 4 * g) >>
					      from->more_shift)
				: word(from->more) >> 4 * g & 15;
		masks[g] |= four << 4 * row;
	}
	memcpy(to, masks, sizeof masks);
}

INLINE void pack_sixth(const struct source *from, size_t row, uint8_t *to)
{
	uint32_t v[2] = { 0, 0 };
	for (size_t g = 0; g < PANEL_GROUPS; g++) {
		uint32_t two = word(from->more + 4 * g) >> from->more_shift &
			       0x03030303;
		size_t turn = 4 + 2 * (g % 4);
		v[g / 4] |=
			two << turn | (uint32_t)((uint64_t)two << turn >> 32);
	}
	memcpy(to + 4 * row, &v[0], 4);
	memcpy(to + 64 + 4 * row, &v[1], 4);
}

INLINE void pack_block(const struct panel_shape *s, const struct source *from,
		       size_t row, uint8_t *to)
{
	if (s->bits == 8) {
		for (size_t g = 0; g < PANEL_GROUPS; g++) {
			/* ggml's q is from -128 */
			uint32_t four =
				word(from->nibbles + 4 * g) ^ 0x80808080;
			memcpy(to + 64 * g + 4 * row, &four, 4);
		}
		return;
	}
	if (s->bits == 5)
		pack_fifth(s, from, row, to);
	if (s->bits == 6)
		pack_sixth(from, row, to + PANEL_AT_SIXTH);
	for (size_t g = 0; g < PANEL_GROUPS / 2; g++) {
		const uint8_t *at = from->nibbles + 4 * g;
		uint32_t first = word(at) >> from->shift & 0x0f0f0f0f;
		uint32_t second =
			word(at + from->to_second) >> from->second_shift &
			0x0f0f0f0f;
		uint32_t four = first | second << 4;
		memcpy(to + panel_at_nibbles(s) + 64 * g + 4 * row, &four, 4);
	}
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
	if (s->bits == 5)
		memset(panel, 0, n_heads * head);
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
