#include "llama/fair.h"

#include "llama/batch_priv.h"

struct fair_caller {
	struct batch_owner name;
	size_t n_tasks;
	size_t n_places;
	uint64_t turn; /* when it came, or last got a place */
};

void fair_fini(struct fair *f)
{
	free(f->callers);
}

/* ---- callers ---- */

static struct fair_caller *caller(struct batch *b, const struct batch_task *t)
{
	return &b->fair.callers[t->caller];
}

/* Its caller's place in the table, else a free one, else a new one. */
static size_t find(struct fair *f, const struct batch_owner *name)
{
	size_t free_one = f->n;
	for (size_t i = 0; i < f->n; i++) {
		const struct fair_caller *c = &f->callers[i];
		if (!c->n_tasks)
			free_one = i;
		else if (strcmp(c->name.name, name->name) == 0)
			return i;
	}
	if (free_one == f->n)
		f->callers = xrealloc(f->callers, ++f->n * sizeof *f->callers);
	f->callers[free_one] =
		(struct fair_caller){ .name = *name, .turn = ++f->clock };
	return free_one;
}

void fair_enter(struct batch *b, struct batch_task *t)
{
	t->caller = find(&b->fair, &t->ask.owner);
	caller(b, t)->n_tasks++;
}

void fair_leave(struct batch *b, struct batch_task *t)
{
	caller(b, t)->n_tasks--;
}

void fair_take(struct batch *b, const struct batch_task *t)
{
	caller(b, t)->n_places++;
	caller(b, t)->turn = ++b->fair.clock;
}

void fair_give(struct batch *b, const struct batch_task *t)
{
	caller(b, t)->n_places--;
}

/* ---- places ---- */

static bool is_before(struct batch *b, const struct batch_task *x,
		      const struct batch_task *y)
{
	const struct fair_caller *of_x = caller(b, x), *of_y = caller(b, y);
	if (x->has_left || y->has_left)
		return x->has_left && !y->has_left;
	if (of_x->n_places != of_y->n_places)
		return of_x->n_places < of_y->n_places;
	return of_x->turn < of_y->turn;
}

void fair_rewind(struct batch *b)
{
	list_each (it, &b->queue)
		batch_task_of(it)->is_passed = false;
}

struct batch_task *fair_next(struct batch *b)
{
	struct batch_task *best = NULL;
	list_each (it, &b->queue) {
		struct batch_task *t = batch_task_of(it);
		if (!t->is_passed && (!best || is_before(b, t, best)))
			best = t;
	}
	if (best)
		best->is_passed = true;
	return best;
}

/* ---- room ---- */

void fair_share(const size_t *lacks, size_t n, size_t room, size_t *gets)
{
	size_t each = n ? MAX(room / 2 / n, (size_t)1) : 0;
	for (size_t i = 0; i < n; i++) {
		gets[i] = MIN(MIN(lacks[i], each), room);
		room -= gets[i];
	}
	while (room) {
		size_t least = n;
		for (size_t i = 0; i < n; i++)
			if (gets[i] < lacks[i] &&
			    (least == n || lacks[i] < lacks[least]))
				least = i;
		if (least == n)
			return;
		size_t more = MIN(lacks[least] - gets[least], room);
		gets[least] += more;
		room -= more;
	}
}
