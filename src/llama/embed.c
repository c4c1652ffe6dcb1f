/* embed.c - one step of making vectors: whole texts, as many as fit into one
 * batch, each a sequence of its own. Nothing is kept between steps. */
#include "llama/batch_priv.h"
#include "llama/weights.h"

#include "io/timer.h"

static void drop_cancelled(struct batch *b)
{
	list_each (it, &b->queue) {
		if (!atomic_load(&batch_task_of(it)->cancelled))
			continue;
		list_remove(it);
		batch_tell_end(batch_task_of(it), BATCH_STOP);
	}
}

/* Whose turn it is; NULL: nobody's. In this step all have the adapters of the
 * first: others wait, and one of them is first next time. */
static struct batch_task *first_of_step(struct batch *b)
{
	fair_rewind(b);
	struct batch_task *first = fair_next(b);
	if (!first)
		return NULL;
	b->turn.lora = first->ask.owner.lora;
	list_each (it, &b->queue) {
		struct batch_task *t = batch_task_of(it);
		t->is_passed |= !lora_same(&t->ask.owner.lora, &b->turn.lora);
	}
	return first;
}

/* Moves tasks into the batch; each one's sequence is its number. */
static int plan(struct batch *b)
{
	int n = 0;
	b->batch.n_tokens = 0;
	for (struct batch_task *t = first_of_step(b); t; t = fair_next(b)) {
		if (n == b->facts.slots ||
		    (size_t)b->batch.n_tokens + t->n_prompt >
			    (size_t)b->max_tokens)
			break;
		list_remove(&t->link);
		list_push_back(&b->active, &t->link);
		fair_take(b, t);
		t->times.began_ns = timer_now_ns();
		for (size_t i = 0; i < t->n_prompt; i++)
			batch_add(b, t->ask.tokens.p[i], i, n, true);
		n++;
	}
	return n;
}

static void finish(struct batch *b, struct batch_task *t, int seq, int rc)
{
	size_t n = (size_t)b->facts.vector_length;
	const float *v = rc ? NULL : llama_get_embeddings_seq(b->ctx, seq);
	list_remove(&t->link);
	fair_give(b, t);
	t->times.prompt_done_ns = t->times.last_ns = timer_now_ns();
	if (!v) {
		batch_complaint(rc, &t->err);
		batch_tell_end(t, BATCH_FAILED);
		return;
	}
	float *copy = xcalloc(n, sizeof *copy);
	memcpy(copy, v, n * sizeof *copy);
	batch_tell_vector(t, copy);
	batch_tell_end(t, BATCH_STOP);
}

bool embed_step(struct batch *b)
{
	drop_cancelled(b);
	int n = plan(b), seq = 0;
	if (!n)
		return false;
	atomic_store(&b->n_running, (size_t)n);
	if (b->memory)
		llama_memory_clear(b->memory, false);
	int rc = batch_compute(b);
	atomic_store(&b->n_running, 0);
	list_each (it, &b->active)
		finish(b, batch_task_of(it), seq++, rc);
	return true;
}
