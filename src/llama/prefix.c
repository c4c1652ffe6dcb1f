#include "llama/prefix.h"

#include "llama/batch_priv.h"
#include "llama/stow.h"

/* Less than this is computed sooner than it is waited for. */
#define WORTH_WAITING 32
/* A prompt's last tokens are often its template's words before the answer,
 * which the next turn may have otherwise: a part is kept before them. */
#define PROMPT_TAIL 8
/* A long prompt has parts kept on the way, so far from each other at least. */
#define PART_EVERY 512

/* ---- which cells are in several slots ---- */

static void keep_first(struct batch *b, struct slot *s, size_t n)
{
	s->cells.n = n;
	for (int i = 0; i < b->facts.slots; i++) {
		size_t *other = &b->slots[i].shared[s->seq];
		s->shared[i] = *other = MIN(*other, n);
	}
}

/* Fewer tokens, by what is left or by a part that is laid over it. */
static void cut(struct batch *b, struct slot *s, const struct batch_task *t,
		size_t n, struct keep_state *part)
{
	if (!part && n == s->cells.n)
		return;
	if ((!part || stow_back(b, s, part)) &&
	    llama_memory_seq_rm(b->memory, s->seq,
				(llama_pos)runs_pos(&t->ask.runs, n), -1))
		keep_first(b, s, n);
	else
		prefix_clear(b, s);
}

static void share(struct batch *b, struct slot *from, struct slot *to,
		  const struct batch_task *t, size_t n)
{
	llama_memory_seq_cp(b->memory, from->seq, to->seq, 0,
			    (llama_pos)runs_pos(&t->ask.runs, n));
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

/* ---- what there is ---- */

/* Where a beginning of n tokens comes from: a slot, or a whole state in host
 * memory; with a part over it if it cannot be cut there. */
struct source {
	struct slot *slot;
	struct keep_state *whole, *part;
	size_t n;
};

static bool is_owner(const struct slot *s, const struct batch_task *t)
{
	return batch_owner_same(&s->owner, &t->ask.owner);
}

/* Its last token is computed in any case, to have what follows. */
static size_t most(const struct batch_task *t)
{
	return t->ask.tokens.n - 1;
}

/* What has its first tokens; a picture is taken as a whole. */
static size_t common(const struct tokens *has, const struct batch_task *t)
{
	size_t n = MIN(tokens_common(has, &t->ask.tokens), most(t));
	return runs_whole(&t->ask.runs, n);
}

static bool can_cut(const struct batch *b, const struct slot *s, size_t n)
{
	if (b->cut != BATCH_CUT_IN_WINDOW || n == s->cells.n)
		return b->cut == BATCH_CUT_ANYWHERE || n == s->cells.n;
	llama_pos least = llama_memory_seq_pos_min(b->memory, s->seq);
	return least >= 0 &&
	       (size_t)least <= (n > b->window ? n - b->window : 0);
}

static struct keep_state *part_of(const struct batch *b,
				  const struct batch_task *t, size_t n)
{
	return keep_find_part(&b->keep, &t->ask.tokens, n, &t->ask.owner);
}

static void look_at_slot(const struct batch *b, const struct batch_task *t,
			 struct slot *s, struct source *best)
{
	struct source it = { .slot = s };
	it.n = common(&s->cells, t);
	if (it.n <= best->n || !is_owner(s, t))
		return;
	if (!can_cut(b, s, it.n)) {
		it.part = part_of(b, t, it.n);
		it.n = it.part ? it.part->tokens.n : 0;
	}
	if (it.n > best->n)
		*best = it;
}

static void look_at_state(const struct batch *b, const struct batch_task *t,
			  struct keep_state *k, struct source *best)
{
	struct source it = { .whole = k };
	it.n = common(&k->tokens, t);
	if (it.n <= best->n || !k->is_whole ||
	    !batch_owner_same(&k->owner, &t->ask.owner))
		return;
	if (b->cut != BATCH_CUT_ANYWHERE && it.n < k->tokens.n) {
		it.part = part_of(b, t, it.n);
		it.n = it.part ? it.part->tokens.n : 0;
	}
	if (it.n > best->n && stow_is_worth(b, k, it.n - best->n))
		*best = it;
}

static struct source longest(const struct batch *b, const struct batch_task *t)
{
	struct source best = { 0 };
	if (t->ask.is_fresh)
		return best;
	for (int i = 0; i < b->facts.slots; i++)
		look_at_slot(b, t, &b->slots[i], &best);
	if (b->keep.ceiling)
		list_each (it, &b->keep.states)
			look_at_state(b, t,
				      container_of(it, struct keep_state, link),
				      &best);
	return best;
}

/* ---- points where parts are kept ---- */

static bool has_parts(const struct batch *b)
{
	return b->keep.ceiling && b->cut != BATCH_CUT_ANYWHERE;
}

/* false: there are too many, or it is computed already. */
static bool mark(struct batch_task *t, size_t n)
{
	size_t done = t->slot ? t->slot->cells.n : 0;
	if (n <= done || n >= t->n_prompt)
		return false;
	for (size_t i = 0; i < t->n_marks; i++)
		if (t->marks[i] == n)
			return true;
	if (t->n_marks == BATCH_MARKS)
		return false;
	t->marks[t->n_marks++] = n;
	return true;
}

/* Where other prompts left this one's way, the next may do so again. */
static size_t fork_of(const struct batch *b, const struct batch_task *t)
{
	size_t n =
		keep_common(&b->keep, &t->ask.tokens, most(t), &t->ask.owner);
	for (int i = 0; i < b->facts.slots; i++) {
		const struct slot *s = &b->slots[i];
		if (is_owner(s, t))
			n = MAX(n, tokens_common(&s->cells, &t->ask.tokens));
	}
	return MIN(n, most(t));
}

/* The slot has what could be found of the task's tokens. */
static void mark_all(struct batch *b, struct batch_task *t,
		     const struct slot *s, size_t fork)
{
	t->n_marks = 0;
	t->last_mark = s->cells.n;
	/* Here the last answer ended: whoever asks otherwise then, asks from
	 * here. */
	if (s->cells.n)
		stow_part(b, s, true);
	if (fork >= s->cells.n + WORTH_WAITING)
		mark(t, fork);
	if (t->n_prompt > s->cells.n + WORTH_WAITING)
		mark(t, t->n_prompt - PROMPT_TAIL);
}

size_t prefix_until_mark(const struct batch_task *t)
{
	size_t n = SIZE_MAX, done = t->slot->cells.n;
	for (size_t i = 0; i < t->n_marks; i++)
		if (t->marks[i] > done)
			n = MIN(n, t->marks[i] - done);
	return n;
}

void prefix_computed(struct batch *b, struct batch_task *t)
{
	size_t done = t->slot->cells.n;
	bool is_mark = false;
	if (!has_parts(b) || done >= t->n_prompt)
		return;
	for (size_t i = 0; i < t->n_marks; i++)
		is_mark |= t->marks[i] == done;
	if (!is_mark && done < t->last_mark + PART_EVERY)
		return;
	stow_part(b, t->slot, !is_mark);
	t->last_mark = done;
}

bool prefix_is_coming(struct batch *b, const struct batch_task *t)
{
	size_t n = longest(b, t).n;
	bool is_coming = false;
	if (t->ask.is_fresh || (b->cut != BATCH_CUT_ANYWHERE && !has_parts(b)))
		return false;
	for (int i = 0; i < b->facts.slots; i++) {
		struct batch_task *other = b->slots[i].task;
		if (!other || !is_owner(&b->slots[i], t) ||
		    atomic_load(&other->paused))
			continue;
		size_t m = tokens_common(&other->ask.tokens, &t->ask.tokens);
		m = MIN(m, most(t));
		if (m < n + WORTH_WAITING)
			continue;
		/* What cannot be cut later is kept when it comes by. */
		is_coming |= b->cut == BATCH_CUT_ANYWHERE || mark(other, m);
	}
	return is_coming;
}

/* ---- places ---- */

size_t prefix_cells(const struct batch *b, const struct batch_task *t)
{
	size_t n = t->ask.tokens.n + 1;
	struct source from = longest(b, t);
	if (b->is_recurrent)
		return 0;
	if (from.slot && from.slot->task)
		n -= from.n;
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

/* Cells of all slots. */
static size_t taken(const struct batch *b)
{
	size_t n = 0;
	for (int i = 0; i < b->facts.slots; i++) {
		size_t counted = 0;
		for (int j = 0; j < i; j++)
			counted = MAX(counted, b->slots[i].shared[j]);
		n += b->slots[i].cells.n - counted;
	}
	return n;
}

void prefix_give_up(struct batch *b, struct slot *s)
{
	stow_all(b, s);
	prefix_clear(b, s);
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
		prefix_give_up(b, oldest);
	return oldest != NULL;
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

static bool has_room(const struct batch *b, size_t n)
{
	return b->is_recurrent || taken(b) + n <= llama_n_ctx(b->ctx);
}

/* Fills an empty slot from host memory, which may take more cells than the
 * prompt then uses: if those that run leave fewer, nothing comes back. */
static void fill(struct batch *b, struct slot *s, const struct batch_task *t,
		 struct source *from)
{
	struct keep_state *k = from->whole;
	while (!has_room(b, k->tokens.n))
		if (!prefix_evict(b))
			return;
	for (size_t i = 0; i < k->tokens.n; i++)
		tokens_push(&s->cells, k->tokens.p[i]);
	if (stow_back(b, s, k))
		cut(b, s, t, from->n, from->part);
	else
		prefix_clear(b, s);
	/* From now on the slot holds it, or it is of no use. */
	if (!b->parts_are_whole && from->n >= k->tokens.n / 2) {
		keep_drop(&b->keep, k);
		from->whole = NULL;
	}
}

static void hold(const struct source *from, bool is_held)
{
	if (from->whole)
		from->whole->is_held = is_held;
	if (from->part)
		from->part->is_held = is_held;
}

static void take(struct batch *b, struct slot *to, const struct batch_task *t,
		 struct source *from)
{
	if (to == from->slot) {
		if (from->n < to->cells.n / 2)
			stow_all(b, to);
		cut(b, to, t, from->n, from->part);
		return;
	}
	prefix_give_up(b, to);
	to->owner = t->ask.owner;
	if (from->slot) {
		share(b, from->slot, to, t, from->n);
		cut(b, to, t, from->n, from->part);
		if (b->cut == BATCH_CUT_IN_WINDOW && to->cells.n > b->window &&
		    !from->part && !stow_trim(b, to))
			prefix_clear(b, to);
	} else if (from->whole) {
		fill(b, to, t, from);
	}
}

struct slot *prefix_place(struct batch *b, struct batch_task *t)
{
	struct source from = longest(b, t);
	struct slot *to = free_slot(b);
	if (!to)
		return NULL;
	size_t fork = has_parts(b) ? fork_of(b, t) : 0;
	/* What it would lose is worth less than what it keeps. */
	if (from.slot && !from.slot->task && from.n >= from.slot->cells.n / 2)
		to = from.slot;
	to->used = ++b->clock;
	hold(&from, true);
	take(b, to, t, &from);
	hold(&from, false);
	if (has_parts(b))
		mark_all(b, t, to, fork);
	return to;
}
