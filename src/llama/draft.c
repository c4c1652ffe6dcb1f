#include "llama/draft_priv.h"

#include "io/timer.h"

/* So many tokens must have come before, for what followed them to follow again.
 * Fewer come by chance. */
#define KEY 4
/* Beside more answers than this a batch is large already. */
#define MOST_TASKS 8

static struct draft_slot *of(const struct batch *b, const struct slot *s)
{
	return &b->draft->slots[s->seq];
}

double draft_units(const struct draft *d, double ns)
{
	return d->gain.unit_ns > 0 ? ns / d->gain.unit_ns : 0;
}

size_t draft_choose(const struct draft *d, const struct draft_slot *ds,
		    enum gain_source from, const struct gain_case *c)
{
	return d->o.is_adaptive ? gain_choose(&d->gain, &ds->gain, from, c)
				: c->most;
}

size_t draft_known(const struct batch *b, const int32_t *p, size_t n)
{
	size_t i = 0;
	while (i < n && p[i] >= 0 && (size_t)p[i] < b->n_vocab)
		i++;
	return i;
}

/* ---- by looking up ---- */

static void look_up(const struct batch *b, struct draft_slot *ds,
		    const struct tokens *t, struct gain_case *c)
{
	struct draft *d = b->draft;
	size_t n = draft_choose(d, ds, GAIN_NGRAM, c);
	if (!n)
		return;
	uint64_t start = timer_now_ns();
	size_t found = draft_source_lookup(t->p, t->n, KEY, ds->tokens, n);
	found = draft_known(b, ds->tokens, found);
	double cost = draft_units(d, (double)(timer_now_ns() - start));
	if (found && found < n) {
		c->most = found;
		found = draft_choose(d, ds, GAIN_NGRAM, c);
	}
	ds->n = found;
	ds->from = GAIN_NGRAM;
	ds->cost = cost;
	if (!found)
		gain_pay(&d->gain, &ds->gain, cost);
}

/* ---- into the batch ---- */

static size_t most_for(const struct batch *b, const struct batch_task *t,
		       size_t room)
{
	size_t most = MIN(room, (size_t)b->draft->o.most);
	/* The step itself brings a token beside the drafted ones. */
	size_t left = (size_t)b->facts.context - t->ask.tokens.n;
	if (t->ask.max_tokens >= 0)
		left = MIN(left, (size_t)t->ask.max_tokens - t->times.n_made);
	return left ? MIN(most, left - 1) : 0;
}

static void put(struct batch *b, struct batch_task *t)
{
	struct draft_slot *ds = of(b, t->slot);
	ds->first_row = b->batch.n_tokens;
	for (size_t i = 0; i < ds->n; i++)
		batch_add(b, ds->tokens[i], t->ask.tokens.n + i, t->slot->seq,
			  true);
	t->times.n_drafted += ds->n;
	b->draft->n_drafted += ds->n;
}

/* After some pictures positions are no longer the tokens' numbers. */
static bool is_moved(const struct batch_task *t)
{
	size_t n = t->ask.tokens.n;
	return runs_pos(&t->ask.runs, n) != n;
}

static void draft_all(struct batch *b, size_t room)
{
	struct draft_source_ask asks[MOST_TASKS];
	struct draft *d = b->draft;
	size_t n_asks = 0, n_batch = d->n_tasks, share = room / d->n_tasks;
	list_each (it, &b->active) {
		struct batch_task *t = batch_task_of(it);
		struct draft_slot *ds = of(b, t->slot);
		/* One token may also be a part of a text that is computed
		 * again: nothing follows that yet. */
		if (t->slot->row < 0 || !t->times.n_made || is_moved(t))
			continue;
		struct gain_case c = { .n_tasks = d->n_tasks,
				       .n_batch = n_batch,
				       .most = most_for(b, t, share) };
		if (d->o.looks_up)
			look_up(b, ds, &t->ask.tokens, &c);
		c.most = most_for(b, t, share);
		if (!ds->n && d->ctx && c.most && !t->ask.runs.n &&
		    draft_model_ask(b, ds, t, &c, &asks[n_asks]))
			n_batch += asks[n_asks++].most;
		n_batch += ds->n;
	}
	if (n_asks)
		draft_model_draft(b, asks, n_asks);
	list_each (it, &b->active)
		if (batch_task_of(it)->slot->n_new == 1)
			put(b, batch_task_of(it));
}

void draft_put(struct batch *b)
{
	struct draft *d = b->draft;
	if (!d)
		return;
	for (int i = 0; i < b->facts.slots; i++)
		d->slots[i].n = 0;
	d->n_drafted = 0;
	d->n_tasks = 0;
	for (int i = 0; i < b->facts.slots; i++)
		d->n_tasks += b->slots[i].n_new == 1;
	/* Prompts take what room there is. */
	if (!d->n_tasks || d->n_tasks != (size_t)b->batch.n_tokens)
		return;
	if (d->pause) {
		d->pause--;
		return;
	}
	size_t room = (size_t)MIN(b->max_rows, b->max_tokens) - d->n_tasks;
	if (d->n_tasks <= MOST_TASKS && room &&
	    (!d->o.is_adaptive || !gain_is_stale(&d->gain)))
		draft_all(b, room);
}

size_t draft_count(const struct batch *b)
{
	return b->draft ? b->draft->n_drafted : 0;
}

int32_t draft_token(const struct batch *b, const struct slot *s, size_t i)
{
	return b->draft && i < of(b, s)->n ? of(b, s)->tokens[i] : -1;
}

int32_t draft_row(const struct batch *b, const struct slot *s, size_t i)
{
	return of(b, s)->first_row + (int32_t)i;
}

/* ---- what came of it ---- */

double draft_plain_part(const struct batch *b)
{
	const struct draft *d = b->draft;
	if (!d || !d->n_drafted)
		return 1;
	return gain_cost(&d->gain, d->n_tasks) /
	       gain_cost(&d->gain, d->n_tasks + d->n_drafted);
}

void draft_computed(struct batch *b, double ns)
{
	struct draft *d = b->draft;
	size_t n = (size_t)b->batch.n_tokens;
	if (!d || !d->n_tasks || n != d->n_tasks + d->n_drafted)
		return;
	if (d->n_drafted)
		gain_drafted(&d->gain, n, ns);
	else
		gain_plain(&d->gain, n, ns);
	d->extra = gain_cost(&d->gain, n) - gain_cost(&d->gain, d->n_tasks);
	for (int i = 0; i < b->facts.slots; i++)
		if (b->slots[i].n_new == 1 && !d->slots[i].n)
			gain_earn(&d->gain, &d->slots[i].gain, d->n_tasks);
}

bool draft_had_no_room(struct batch *b)
{
	if (!draft_count(b))
		return false;
	b->draft->pause = DRAFT_NO_ROOM_STEPS;
	list_each (it, &b->active) {
		struct batch_task *t = batch_task_of(it);
		t->times.n_drafted -= of(b, t->slot)->n;
	}
	return true;
}

void draft_settle(struct batch *b, const struct slot *s, size_t n_taken)
{
	struct draft *d = b->draft;
	if (!d || !of(b, s)->n)
		return;
	struct draft_slot *ds = of(b, s);
	if (n_taken < ds->n)
		llama_memory_seq_rm(b->memory, s->seq, (llama_pos)s->cells.n,
				    -1);
	double part = (double)ds->n / (double)d->n_drafted;
	gain_learn(&d->gain, &ds->gain, ds->from,
		   &(struct gain_result){ .n_tasks = d->n_tasks,
					  .n_drafted = ds->n,
					  .n_taken = n_taken,
					  .is_over = !s->task,
					  .cost = ds->cost + d->extra * part });
	ds->n = 0;
}

void draft_enter(struct batch *b, const struct slot *s)
{
	if (!b->draft)
		return;
	struct draft_slot *ds = of(b, s);
	gain_task_init(&ds->gain);
	ds->n = 0;
	/* As with the cells of the model itself: nobody learns what another's
	 * text was by how soon an answer comes. */
	if (b->draft->ctx && !batch_owner_same(&ds->owner, &s->owner))
		draft_model_forget(b->draft, ds, s->seq, 0);
	ds->owner = s->owner;
}

/* ---- beginning and end ---- */

int draft_open(struct batch *b, const struct draft_options *o, struct err *e)
{
	bool wants = o && (o->model || o->looks_up);
	if (!wants || b->facts.is_embedding)
		return 0;
	if (b->cut != BATCH_CUT_ANYWHERE) {
		if (o->model)
			return err_set(e, ERR_UNSUPPORTED,
				       "this model cannot use a draft model: "
				       "its state cannot be cut");
		return 0;
	}
	struct draft *d = b->draft = xcalloc(1, sizeof *d);
	d->o = *o;
	d->slots = xcalloc((size_t)b->facts.slots, sizeof *d->slots);
	gain_init(&d->gain);
	for (int i = 0; i < b->facts.slots; i++)
		gain_task_init(&d->slots[i].gain);
	if (d->o.model && draft_model_open(b, d, e))
		return err_wrap(e, "the draft model");
	return 0;
}

void draft_close(struct batch *b)
{
	struct draft *d = b->draft;
	if (!d)
		return;
	for (int i = 0; i < b->facts.slots; i++)
		tokens_fini(&d->slots[i].read);
	draft_model_close(d);
	free(d->slots);
	free(d);
	b->draft = NULL;
}

void draft_set_threads(struct batch *b, int threads)
{
	if (b->draft && b->draft->ctx)
		llama_set_n_threads(b->draft->ctx, threads, threads);
}
