#include "llama/draft_priv.h"

#include "io/timer.h"
#include "llama/weights.h"

#include <stdlib.h>
#include <string.h>

/* What the draft model reads at once: alone, beside other answers, and before
 * it is known how long that takes. */
#define READ_ALONE 256
#define READ_BESIDE 32
#define READ_FIRST 16
/* How much a new measurement counts. */
#define NEW 0.2
/* Vocabularies that fit have the same words from this one on, and one of them
 * at most so many more, as llama.cpp has it. */
#define FIRST_WORD 5
#define MORE_WORDS 128

/* ---- what it has read ---- */

void draft_model_forget(struct draft *d, struct draft_slot *ds,
			llama_seq_id seq, size_t from)
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
	draft_model_forget(d, ds, seq, known);
	size_t lacks = t->ask.tokens.n - 1 - known;
	if (!lacks)
		return true;
	double cost = draft_units(d, d->read_ns * (double)lacks);
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
		d->pause = DRAFT_NO_ROOM_STEPS;
		return false;
	}
	llama_synchronize(d->ctx);
	double ns = (double)(timer_now_ns() - start);
	d->read_ns = batch_smooth(d->read_ns, ns / (double)n, NEW);
	gain_pay_reading(&d->gain, &ds->gain, draft_units(d, ns));
	for (size_t i = 0; i < n; i++)
		tokens_push(&ds->read, t->ask.tokens.p[known + i]);
	return n == lacks;
}

/* ---- drafts ---- */

bool draft_model_ask(struct batch *b, struct draft_slot *ds,
		     const struct batch_task *t, const struct gain_case *given,
		     struct draft_source_ask *ask)
{
	struct draft *d = b->draft;
	struct gain_case c = *given;
	const struct tokens *all = &t->ask.tokens;
	if (all->n + c.most > d->context)
		c.most = d->context > all->n ? d->context - all->n : 0;
	c.each = draft_units(d, d->draft_ns);
	size_t n = draft_choose(d, ds, GAIN_MODEL, &c);
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
	ds->n = draft_known(b, ask->out, ask->n_out);
	ds->from = GAIN_MODEL;
	ds->cost = cost;
	if (!ds->n)
		gain_learn(&d->gain, &ds->gain, GAIN_MODEL,
			   &(struct gain_result){ .n_tasks = d->n_tasks,
						  .n_drafted = 1,
						  .cost = cost });
}

void draft_model_draft(struct batch *b, struct draft_source_ask *asks, size_t n)
{
	struct draft *d = b->draft;
	size_t made = 0;
	uint64_t start = timer_now_ns();
	draft_source_draft(d->source, asks, n);
	double ns = (double)(timer_now_ns() - start);
	for (size_t i = 0; i < n; i++)
		made += MAX(asks[i].n_out, (size_t)1);
	d->draft_ns = batch_smooth(d->draft_ns, ns / (double)made, NEW);
	for (size_t i = 0; i < n; i++)
		take_draft(b, &asks[i],
			   draft_units(d, ns) *
				   (double)MAX(asks[i].n_out, (size_t)1) /
				   (double)made);
}

/* ---- beginning and end ---- */

static int check_state(const struct weights *w, struct err *e)
{
	const struct llama_model *m = weights_model(w);
	if (llama_model_is_recurrent(m) || llama_model_is_hybrid(m) ||
	    llama_model_n_swa(m) > 0 || weights_is_embedding(w))
		return err_set(e, ERR_UNSUPPORTED,
			       "a model of this kind cannot draft: its state "
			       "cannot be cut");
	return 0;
}

/* What draft_source_open() wants of them, which leaks when it is not so. */
static bool is_same_mark(bool adds_a, bool adds_b, llama_token a, llama_token b)
{
	return adds_a == adds_b && (!adds_a || a == b);
}

static int check_words(const struct llama_vocab *a, const struct llama_vocab *b,
		       struct err *e)
{
	int32_t n = llama_vocab_n_tokens(a), m = llama_vocab_n_tokens(b);
	int32_t same = FIRST_WORD;
	while (same < MIN(n, m) && strcmp(llama_vocab_get_text(a, same),
					  llama_vocab_get_text(b, same)) == 0)
		same++;
	if (same >= MIN(n, m) && abs(n - m) <= MORE_WORDS &&
	    llama_vocab_type(a) == llama_vocab_type(b) &&
	    is_same_mark(llama_vocab_get_add_bos(a), llama_vocab_get_add_bos(b),
			 llama_vocab_bos(a), llama_vocab_bos(b)) &&
	    is_same_mark(llama_vocab_get_add_eos(a), llama_vocab_get_add_eos(b),
			 llama_vocab_eos(a), llama_vocab_eos(b)))
		return 0;
	return err_set(e, ERR_UNSUPPORTED,
		       "its vocabulary is not the model's: choose a smaller "
		       "model of the same family");
}

int draft_model_open(struct batch *b, struct draft *d, struct err *e)
{
	struct llama_context_params p = llama_context_default_params();
	struct llama_model *m = weights_model(d->o.model);
	int trained = llama_model_n_ctx_train(m);
	if (check_state(d->o.model, e) ||
	    check_words(weights_vocab(b->weights), weights_vocab(d->o.model),
			e))
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

void draft_model_close(struct draft *d)
{
	draft_source_close(d->source);
	if (!d->ctx)
		return;
	llama_batch_free(d->reading);
	llama_free(d->ctx);
}
