#include "llama/prefix.h"

#include "llama/batch_priv.h"

void prefix_clear(struct batch *b, struct slot *s)
{
	if (s->cells.n)
		llama_memory_seq_rm(b->memory, s->seq, -1, -1);
	s->cells.n = 0;
}

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

static size_t usable(const struct batch *b, const struct slot *s,
		     const struct batch_task *t)
{
	if (strcmp(s->owner.name, t->ask.owner.name) != 0)
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

static struct slot *longest(struct batch *b, const struct batch_task *t,
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
		if (!from || !b->shares)
			return to;
		llama_memory_seq_cp(b->memory, from->seq, to->seq, 0,
				    (llama_pos)n);
		for (size_t i = 0; i < n; i++)
			tokens_push(&to->cells, from->cells.p[i]);
	} else if (n < to->cells.n) {
		if (llama_memory_seq_rm(b->memory, to->seq, (llama_pos)n, -1))
			to->cells.n = n;
		else
			prefix_clear(b, to);
	}
	return to;
}
