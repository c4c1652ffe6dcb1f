#include "oci/turns.h"

#include "base/limits_pull.h"

static struct turn *turn_of(struct list *link)
{
	return container_of(link, struct turn, link);
}

static int count_before(const struct turn *t)
{
	int n = 0;
	for (const struct list *it = t->turns->waiting.next; it != &t->link;
	     it = it->next)
		n++;
	return n;
}

static void on_timer(void *ctx)
{
	struct turn *t = ctx;
	if (t->is_running) {
		t->fns->on_begin(t->ctx);
		return;
	}
	timer_start(&t->timer, LIMIT_PULL_WAIT_TELL_MS);
	t->fns->on_wait(t->ctx, t->turns->n_running + count_before(t));
}

static void begin_waiting(struct turns *all)
{
	while (!all->is_stopped && all->n_running < all->max &&
	       !list_is_empty(&all->waiting)) {
		struct turn *t = turn_of(list_pop_front(&all->waiting));
		list_push_back(&all->running, &t->link);
		t->is_running = true;
		all->n_running++;
		timer_start(&t->timer, 0);
	}
}

void turns_init(struct turns *t, struct uv_loop_s *loop, int max)
{
	*t = (struct turns){ .loop = loop, .max = max };
	list_init(&t->running);
	list_init(&t->waiting);
}

void turns_stop(struct turns *t, void (*end)(void *ctx))
{
	struct list *const lists[] = { &t->waiting, &t->running };
	t->is_stopped = true;
	for (size_t i = 0; i < ARRAY_LEN(lists); i++)
		list_each (it, lists[i])
			end(turn_of(it)->ctx);
}

void turns_join(struct turn *t, struct turns *turns, const struct turn_fns *fns,
		void *ctx)
{
	*t = (struct turn){ .turns = turns, .fns = fns, .ctx = ctx };
	timer_init(&t->timer, turns->loop, on_timer, t);
	list_push_back(&turns->waiting, &t->link);
	begin_waiting(turns);
	if (!t->is_running)
		timer_start(&t->timer, 0);
}

void turns_leave(struct turn *t)
{
	timer_stop(&t->timer);
	if (t->is_running) {
		t->is_running = false;
		t->turns->n_running--;
	} else {
		list_remove(&t->link);
	}
	begin_waiting(t->turns);
}

void turns_drop(struct turn *t)
{
	list_remove(&t->link);
	timer_fini(&t->timer);
}
