#include "llama/prefix.h"

#include "llama/batch_priv.h"

/* Less than this is computed sooner than it is waited for. */
#define WORTH_WAITING 32

/* ---- which cells are in several slots ---- */

static void keep_first(struct batch *b, struct slot *s, size_t n)
{
	s->cells.n = n;
	for (int i = 0; i < b->facts.slots; i++) {
		size_t *other = &b->slots[i].shared[s->seq];
		s->shared[i] = *other = MIN(*other, n);
	}
}

static void share(struct batch *b, struct slot *from, struct slot *to, size_t n)
{
	llama_memory_seq_cp(b->memory, from->seq, to->seq, 0, (llama_pos)n);
	for (size_t i = 0; i < n; i++)
		tokens_push(&to->cells, from->cells.p[i]);
	for (int i = 0; i < b->facts.slots; i++) {
		struct slot *other = &b->slots[i];
		size_t both = other == from ? n : MIN(n, from->shared[i]);
		if (other != to)
			to->shared[i] = other->shared[to->seq] = both;
	}
}

void prefix_clear(struct batch *b, struct slot *s)
{
	if (s->cells.n)
		llama_memory_seq_rm(b->memory, s->seq, -1, -1);
	keep_first(b, s, 0);
}

/* ---- places ---- */

bool prefix_evict(struct batch *b)
{
	struct slot *oldest = NULL;
	for (int i = 0; i < b->facts.slots; i++) {
		struct slot *s = &b->slots[i];
		if (!s->task && s->cells.n &&
		    (!oldest || s->used < oldest->used))
			oldest = s;
	}
	if (oldest)
		prefix_clear(b, oldest);
	return oldest != NULL;
}

static bool is_owner(const struct slot *s, const struct batch_task *t)
{
	return batch_owner_same(&s->owner, &t->ask.owner);
}

static size_t usable(const struct batch *b, const struct slot *s,
		     const struct batch_task *t)
{
	if (!is_owner(s, t))
		return 0;
	size_t n = tokens_common(&s->cells, &t->ask.tokens);
	n = MIN(n, t->ask.tokens.n - 1);
	/* A state that cannot be cut fits as a whole or not at all. */
	return b->shares || n == s->cells.n ? n : 0;
}

static struct slot *free_slot(struct batch *b)
{
	struct slot *best = NULL;
	for (int i = 0; i < b->facts.slots; i++) {
		struct slot *s = &b->slots[i];
		if (s->task)
			continue;
		/* An empty one first, then the one used longest ago. */
		if (!best || (best->cells.n && !s->cells.n) ||
		    (!best->cells.n == !s->cells.n && s->used < best->used))
			best = s;
	}
	return best;
}

static struct slot *longest(const struct batch *b, const struct batch_task *t,
			    size_t *n)
{
	struct slot *best = NULL;
	*n = 0;
	for (int i = 0; i < b->facts.slots && !t->ask.is_fresh; i++) {
		struct slot *s = &b->slots[i];
		size_t m = b->shares || !s->task ? usable(b, s, t) : 0;
		if (m > *n) {
			best = s;
			*n = m;
		}
	}
	return best;
}

bool prefix_is_coming(const struct batch *b, const struct batch_task *t)
{
	size_t n, coming = 0;
	longest(b, t, &n);
	for (int i = 0; i < b->facts.slots && b->shares; i++) {
		const struct batch_task *other = b->slots[i].task;
		if (other && !t->ask.is_fresh && is_owner(&b->slots[i], t) &&
		    !atomic_load(&other->paused))
			coming = MAX(coming, tokens_common(&other->ask.tokens,
							   &t->ask.tokens));
	}
	return MIN(coming, t->ask.tokens.n - 1) >= n + WORTH_WAITING;
}

size_t prefix_cells(const struct batch *b, const struct batch_task *t)
{
	size_t saved, n = t->ask.tokens.n + 1;
	const struct slot *from = longest(b, t, &saved);
	if (from && from->task)
		n -= saved;
	for (int i = 0; i < b->facts.slots; i++) {
		const struct slot *s = &b->slots[i];
		size_t counted = 0;
		if (!s->task)
			continue;
		for (int j = 0; j < i; j++)
			if (b->slots[j].task)
				counted = MAX(counted, s->shared[j]);
		n += s->task->ask.tokens.n + 1 - counted;
	}
	return n;
}

struct slot *prefix_place(struct batch *b, const struct batch_task *t)
{
	size_t n;
	struct slot *to = free_slot(b), *from = longest(b, t, &n);
	if (!to)
		return NULL;
	/* What it would lose is worth less than what it keeps. */
	if (from && !from->task && n >= from->cells.n / 2)
		to = from;
	to->used = ++b->clock;
	if (to != from) {
		prefix_clear(b, to);
		to->owner = t->ask.owner;
		if (from && b->shares)
			share(b, from, to, n);
	} else if (n < to->cells.n) {
		if (llama_memory_seq_rm(b->memory, to->seq, (llama_pos)n, -1))
			keep_first(b, to, n);
		else
			prefix_clear(b, to);
	}
	return to;
}
