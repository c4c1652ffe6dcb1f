/* decode.c - one step of making text.
 *
 * A task is its tokens; a slot holds the state of the first of them; what is
 * missing is computed. When nothing is missing, the last row of logits gives
 * the next token, which then is what is missing: prompt and answer are one
 * thing. Each batch takes first the running answers (one token each) and then
 * prompts, as much as keeps the answers' pace; fair.c says whose. */
#include "llama/decode.h"

#include "llama/batch_priv.h"
#include "llama/common_shim.h"
#include "llama/draft.h"
#include "llama/lora_turn.h"
#include "llama/prefix.h"
#include "llama/weights.h"

#include "base/limits.h"
#include "base/log.h"
#include "io/timer.h"

/* While answers run, prompts may make a step this much longer: less would make
 * the prompt much slower, since a token of a small batch costs more (a third
 * more with 32 than with 64; measured). */
#define PROMPT_STEP_NS 200e6
#define PROMPT_STEP_LEAST 16
#define PROMPT_STEP_GOOD 64

static void leave_slot(struct batch_task *t)
{
	fair_give(t->batch, t);
	t->slot->task = NULL;
	t->slot = NULL;
	list_remove(&t->link);
	atomic_fetch_sub(&t->batch->n_running, 1);
}

void decode_end(struct batch_task *t, enum batch_end why)
{
	leave_slot(t);
	t->batch->is_full = false;
	if (t->times.n_drafted)
		log_debug("answer made tokens=%zu drafted=%zu accepted=%zu",
			  t->times.n_made, t->times.n_drafted,
			  t->times.n_accepted);
	batch_tell_end(t, why);
}

static void drop_cancelled(struct batch *b)
{
	list_each (it, &b->active)
		if (atomic_load(&batch_task_of(it)->cancelled))
			decode_end(batch_task_of(it), BATCH_STOP);
	list_each (it, &b->queue) {
		if (!atomic_load(&batch_task_of(it)->cancelled))
			continue;
		list_remove(it);
		batch_tell_end(batch_task_of(it), BATCH_STOP);
	}
}

static void start(struct batch *b, struct batch_task *t, struct slot *s)
{
	list_remove(&t->link);
	list_push_back(&b->active, &t->link);
	fair_take(b, t);
	atomic_fetch_add(&b->n_running, 1);
	s->task = t;
	t->slot = s;
	t->has_left = false;
	lora_turn_enter(b, s);
	draft_enter(b, s);
	if (t->times.began_ns)
		return; /* it had left, and is back */
	t->times.began_ns = timer_now_ns();
	t->times.n_cached = s->cells.n;
	for (size_t i = 0; i < t->n_prompt; i++)
		if (t->ask.tokens.p[i] >= 0) /* no picture */
			sample_saw(t->ask.sample, t->ask.tokens.p[i]);
}

static struct batch_task *find_paused(struct batch *b)
{
	list_each (it, &b->active)
		if (atomic_load(&batch_task_of(it)->paused))
			return batch_task_of(it);
	return NULL;
}

/* Are there neither slots nor room for anybody? */
static bool is_shut(const struct batch *b)
{
	return atomic_load(&((struct batch *)b)->n_running) ==
		       (size_t)b->facts.slots ||
	       (b->is_full && !list_is_empty(&b->active));
}

/* Has the task a place beside what runs? Who does not read gives its own up; as
 * there is much that it can read still, it takes its turn for another one. */
static bool has_place(struct batch *b, const struct batch_task *t)
{
	while (is_shut(b) || (!list_is_empty(&b->active) &&
			      prefix_cells(b, t) > llama_n_ctx(b->ctx))) {
		struct batch_task *paused = find_paused(b);
		if (!paused)
			return false;
		leave_slot(paused);
		list_push_front(&b->queue, &paused->link);
		b->is_full = false;
	}
	return true;
}

/* Gives slots to waiting tasks, as it is their turn, while their prompts fit
 * beside what runs. One that begins like a prompt being computed lets others
 * pass: soon it will find those cells. */
static void admit(struct batch *b)
{
	if (is_shut(b) && !find_paused(b))
		return;
	fair_rewind(b);
	for (struct batch_task *t; (t = fair_next(b));) {
		if (atomic_load(&t->paused)) {
			t->has_left = false;
			continue;
		}
		if (!has_place(b, t))
			return;
		if (prefix_is_coming(b, t))
			continue;
		struct slot *s = prefix_place(b, t);
		if (!s)
			return;
		start(b, t, s);
	}
}

static size_t missing(const struct batch_task *t)
{
	return t->ask.tokens.n - t->slot->cells.n;
}

bool decode_has(const struct batch *b, const struct batch_task *t)
{
	return !atomic_load(&t->paused) && lora_turn_has(b, t);
}

/* Puts up to `room` of the task's missing tokens into the batch; fewer where
 * the state between is wanted. */
static void put(struct batch *b, struct batch_task *t, size_t room)
{
	struct slot *s = t->slot;
	size_t n = MIN(MIN(missing(t), room), prefix_until_mark(t));
	n = MIN(n, runs_text(&t->ask.runs, s->cells.n));
	for (size_t i = 0; i < n; i++) {
		size_t pos = s->cells.n + i;
		bool is_last = pos + 1 == t->ask.tokens.n;
		bool told = t->ask.tells_prompt && pos + 1 >= t->n_told &&
			    pos < t->n_prompt;
		if (is_last)
			s->row = b->batch.n_tokens;
		batch_add(b, t->ask.tokens.p[pos], runs_pos(&t->ask.runs, pos),
			  s->seq, is_last || told);
	}
	s->n_new = n;
}

size_t decode_prompt_room(const struct batch *b, size_t n_answers)
{
	size_t room = (size_t)b->max_tokens - n_answers;
	if (!n_answers || b->prompt_ns <= 0)
		return room;
	size_t paced = (size_t)(PROMPT_STEP_NS / b->prompt_ns);
	if (paced > PROMPT_STEP_GOOD)
		paced -= paced % PROMPT_STEP_GOOD;
	return MIN(room, MAX(paced, (size_t)PROMPT_STEP_LEAST));
}

static void put_prompts(struct batch *b, size_t n_answers)
{
	struct batch_task *prompts[LIMIT_SLOTS];
	size_t lacks[LIMIT_SLOTS] = { 0 }, gets[LIMIT_SLOTS], n = 0;
	/* Each has a slot, so there is a row at least for each. */
	size_t rows = (size_t)b->max_rows - n_answers;
	list_each (it, &b->active) {
		struct batch_task *t = batch_task_of(it);
		size_t text = runs_text(&t->ask.runs, t->slot->cells.n);
		if (!decode_has(b, t) || missing(t) < 2 || !text)
			continue;
		prompts[n] = t;
		lacks[n++] = MIN(missing(t), text);
	}
	fair_share(lacks, n, decode_prompt_room(b, n_answers), gets);
	for (size_t i = 0; i < n; i++) {
		bool tells = prompts[i]->ask.tells_prompt;
		size_t most = rows - (n - 1 - i);
		put(b, prompts[i], tells ? MIN(gets[i], most) : gets[i]);
		rows -= tells ? prompts[i]->slot->n_new : 1;
	}
}

static void plan(struct batch *b)
{
	b->batch.n_tokens = 0;
	for (int i = 0; i < b->facts.slots; i++) {
		b->slots[i].n_new = 0;
		b->slots[i].row = -1;
	}
	list_each (it, &b->active)
		if (decode_has(b, batch_task_of(it)) &&
		    missing(batch_task_of(it)) == 1)
			put(b, batch_task_of(it), 1);
	put_prompts(b, (size_t)b->batch.n_tokens);
	draft_put(b);
}

static bool is_ender(const struct batch *b, int32_t token)
{
	return llama_vocab_is_eog(b->vocab, token);
}

static void tell(struct batch_task *t, struct batch_token *token, int32_t row)
{
	struct sample_prob top[LIMIT_TOP_LOGPROBS];
	size_t n = t->ask.n_top > 0 ? (size_t)t->ask.n_top : 0;
	struct batch *b = t->batch;
	if (t->ask.n_top >= 0 && row >= 0) {
		const float *logits = llama_get_logits_ith(b->ctx, row);
		token->has_logprob = true;
		token->n_top = MIN(n, b->n_vocab);
		token->logprob = sample_logprobs(logits, b->n_vocab, token->id,
						 top, token->n_top);
	}
	batch_tell_token(t, token, top);
}

/* The prompt's own tokens, each judged by the row before it. */
static void tell_prompt(struct batch_task *t, size_t from, int32_t first_row)
{
	struct slot *s = t->slot;
	if (t->n_told == 0) {
		struct batch_token token = { .id = t->ask.tokens.p[0],
					     .is_prompt = true };
		tell(t, &token, -1);
		t->n_told = 1;
	}
	while (t->n_told < t->n_prompt && t->n_told <= s->cells.n) {
		struct batch_token token = { .id = t->ask.tokens.p[t->n_told],
					     .is_prompt = true };
		size_t judge = t->n_told - 1;
		if (judge < from)
			break;
		tell(t, &token, first_row + (int32_t)(judge - from));
		t->n_told++;
	}
}

/* The next token, from that row. True: it is the one that was guessed, and the
 * task goes on. */
static bool sample(struct batch *b, struct batch_task *t, int32_t row,
		   int32_t guess)
{
	struct batch_token token = { .at_ns = timer_now_ns() };
	if (!t->times.n_made)
		t->times.prompt_done_ns = t->times.last_ns = token.at_ns;
	if (t->ask.max_tokens == 0) {
		decode_end(t, BATCH_LENGTH);
		return false;
	}
	token.id = sample_next(t->ask.sample, b->ctx, row);
	t->times.n_made++;
	t->times.n_accepted += guess >= 0 && token.id == guess;
	t->times.last_ns = token.at_ns;
	if (token.id == COMMON_SHIM_SLOW) {
		err_set(&t->err, ERR_INVALID,
			"the format that was asked for takes too long to keep "
			"to: its patterns or alternatives must be simpler");
		decode_end(t, BATCH_FAILED);
	} else if (token.id < 0) {
		err_set(&t->err, ERR_ENGINE,
			"no token of the model fits the "
			"format that was asked for");
		decode_end(t, BATCH_FAILED);
	} else if (is_ender(b, token.id)) {
		decode_end(t, BATCH_STOP);
	} else {
		tokens_push(&t->ask.tokens, token.id);
		tell(t, &token, row);
		if ((int64_t)t->times.n_made == t->ask.max_tokens ||
		    t->ask.tokens.n >= (size_t)b->facts.context)
			decode_end(t, BATCH_LENGTH);
		else
			return guess >= 0 && token.id == guess;
	}
	return false;
}

void decode_sample(struct batch *b, struct batch_task *t, int32_t row)
{
	sample(b, t, row, -1);
}

/* Drafted tokens stand as far as they are what is sampled anyway; each then has
 * its cell, and its row for the next. */
static void answer(struct batch *b, struct batch_task *t, int32_t row)
{
	struct slot *s = t->slot;
	size_t n = 0;
	int32_t guess = draft_token(b, s, n);
	while (sample(b, t, row, guess)) {
		tokens_push(&s->cells, guess);
		row = draft_row(b, s, n++);
		guess = draft_token(b, s, n);
	}
	draft_settle(b, s, n);
}

/* The batch is computed: its tokens are cells now. */
static void harvest(struct batch *b)
{
	list_each (it, &b->active) {
		struct batch_task *t = batch_task_of(it);
		struct slot *s = t->slot;
		size_t from = s->cells.n;
		int32_t row = s->row;
		for (size_t i = 0; i < s->n_new; i++)
			tokens_push(&s->cells, t->ask.tokens.p[from + i]);
		s->used = ++b->clock;
		if (!s->n_new)
			continue;
		if (t->ask.tells_prompt && t->n_told < t->n_prompt) {
			int32_t first = 0;
			while (b->batch.seq_id[first][0] != s->seq)
				first++;
			tell_prompt(t, from, first);
		}
		prefix_computed(b, t);
		if (row >= 0)
			answer(b, t, row);
	}
}

/* There is no room for the batch. Idle slots go first; then the youngest task
 * starts again later, with the tokens it has; one that is alone is full. */
void decode_make_room(struct batch *b)
{
	if (prefix_evict(b))
		return;
	struct batch_task *t = batch_task_of(b->active.prev);
	struct slot *s = t->slot;
	bool is_alone = b->active.next == b->active.prev;
	if (is_alone) {
		decode_end(t, BATCH_LENGTH);
		prefix_clear(b, s);
		return;
	}
	leave_slot(t);
	prefix_give_up(b, s);
	list_push_front(&b->queue, &t->link);
	t->has_left = b->is_full = true;
}

void decode_fail(struct batch_task *t, const struct err *e)
{
	struct batch *b = t->batch;
	struct slot *s = t->slot;
	t->err = *e;
	decode_end(t, BATCH_FAILED); /* from here on it is the loop's */
	prefix_clear(b, s);
}

static void fail_all(struct batch *b, int rc)
{
	struct err e;
	batch_complaint(rc, &e);
	list_each (it, &b->active)
		if (batch_task_of(it)->slot->n_new)
			decode_fail(batch_task_of(it), &e);
}

static void measure(struct batch *b, uint64_t ns, size_t n_answers)
{
	size_t n = (size_t)b->batch.n_tokens - n_answers;
	if (n < PROMPT_STEP_LEAST)
		return;
	double each = (double)ns / (double)n;
	b->prompt_ns = batch_smooth(b->prompt_ns, each, 0.3);
}

bool decode_step(struct batch *b)
{
	drop_cancelled(b);
	admit(b);
	lora_turn_choose(b);
	plan(b);
	if (!b->batch.n_tokens)
		return sight_step(b);
	size_t n_answers = draft_count(b);
	for (int i = 0; i < b->facts.slots; i++)
		n_answers += b->slots[i].n_new == 1;
	uint64_t start = timer_now_ns();
	int rc = batch_compute(b);
	if (rc == 1) {
		if (!draft_had_no_room(b))
			decode_make_room(b);
	} else if (rc) {
		fail_all(b, rc);
	} else {
		uint64_t took = timer_now_ns() - start;
		measure(b, took, n_answers);
		draft_computed(b, (double)took);
		harvest(b);
		sight_step(b);
	}
	return true;
}
