/* sight.c - one step of seeing.
 *
 * A task whose next token is a picture waits until that is encoded, which
 * happens on another thread; then its embeddings are computed like a prompt's
 * tokens, in pieces that keep the pace of the answers, beside the step's batch
 * of tokens since llama.cpp takes no batch of both. */
#include "llama/batch_priv.h"
#include "llama/decode.h"
#include "llama/lora.h"
#include "llama/prefix.h"
#include "llama/image.h"
#include "llama/projector.h"
#include "llama/weights.h"

/* Time, row, column, and one that only some use. */
#define AXES 4

/* A part of a task's picture that is to be computed. */
struct piece {
	struct batch_task *task;
	const struct run *run;
	const float *embeddings; /* of the whole picture */
	size_t first, n;	 /* of its tokens */
};

bool sight_waits(const struct batch_task *t)
{
	const struct run *r = runs_find(&t->ask.runs, t->slot->cells.n);
	const float *made;
	return r && image_embeddings(r->image, &made) == IMAGE_WAIT;
}

/* Also has the others encoded, since that takes longest. */
static bool find(struct batch *b, struct piece *out)
{
	out->task = NULL;
	list_each (it, &b->active) {
		struct batch_task *t = batch_task_of(it);
		const struct run *r = runs_find(&t->ask.runs, t->slot->cells.n);
		const float *made;
		struct err e;
		if (!r || !decode_has(b, t))
			continue;
		switch (image_embeddings(r->image, &made)) {
		case IMAGE_WAIT:
			break;
		case IMAGE_FAILED:
			weights_complaint(ERR_ENGINE, &e);
			err_wrap(&e, "a picture");
			decode_fail(t, &e);
			break;
		case IMAGE_READY:
			if (!out->task)
				*out = (struct piece){ t, r, made, 0, 0 };
			break;
		}
	}
	return out->task != NULL;
}

static size_t count_answers(const struct batch *b)
{
	size_t n = 0;
	list_each (it, &((struct batch *)b)->active) {
		const struct batch_task *t = batch_task_of(it);
		n += decode_has(b, t) &&
		     t->ask.tokens.n == t->slot->cells.n + 1;
	}
	return n;
}

static void put_positions(const struct batch *b, const struct piece *p,
			  llama_pos *out)
{
	enum llama_rope_type rope =
		llama_model_rope_type(weights_model(b->weights));
	bool has_axes =
		rope == LLAMA_ROPE_TYPE_MROPE || rope == LLAMA_ROPE_TYPE_IMROPE;
	size_t start = runs_pos(&p->task->ask.runs, p->run->at);
	for (size_t i = 0; i < p->n; i++) {
		int32_t at[AXES];
		image_place(p->run->image, start, p->first + i, at);
		for (size_t k = 0; k < (has_axes ? AXES : 1); k++)
			out[k * p->n + i] = at[k];
	}
}

static int compute(struct batch *b, const struct piece *p)
{
	size_t width = projector_width(b->projector);
	auto_free llama_pos *pos = xcalloc(AXES * p->n, sizeof *pos);
	auto_free int32_t *n_seq = xcalloc(p->n, sizeof *n_seq);
	auto_free llama_seq_id **seq = xcalloc(p->n + 1, sizeof *seq);
	auto_free int8_t *rows = xcalloc(p->n, 1);
	bool is_whole = p->run->image->is_whole;
	for (size_t i = 0; i < p->n; i++) {
		n_seq[i] = 1;
		seq[i] = &p->task->slot->seq;
	}
	put_positions(b, p, pos);
	size_t end = p->run->at + p->first + p->n;
	rows[p->n - 1] = end == p->task->ask.tokens.n;
	struct llama_batch batch = {
		.n_tokens = (int32_t)p->n,
		.embd = (float *)p->embeddings + p->first * width,
		.pos = pos,
		.n_seq_id = n_seq,
		.seq_id = seq,
		.logits = rows,
	};
	lora_apply(b->lora, b->ctx, &b->turn.lora);
	if (is_whole)
		llama_set_causal_attn(b->ctx, false);
	int rc = llama_decode(b->ctx, batch);
	if (is_whole)
		llama_set_causal_attn(b->ctx, true);
	if (!rc)
		llama_synchronize(b->ctx);
	return rc;
}

static void harvest(struct batch *b, const struct piece *p)
{
	struct batch_task *t = p->task;
	struct slot *s = t->slot;
	for (size_t i = 0; i < p->n; i++)
		tokens_push(&s->cells, t->ask.tokens.p[s->cells.n]);
	s->used = ++b->clock;
	if (s->cells.n < p->run->at + p->run->image->n_tokens)
		return;
	image_drop(p->run->image);
	prefix_computed(b, t);
	if (s->cells.n == t->ask.tokens.n)
		decode_sample(b, t, (int32_t)p->n - 1);
}

bool sight_step(struct batch *b)
{
	struct piece p;
	if (!b->projector || !find(b, &p))
		return false;
	p.first = p.task->slot->cells.n - p.run->at;
	p.n = p.run->image->n_tokens - p.first;
	if (!p.run->image->is_whole)
		p.n = MIN(p.n, decode_prompt_room(b, count_answers(b)));
	int rc = compute(b, &p);
	if (rc == 1) {
		decode_make_room(b);
	} else if (rc) {
		struct err e;
		batch_complaint(rc, &e);
		decode_fail(p.task, &e);
	} else {
		harvest(b, &p);
	}
	return true;
}
