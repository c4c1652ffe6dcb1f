#include "llama/attend_run.h"

#include "base/base.h"
#include "llama/attend_priv.h"

#define PART_WORDS (ATTEND_PART / 32)

static size_t parts_of(size_t n_cells)
{
	return (n_cells + ATTEND_PART - 1) / ATTEND_PART;
}

/* Where its arrays lie; gives the bytes that they take. */
static size_t lay_out(struct attend_run *r, size_t n_tokens, size_t n_cells,
		      char *room)
{
	const size_t slack = 16; /* is written behind the last cell */
	size_t words = 0;
	r->n_words = (n_cells + 31) / 32;
	r->n_before = parts_of(n_cells) + 1;
	/* What is read of the last part is there. */
	r->n_seen = (r->n_before - 1) * PART_WORDS + ATTEND_WORDS;
#define ARRAY(name, n) (r->name = (void *)(room + 4 * words), words += (n))
	ARRAY(cells, n_cells + slack);
	ARRAY(bias, n_cells);
	ARRAY(marks, n_tokens * r->n_words);
	ARRAY(any, r->n_words);
	ARRAY(seen, n_tokens * r->n_seen);
	ARRAY(before, n_tokens * r->n_before);
	return (4 * words + 63) / 64 * 64;
}

size_t attend_run_room(size_t n_tokens, size_t n_cells)
{
	static char room[1];
	struct attend_run r;
	return lay_out(&r, n_tokens, n_cells, room);
}

size_t attend_run_parts(const struct attend_run *r)
{
	uint32_t most = 0;
	for (size_t i = 0; i < r->n_tokens; i++)
		most = MAX(most, r->before[(i + 1) * r->n_before - 1]);
	return MAX(parts_of(most), (size_t)1);
}

#ifdef __x86_64__

#define HIDDEN 0xfc00 /* minus infinity */

static const uint16_t *row_of(const struct attend_masks *m, size_t token)
{
	return (const void *)((const char *)m->first + token * m->stride);
}

AVX512 static size_t count(const uint32_t *bits, size_t n_words)
{
	size_t n = 0;
	for (size_t i = 0; i < n_words; i++)
		n += (size_t)__builtin_popcount(bits[i]);
	return n;
}

/* False if it adds something to what is not hidden. */
AVX512 static bool mark(const uint16_t *mask, size_t n, uint32_t *marks)
{
	const __m512i hidden = _mm512_set1_epi16((int16_t)HIDDEN);
	uint32_t added = 0;
	for (size_t i = 0; i < n; i += 32) {
		__mmask32 there =
			n - i < 32 ? (__mmask32)((1u << (n - i)) - 1) : ~0u;
		__m512i row = _mm512_maskz_loadu_epi16(there, mask + i);
		__mmask32 seen =
			_mm512_mask_cmpneq_epi16_mask(there, row, hidden);
		marks[i / 32] = seen;
		added |= _mm512_mask_test_epi16_mask(seen, row, row);
	}
	return !added;
}

/* Is it still one run with this row of marks? Then it is among what any sees.
 */
AVX512 static bool join(struct attend_run *r, const uint32_t *marks,
			size_t *fewest)
{
	size_t all = 0, few = MIN(*fewest, count(marks, r->n_words));
	for (size_t i = 0; i < r->n_words; i++)
		all += (size_t)__builtin_popcount(r->any[i] | marks[i]);
	if (all > few + ATTEND_SPREAD)
		return false;
	for (size_t i = 0; i < r->n_words; i++)
		r->any[i] |= marks[i];
	*fewest = few;
	return true;
}

AVX512 static void list(struct attend_run *r)
{
	const __m512i first = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9,
						10, 11, 12, 13, 14, 15);
	r->n_cells = 0;
	for (size_t i = 0; i < 2 * r->n_words; i++) {
		__mmask16 some = (__mmask16)(r->any[i / 2] >> i % 2 * 16);
		__m512i cells =
			_mm512_add_epi32(first, _mm512_set1_epi32((int)i * 16));
		_mm512_storeu_si512(r->cells + r->n_cells,
				    _mm512_maskz_compress_epi32(some, cells));
		r->n_cells += (size_t)__builtin_popcount(some);
	}
}

/* Marks in the list what a row of marks has. */
AVX512 static void see(const struct attend_run *r, const uint32_t *marks,
		       uint32_t *seen)
{
	uint64_t bits = 0;
	size_t n = 0;
	memset(seen, 0, r->n_seen * sizeof *seen);
	for (size_t i = 0; i < r->n_words; i++) {
		bits |= (uint64_t)_pext_u32(marks[i], r->any[i]) << n;
		n += (size_t)__builtin_popcount(r->any[i]);
		if (n >= 32) {
			*seen++ = (uint32_t)bits;
			bits >>= 32;
			n -= 32;
		}
	}
	*seen = (uint32_t)bits;
}

AVX512 static void count_before(const struct attend_run *r,
				const uint32_t *seen, uint32_t *before)
{
	before[0] = 0;
	for (size_t i = 1; i < r->n_before; i++)
		before[i] = before[i - 1] +
			    (uint32_t)count(seen + (i - 1) * PART_WORDS,
					    PART_WORDS);
}

AVX512 static void add_bias(struct attend_run *r, const uint16_t *mask)
{
	for (size_t i = 0; i < r->n_cells; i++)
		r->bias[i] = _cvtsh_ss(mask[r->cells[i]]);
}

AVX512 void attend_run_make(struct attend_run *r,
			    const struct attend_masks *masks, size_t n,
			    void *room)
{
	size_t fewest = SIZE_MAX - ATTEND_SPREAD, i;
	bool plain = true;
	lay_out(r, n, masks->n_cells, room);
	memset(r->any, 0, r->n_words * sizeof *r->any);
	for (i = 0; i < n && plain; i++) {
		uint32_t *marks = r->marks + i * r->n_words;
		plain = mark(row_of(masks, i), masks->n_cells, marks);
		if ((i && !plain) || !join(r, marks, &fewest))
			break;
	}
	r->n_tokens = i;
	list(r);
	for (size_t k = 0; k < r->n_tokens; k++) {
		uint32_t *seen = r->seen + k * r->n_seen;
		see(r, r->marks + k * r->n_words, seen);
		count_before(r, seen, r->before + k * r->n_before);
	}
	if (plain || r->n_tokens > 1)
		r->bias = NULL;
	else
		add_bias(r, row_of(masks, 0));
}

/* The first k of the bits of a word. */
AVX512 static uint32_t first_of(uint32_t word, size_t k)
{
	return k < 32 ? _pdep_u32((1u << k) - 1, word) : word;
}

AVX512 void attend_run_part(const struct attend_run *r, size_t token,
			    size_t part, uint32_t seen[ATTEND_WORDS])
{
	const uint32_t *from = r->seen + token * r->n_seen + part * PART_WORDS;
	size_t other = part * ATTEND_PART -
		       r->before[token * r->n_before + part],
	       left = ATTEND_PART;
	for (size_t i = 0; i < ATTEND_WORDS; i++) {
		uint32_t word = from[i];
		uint32_t skipped = first_of(word, other);
		other -= (size_t)__builtin_popcount(skipped);
		seen[i] = first_of(word & ~skipped, left);
		left -= (size_t)__builtin_popcount(seen[i]);
	}
}

#else /* never called */

void attend_run_make(struct attend_run *r, const struct attend_masks *masks,
		     size_t n, void *room)
{
	(void)r, (void)masks, (void)n, (void)room;
}

void attend_run_part(const struct attend_run *r, size_t token, size_t part,
		     uint32_t seen[ATTEND_WORDS])
{
	(void)r, (void)token, (void)part, (void)seen;
}
#endif
