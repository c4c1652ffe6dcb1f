#include "llama/draft.h"

#include "base/log.h"
#include "io/timer.h"
#include "llama/batch_priv.h"
#include "llama/draft_source.h"
#include "llama/gain.h"
#include "llama/weights.h"

/* So many tokens must have come before, for what followed them to follow again.
 * Fewer come by chance. */
#define KEY 4
/* Beside more answers than this a batch is large already. */
#define MOST_TASKS 8
/* Steps without drafts after one had no room for them. */
#define NO_ROOM_STEPS 32
/* What the draft model reads at once: alone, beside other answers, and before
 * it is known how long that takes. */
#define READ_ALONE 256
#define READ_BESIDE 32
#define READ_FIRST 16
/* How much a new measurement counts. */
#define NEW 0.2

struct draft_slot {
	struct gain_task gain;
	enum gain_source from;
	int32_t tokens[DRAFT_MOST];
	size_t n;	   /* of them, in the batch being made */
	int32_t first_row; /* of their logits */
	double cost;	   /* of making them, units */
	/* The draft model's state. */
	struct tokens read;
	struct batch_owner owner; /* of it */
};

struct draft {
	struct draft_options o;
	struct gain gain;
	struct draft_slot *slots; /* owned; one for each of the batch */
	/* Of the step. */
	size_t n_tasks, n_drafted;
	double extra; /* what the drafts made it take longer, units */
	unsigned pause;
	/* Of the draft model; NULL: none. */
	struct llama_context *ctx;   /* owned */
	struct draft_source *source; /* owned */
	struct llama_batch reading;
	size_t context;	 /* tokens it can know */
	double draft_ns; /* a token drafted, smoothed; 0: not known */
	double read_ns;	 /* a token read, likewise */
};

static struct draft_slot *of(const struct batch *b, const struct slot *s)
{
	return &b->draft->slots[s->seq];
}

/* A time in steps of one token; 0 as long as that is not known. */
static double units(const struct draft *d, double ns)
{
	return d->gain.unit_ns > 0 ? ns / d->gain.unit_ns : 0;
}

static size_t choose(const struct draft *d, const struct draft_slot *ds,
		     enum gain_source from, const struct gain_case *c)
{
	return d->o.is_adaptive ? gain_choose(&d->gain, &ds->gain, from, c)
				: c->most;
}

/* Two vocabularies may differ by some tokens at the end. */
static size_t known_tokens(const struct batch *b, const int32_t *p, size_t n)
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
	size_t n = choose(d, ds, GAIN_NGRAM, c);
	if (!n)
		return;
	uint64_t start = timer_now_ns();
	size_t found = draft_source_lookup(t->p, t->n, KEY, ds->tokens, n);
	found = known_tokens(b, ds->tokens, found);
	double cost = units(d, (double)(timer_now_ns() - start));
	if (found && found < n) {
		c->most = found;
		found = choose(d, ds, GAIN_NGRAM, c);
	}
	ds->n = found;
	ds->from = GAIN_NGRAM;
	ds->cost = cost;
	if (!found)
		gain_pay(&d->gain, &ds->gain, cost);
}

/* ---- by the draft model ---- */

static void forget(struct draft *d, struct draft_slot *ds, llama_seq_id seq,
		   size_t from)
{
	llama_memory_seq_rm(llama_get_memory(d->ctx), seq, (llama_pos)from, -1);
	ds->read.n = MIN(ds->read.n, from);
}

static void forget_all(struct batch *b)
{
	llama_memory_clear(llama_get_memory(b->draft->ctx), false);
	for (int i = 0; i < b->facts.slots; i++)
		b->draft->slots[i].read.n = 0;
}

static void fill(struct draft *d, const struct tokens *t, llama_seq_id seq,
		 size_t from, size_t n)
{
	d->reading.n_tokens = 0;
	for (size_t i = 0; i < n; i++) {
		int32_t at = d->reading.n_tokens++;
		d->reading.token[at] = t->p[from + i];
		d->reading.pos[at] = (llama_pos)(from + i);
		d->reading.n_seq_id[at] = 1;
		d->reading.seq_id[at][0] = seq;
	}
}

/* Brings the draft model to where the task is but for the last token; false: it
 * is not there yet, or that would cost more than drafts may. */
static bool read_on(struct batch *b, struct draft_slot *ds,
		    const struct batch_task *t)
{
	struct draft *d = b->draft;
	llama_seq_id seq = t->slot->seq;
	size_t known = MIN(tokens_common(&ds->read, &t->ask.tokens),
			   t->ask.tokens.n - 1);
	forget(d, ds, seq, known);
	size_t lacks = t->ask.tokens.n - 1 - known;
	if (!lacks)
		return true;
	double cost = units(d, d->read_ns * (double)lacks);
	if (d->o.is_adaptive && !gain_affords(&d->gain, &ds->gain, cost))
		return false;
	size_t n =
		MIN(lacks, (size_t)(d->n_tasks > 1 ? READ_BESIDE : READ_ALONE));
	if (!(d->read_ns > 0))
		n = MIN(n, (size_t)READ_FIRST);
	fill(d, &t->ask.tokens, seq, known, n);
	uint64_t start = timer_now_ns();
	if (!draft_source_read(d->source, &d->reading)) {
		forget_all(b);
		d->pause = NO_ROOM_STEPS;
		return false;
	}
	llama_synchronize(d->ctx);
	double ns = (double)(timer_now_ns() - start);
	d->read_ns = batch_smooth(d->read_ns, ns / (double)n, NEW);
	gain_pay_reading(&d->gain, &ds->gain, units(d, ns));
	for (size_t i = 0; i < n; i++)
		tokens_push(&ds->read, t->ask.tokens.p[known + i]);
	return n == lacks;
}

/* Asks the draft model, if that is expected to pay. */
static bool ask_model(struct batch *b, struct draft_slot *ds,
		      const struct batch_task *t, const struct gain_case *given,
		      struct draft_source_ask *ask)
{
	struct draft *d = b->draft;
	struct gain_case c = *given;
	const struct tokens *all = &t->ask.tokens;
	if (all->n + c.most > d->context)
		c.most = d->context > all->n ? d->context - all->n : 0;
	c.each = units(d, d->draft_ns);
	size_t n = choose(d, ds, GAIN_MODEL, &c);
	if (!n || !read_on(b, ds, t))
		return false;
	*ask = (struct draft_source_ask){ .sequence = t->slot->seq,
					  .last = all->p[all->n - 1],
					  .pos = all->n - 1,
					  .most = n,
					  .out = ds->tokens };
	return true;
}

static void take_draft(struct batch *b, const struct draft_source_ask *ask,
		       double cost)
{
	struct draft *d = b->draft;
	struct draft_slot *ds = &d->slots[ask->sequence];
	/* Without a draft it is not known whether that was read. */
	if (ask->n_out)
		tokens_push(&ds->read, ask->last);
	for (size_t i = 0; i + 1 < ask->n_out; i++)
		tokens_push(&ds->read, ask->out[i]);
	ds->n = known_tokens(b, ask->out, ask->n_out);
	ds->from = GAIN_MODEL;
	ds->cost = cost;
	if (!ds->n)
		gain_learn(&d->gain, &ds->gain, GAIN_MODEL,
			   &(struct gain_result){ .n_tasks = d->n_tasks,
						  .n_drafted = 1,
						  .cost = cost });
}

static void ask_all(struct batch *b, struct draft_source_ask *asks, size_t n)
{
	struct draft *d = b->draft;
	size_t made = 0;
	if (!n)
		return;
	uint64_t start = timer_now_ns();
	draft_source_draft(d->source, asks, n);
	double ns = (double)(timer_now_ns() - start);
	for (size_t i = 0; i < n; i++)
		made += MAX(asks[i].n_out, (size_t)1);
	d->draft_ns = batch_smooth(d->draft_ns, ns / (double)made, NEW);
	for (size_t i = 0; i < n; i++)
		take_draft(b, &asks[i],
			   units(d, ns) *
				   (double)MAX(asks[i].n_out, (size_t)1) /
				   (double)made);
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
		if (t->slot->n_new != 1 || !t->times.n_made || is_moved(t))
			continue;
		struct gain_case c = { .n_tasks = d->n_tasks,
				       .n_batch = n_batch,
				       .most = most_for(b, t, share) };
		if (d->o.looks_up)
			look_up(b, ds, &t->ask.tokens, &c);
		c.most = most_for(b, t, share);
		if (!ds->n && d->ctx && c.most && !t->ask.runs.n &&
		    ask_model(b, ds, t, &c, &asks[n_asks]))
			n_batch += asks[n_asks++].most;
		n_batch += ds->n;
	}
	ask_all(b, asks, n_asks);
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
	b->draft->pause = NO_ROOM_STEPS;
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
		forget(b->draft, ds, s->seq, 0);
	ds->owner = s->owner;
}

/* ---- beginning and end ---- */

static int check_model(const struct weights *w, struct err *e)
{
	const struct llama_model *m = weights_model(w);
	if (llama_model_is_recurrent(m) || llama_model_is_hybrid(m) ||
	    llama_model_n_swa(m) > 0 || weights_is_embedding(w))
		return err_set(e, ERR_UNSUPPORTED,
			       "a model of this kind cannot draft: its state "
			       "cannot be cut");
	return 0;
}

static int open_model(struct batch *b, struct draft *d, struct err *e)
{
	struct llama_context_params p = llama_context_default_params();
	struct llama_model *m = weights_model(d->o.model);
	int trained = llama_model_n_ctx_train(m);
	if (check_model(d->o.model, e))
		return -1;
	gain_lend(&d->gain);
	d->context = (size_t)b->facts.context;
	if (weights_has_positions(d->o.model) && trained > 0)
		d->context = MIN(d->context, (size_t)trained);
	p.n_ctx = llama_n_ctx(b->ctx);
	p.n_batch = p.n_ubatch = (uint32_t)MAX(READ_ALONE, b->facts.slots);
	p.n_seq_max = (uint32_t)b->facts.slots;
	p.n_threads = p.n_threads_batch = b->facts.threads;
	p.kv_unified = true;
	p.no_perf = true;
	p.abort_callback = batch_is_stopping;
	p.abort_callback_data = b;
	d->ctx = llama_init_from_model(m, p);
	if (!d->ctx)
		return weights_complaint(ERR_MEMORY, e);
	if (b->pool)
		llama_attach_threadpool(d->ctx, b->pool, b->pool);
	d->reading = llama_batch_init(READ_ALONE, 0, 1);
	struct draft_source_options o = {
		.target = b->ctx,
		.drafts = d->ctx,
		.n_sequences = (size_t)b->facts.slots,
		.most = d->o.most,
		.least = d->o.least,
		.p_min = d->o.p_min,
	};
	struct common_shim_bytes bytes;
	common_shim_memory(d->ctx, &bytes);
	b->facts.memory.model += bytes.model;
	b->facts.memory.context += bytes.context;
	b->facts.memory.compute += bytes.compute;
	return draft_source_open(&o, &d->source, e);
}

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
	if (d->o.model && open_model(b, d, e))
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
	draft_source_close(d->source);
	if (d->ctx) {
		llama_batch_free(d->reading);
		llama_free(d->ctx);
	}
	free(d->slots);
	free(d);
	b->draft = NULL;
}

void draft_set_threads(struct batch *b, int threads)
{
	if (b->draft && b->draft->ctx)
		llama_set_n_threads(b->draft->ctx, threads, threads);
}
