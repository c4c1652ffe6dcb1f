#include "llama/lora_turn.h"

#include "io/timer.h"
#include "llama/batch_priv.h"

/* A change of adapters costs a few ms; a reader does not notice pauses of this
 * length. */
#define TURN_NS 50000000ull

void lora_turn_enter(struct batch *b, struct slot *s)
{
	s->turn = b->turn.number;
}

bool lora_turn_has(const struct batch *b, const struct batch_task *t)
{
	return lora_same(&t->ask.owner.lora, &b->turn.lora);
}

void lora_turn_choose(struct batch *b)
{
	const struct batch_task *first = NULL;
	bool has_more = false;
	uint64_t now = timer_now_ns();
	if (!b->lora || !lora_count(b->lora))
		return;
	list_each (it, &b->active) {
		const struct batch_task *t = batch_task_of(it);
		/* Whoever could do nothing with it would stop the others. */
		if (atomic_load(&t->paused) || sight_waits(t))
			continue;
		has_more |= lora_turn_has(b, t);
		if (!first || t->slot->turn < first->slot->turn)
			first = t;
	}
	if (!first || (has_more && now < b->turn.began_ns + TURN_NS))
		return;
	b->turn.lora = first->ask.owner.lora;
	b->turn.began_ns = now;
	b->turn.number++;
	/* All of them, also those that find no room in a step: whoever has the
	 * most work would else have every turn. */
	list_each (it, &b->active) {
		struct batch_task *t = batch_task_of(it);
		if (lora_turn_has(b, t))
			t->slot->turn = b->turn.number;
	}
}
