#include "llama/intern.h"

#include <assert.h>
#include <string.h>

void intern_init(struct intern *t, size_t max_bytes)
{
	*t = (struct intern){ .max_bytes = max_bytes };
}

void intern_fini(struct intern *t)
{
	free(t->bytes);
	free(t->all);
	free(t->slots);
	*t = (struct intern){ 0 };
}

/* FNV-1a, by words where there are any. */
static uint64_t hash(const char *p, size_t n)
{
	uint64_t h = 0xcbf29ce484222325;
	for (; n >= sizeof(uint32_t); n -= sizeof(uint32_t)) {
		uint32_t word;
		memcpy(&word, p, sizeof word);
		h = (h ^ word) * 0x100000001b3;
		h ^= h >> 29;
		p += sizeof word;
	}
	for (; n; n--)
		h = (h ^ (unsigned char)*p++) * 0x100000001b3;
	return h ^ h >> 32;
}

/* Where it is, or where it belongs. */
static uint32_t *slot_of(const struct intern *t, const char *p, size_t n)
{
	size_t mask = t->n_slots - 1;
	for (size_t i = hash(p, n) & mask;; i = (i + 1) & mask) {
		if (!t->slots[i])
			return &t->slots[i];
		const struct intern_piece *piece = &t->all[t->slots[i] - 1];
		if (piece->n == n &&
		    (!n || memcmp(t->bytes + piece->at, p, n) == 0))
			return &t->slots[i];
	}
}

static void grow_slots(struct intern *t)
{
	free(t->slots);
	t->n_slots = t->n_slots ? t->n_slots * 2 : 256;
	t->slots = xcalloc(t->n_slots, sizeof *t->slots);
	for (size_t i = 0; i < t->n; i++)
		*slot_of(t, t->bytes + t->all[i].at, t->all[i].n) =
			(uint32_t)i + 1;
}

static void grow(struct intern *t, size_t n_bytes)
{
	if (t->n == t->cap) {
		t->cap = t->cap ? t->cap * 2 : 128;
		t->all = xrealloc(t->all, t->cap * sizeof *t->all);
	}
	if (t->n_bytes + n_bytes > t->cap_bytes) {
		t->cap_bytes = MAX(2 * t->cap_bytes, t->n_bytes + n_bytes);
		t->bytes = xrealloc(t->bytes, t->cap_bytes);
	}
}

uint32_t intern_put(struct intern *t, const void *p, size_t n)
{
	size_t room = (n + 3) & ~(size_t)3;
	if (t->n * 2 >= t->n_slots)
		grow_slots(t);
	uint32_t *slot = slot_of(t, p, n);
	if (*slot)
		return *slot - 1;
	if (t->is_full || room > t->max_bytes - t->n_bytes) {
		t->is_full = true;
		return 0;
	}
	grow(t, room + 1);
	if (n)
		memcpy(t->bytes + t->n_bytes, p, n);
	t->all[t->n] = (struct intern_piece){ t->n_bytes, n };
	t->n_bytes += room;
	*slot = (uint32_t)++t->n;
	return *slot - 1;
}

const void *intern_get(const struct intern *t, uint32_t number, size_t *n)
{
	assert(number < t->n);
	*n = t->all[number].n;
	return t->bytes + t->all[number].at;
}
