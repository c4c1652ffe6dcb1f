/* batch.c - the thread, its inbox and its outbox. A task is the loop thread's
 * until it is in the inbox, then the compute thread's until its OUT_END is in
 * the outbox; the loop frees it after delivering that. */
#include "llama/batch.h"

#include "base/limits.h"
#include "base/log.h"
#include "io/timer.h"
#include "llama/batch_priv.h"
#include "llama/cpu_own.h"
#include "llama/decode.h"
#include "llama/draft.h"
#include "llama/projector.h"
#include "llama/sizing.h"
#include "llama/weights.h"

#include <assert.h>
#include <errno.h>
#include <malloc.h>
#include <time.h>
#include <uv.h>

/* After so long without work it rests: much longer than between two requests of
 * who is busy, so that this costs nothing then. */
#define REST_AFTER_S 1

static void task_free(struct batch_task *t)
{
	tokens_fini(&t->ask.tokens);
	runs_fini(&t->ask.runs);
	sample_free(t->ask.sample);
	free(t);
}

/* ---- the compute thread ---- */

void batch_add(struct batch *b, llama_token token, size_t pos, llama_seq_id seq,
	       bool has_row)
{
	int32_t i = b->batch.n_tokens++;
	b->batch.token[i] = token;
	b->batch.pos[i] = (llama_pos)pos;
	b->batch.n_seq_id[i] = 1;
	b->batch.seq_id[i][0] = seq;
	b->batch.logits[i] = has_row;
}

bool batch_owner_same(const struct batch_owner *a, const struct batch_owner *b)
{
	return strcmp(a->name, b->name) == 0 && lora_same(&a->lora, &b->lora);
}

void batch_complaint(int rc, struct err *e)
{
	weights_complaint(ERR_ENGINE, e);
	err_wrap(e, "llama_decode gave %d", rc);
}

static uint64_t cpu_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* Drafts change a batch's size all the time: counted is what it would have
 * taken without them. */
static void set_pace(struct batch *b, uint64_t wall_ns, uint64_t ns)
{
	int size = b->batch.n_tokens - (int)draft_count(b), was = b->pace.now;
	double part = draft_plain_part(b);
	if (pace_step(&b->pace, size, (uint64_t)((double)wall_ns * part),
		      (uint64_t)((double)ns * part), timer_now_ns()) == was)
		return;
	log_debug("threads changed from=%d to=%d", was, b->pace.now);
	llama_set_n_threads(b->ctx, b->pace.now, b->pace.now);
	draft_set_threads(b, b->pace.now);
}

int batch_compute(struct batch *b)
{
	lora_apply(b->lora, b->ctx, &b->turn.lora);
	uint64_t wall = timer_now_ns(), cpu = cpu_ns();
	int rc = llama_decode(b->ctx, b->batch);
	if (rc)
		return rc;
	llama_synchronize(b->ctx);
	if (b->is_paced)
		set_pace(b, timer_now_ns() - wall, cpu_ns() - cpu);
	return 0;
}

static void post(struct batch *b, struct out *o)
{
	struct outbox *box = &b->outbox;
	o->times = o->task->times;
	pthread_mutex_lock(&b->mutex);
	if (box->n == box->cap) {
		box->cap = box->cap ? 2 * box->cap : 64;
		box->p = xrealloc(box->p, box->cap * sizeof *box->p);
	}
	box->p[box->n++] = *o;
	pthread_mutex_unlock(&b->mutex);
}

void batch_tell_token(struct batch_task *t, const struct batch_token *token,
		      const struct sample_prob *top)
{
	struct out o = { .task = t, .kind = OUT_TOKEN, .token = *token };
	if (token->n_top) {
		o.top = xcalloc(token->n_top, sizeof *top);
		memcpy(o.top, top, token->n_top * sizeof *top);
	}
	post(t->batch, &o);
}

void batch_tell_vector(struct batch_task *t, float *vector)
{
	post(t->batch,
	     &(struct out){ .task = t, .kind = OUT_VECTOR, .vector = vector });
}

void batch_tell_end(struct batch_task *t, enum batch_end why)
{
	t->why = why;
	fair_leave(t->batch, t);
	post(t->batch, &(struct out){ .task = t, .kind = OUT_END });
}

static bool has_news(const struct batch *b)
{
	return !list_is_empty(&b->inbox) || b->is_woken ||
	       atomic_load(&b->is_stopping);
}

/* Gives back the memory that work has left behind. */
static void rest(struct batch *b)
{
	b->has_worked = false;
	weights_rest(b->weights);
	if (b->drafts)
		weights_rest(b->drafts);
	/* A projector has a context of its own, and a thread. */
	if (!b->projector)
		cpu_own_rest();
	malloc_trim(0);
}

/* Until there is news, with the mutex; after work it rests once. */
static void wait_for_news(struct batch *b)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	t.tv_sec += REST_AFTER_S;
	while (b->has_worked && !has_news(b)) {
		if (pthread_cond_timedwait(&b->cond, &b->mutex, &t) !=
		    ETIMEDOUT)
			continue;
		pthread_mutex_unlock(&b->mutex);
		rest(b);
		pthread_mutex_lock(&b->mutex);
	}
	while (!has_news(b))
		pthread_cond_wait(&b->cond, &b->mutex);
}

/* Waits for news if there is nothing else to do; takes new tasks. */
static void take_inbox(struct batch *b, bool is_idle)
{
	pthread_mutex_lock(&b->mutex);
	if (is_idle)
		wait_for_news(b);
	b->is_woken = false;
	for (struct list *it; (it = list_pop_front(&b->inbox));) {
		fair_enter(b, batch_task_of(it));
		list_push_back(&b->queue, it);
	}
	pthread_mutex_unlock(&b->mutex);
}

static void show_slots(struct batch *b)
{
	for (int i = 0; i < b->facts.slots; i++) {
		const struct slot *s = &b->slots[i];
		atomic_store_explicit(&b->views[i].is_busy, s->task != NULL,
				      memory_order_relaxed);
		atomic_store_explicit(&b->views[i].n_cells, s->cells.n,
				      memory_order_relaxed);
	}
}

static bool step(struct batch *b)
{
	bool did = b->facts.is_embedding ? embed_step(b) : decode_step(b);
	show_slots(b);
	uv_async_send(b->bell);
	return did;
}

bool batch_step(struct batch *b)
{
	take_inbox(b, false);
	return step(b);
}

static void *run(void *arg)
{
	struct batch *b = arg;
	bool is_idle = false;
	b->has_worked = true; /* the model was loaded */
	while (!atomic_load(&b->is_stopping)) {
		take_inbox(b, is_idle);
		is_idle = !step(b);
		b->has_worked |= !is_idle;
	}
	return NULL;
}

/* ---- the loop thread ---- */

static void deliver(struct batch *b, struct out *o)
{
	struct batch_task *t = o->task;
	t->told = o->times;
	o->token.top = o->top;
	if (o->kind == OUT_END) {
		list_remove(&t->open_link);
		b->n_open--;
	}
	if (!t->is_silent) {
		switch (o->kind) {
		case OUT_TOKEN:
			t->fns->on_token(t->ctx, &o->token);
			break;
		case OUT_VECTOR:
			t->fns->on_vector(t->ctx, o->vector,
					  (size_t)b->facts.vector_length);
			break;
		case OUT_END:
			t->fns->on_end(t->ctx, t->why, &t->err);
			break;
		}
	}
	if (o->kind == OUT_END)
		task_free(t);
	free(o->top);
	free(o->vector);
}

static void on_bell(uv_async_t *bell)
{
	struct batch *b = bell->data;
	pthread_mutex_lock(&b->mutex);
	struct outbox full = b->outbox;
	b->outbox = b->delivering;
	pthread_mutex_unlock(&b->mutex);
	for (size_t i = 0; i < full.n; i++)
		deliver(b, &full.p[i]);
	full.n = 0;
	b->delivering = full;
}

static void on_bell_closed(uv_handle_t *h)
{
	free(h);
}

struct batch_task *batch_start(struct batch *b, struct batch_ask *ask,
			       const struct batch_fns *fns, void *ctx)
{
	assert(ask->tokens.n && ask->tokens.n <= (size_t)b->facts.context);
	struct batch_task *t = xcalloc(1, sizeof *t);
	t->batch = b;
	t->ask = *ask;
	*ask = (struct batch_ask){ 0 };
	t->n_prompt = t->times.n_prompt = t->told.n_prompt = t->ask.tokens.n;
	t->fns = fns;
	t->ctx = ctx;
	list_init(&t->link);
	list_push_back(&b->open, &t->open_link);
	b->n_open++;
	pthread_mutex_lock(&b->mutex);
	list_push_back(&b->inbox, &t->link);
	pthread_cond_signal(&b->cond);
	pthread_mutex_unlock(&b->mutex);
	return t;
}

static void wake(void *batch)
{
	struct batch *b = batch;
	pthread_mutex_lock(&b->mutex);
	b->is_woken = true;
	pthread_cond_signal(&b->cond);
	pthread_mutex_unlock(&b->mutex);
}

void batch_cancel(struct batch_task *t)
{
	t->is_silent = true;
	atomic_store(&t->cancelled, true);
	wake(t->batch);
}

void batch_pause(struct batch_task *t, bool is_paused)
{
	/* Also when it stops: another may have counted on its going on. */
	if (atomic_exchange(&t->paused, is_paused) != is_paused)
		wake(t->batch);
}

struct batch_times batch_times(const struct batch_task *t)
{
	return t->told;
}

size_t batch_open(const struct batch *b)
{
	return b->n_open;
}

size_t batch_open_of(const struct batch *b, const char *name)
{
	size_t n = 0;
	list_each (it, &b->open) {
		const struct batch_task *t =
			container_of(it, struct batch_task, open_link);
		n += strcmp(t->ask.owner.name, name) == 0;
	}
	return n;
}

size_t batch_running(const struct batch *b)
{
	return atomic_load(&((struct batch *)b)->n_running);
}

bool batch_slot(const struct batch *b, int i, size_t *n_tokens)
{
	const struct slot_view *v = &b->views[i];
	*n_tokens = atomic_load_explicit(&((struct slot_view *)v)->n_cells,
					 memory_order_relaxed);
	return atomic_load_explicit(&((struct slot_view *)v)->is_busy,
				    memory_order_relaxed);
}

struct batch_kept batch_kept(const struct batch *b)
{
	struct batch *m = (struct batch *)b;
	return (struct batch_kept){ .bytes = atomic_load(&m->keep.bytes),
				    .n = atomic_load(&m->keep.n),
				    .n_kept = atomic_load(&m->n_kept),
				    .n_restored = atomic_load(&m->n_restored) };
}

const char *batch_kind(const struct batch_facts *f)
{
	return f->is_ranking	 ? "ranking"
	       : f->is_embedding ? "embedding"
				 : "text";
}

const struct batch_facts *batch_facts(const struct batch *b)
{
	return &b->facts;
}

/* ---- its beginning and its end ---- */

bool batch_is_stopping(void *batch)
{
	struct batch *b = batch;
	return atomic_load(&b->is_stopping);
}

static void slots_init(struct batch *b)
{
	struct llama_model *m = weights_model(b->weights);
	b->slots = xcalloc((size_t)b->facts.slots, sizeof *b->slots);
	b->views = xcalloc((size_t)b->facts.slots, sizeof *b->views);
	for (int i = 0; i < b->facts.slots; i++) {
		b->slots[i].seq = i;
		b->slots[i].shared =
			xcalloc((size_t)b->facts.slots, sizeof(size_t));
	}
	b->is_recurrent = llama_model_is_recurrent(m);
	b->window = (size_t)llama_model_n_swa(m);
	/* It summarises what it has read, and has no part apart. */
	bool sums = weights_is_a(b->weights, "deepseek4");
	b->parts_are_whole = b->is_recurrent || sums;
	b->cut = b->parts_are_whole || llama_model_is_hybrid(m)
			 ? BATCH_CUT_NOWHERE
		 : b->window ? BATCH_CUT_IN_WINDOW
			     : BATCH_CUT_ANYWHERE;
}

static int context_init(struct batch *b, const struct batch_options *o,
			struct err *e)
{
	struct sizing size;
	struct llama_context_params p;
	if (sizing_choose(o, &size, &p, e))
		return -1;
	p.abort_callback = batch_is_stopping;
	p.abort_callback_data = b;
	b->ctx = llama_init_from_model(weights_model(o->weights), p);
	if (!b->ctx)
		return weights_complaint(ERR_MEMORY, e);
	b->pool = sizing_attach_threads(b->ctx, size.threads);
	b->memory = llama_get_memory(b->ctx);
	b->facts.context = size.context;
	b->facts.slots = size.slots;
	b->facts.threads = size.threads;
	pace_init(&b->pace, size.threads);
	b->is_paced = !ggml_backend_dev_by_type(GGML_BACKEND_DEVICE_TYPE_GPU);
	b->facts.is_embedding = size.is_embedding;
	b->facts.is_ranking =
		size.is_embedding && p.pooling_type == LLAMA_POOLING_TYPE_RANK;
	b->max_tokens = b->facts.batch_tokens = (int)p.n_batch;
	b->max_rows = p.n_outputs_max ? (int)p.n_outputs_max : (int)p.n_batch;
	b->facts.vector_length =
		b->facts.is_ranking
			? (int)llama_model_n_cls_out(weights_model(o->weights))
			: llama_model_n_embd_out(weights_model(o->weights));
	common_shim_memory(b->ctx, &b->facts.memory);
	b->batch = llama_batch_init(b->max_tokens, 0, 1);
	return 0;
}

/* Its times are those of a clock that nobody sets. */
static void cond_init(pthread_cond_t *c)
{
	pthread_condattr_t attr;
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(c, &attr);
	pthread_condattr_destroy(&attr);
}

int batch_new_still(struct uv_loop_s *loop, const struct batch_options *o,
		    struct batch **out, struct err *e)
{
	auto_(batch) b = xcalloc(1, sizeof *b);
	b->weights = o->weights;
	b->drafts = o->draft ? o->draft->model : NULL;
	b->lora = o->lora;
	b->projector = o->projector;
	b->vocab = weights_vocab(o->weights);
	b->n_vocab = (size_t)llama_vocab_n_tokens(b->vocab);
	list_init(&b->open);
	list_init(&b->inbox);
	list_init(&b->queue);
	list_init(&b->active);
	pthread_mutex_init(&b->mutex, NULL);
	cond_init(&b->cond);
	if (context_init(b, o, e))
		return -1;
	slots_init(b);
	if (draft_open(b, o->draft, e))
		return -1;
	b->facts.cache_bytes = b->facts.is_embedding ? 0 : o->cache_bytes;
	keep_init(&b->keep, b->facts.cache_bytes);
	uv_async_t *bell = xcalloc(1, sizeof *bell);
	int rc = uv_async_init(loop, bell, on_bell);
	if (rc) {
		free(bell);
		return err_set(e, ERR_SYSTEM, "uv_async_init: %s",
			       uv_strerror(rc));
	}
	b->bell = bell;
	bell->data = b;
	*out = steal(&b);
	return 0;
}

int batch_new(struct uv_loop_s *loop, const struct batch_options *o,
	      struct batch **out, struct err *e)
{
	auto_(batch) b = NULL;
	if (batch_new_still(loop, o, &b, e))
		return -1;
	if (b->projector)
		projector_set_wake(b->projector, wake, b);
	int rc = pthread_create(&b->thread, NULL, run, b);
	if (rc) {
		errno = rc;
		b->thread = 0;
		return err_sys(e, "start the compute thread");
	}
	*out = steal(&b);
	return 0;
}

static void free_all(struct list *l)
{
	for (struct list *it; (it = list_pop_front(l));)
		task_free(batch_task_of(it));
}

static void outbox_fini(struct outbox *box)
{
	for (size_t i = 0; i < box->n; i++) {
		free(box->p[i].top);
		free(box->p[i].vector);
		if (box->p[i].kind == OUT_END)
			task_free(box->p[i].task);
	}
	free(box->p);
}

void batch_free(struct batch *b)
{
	if (!b)
		return;
	if (b->projector)
		projector_set_wake(b->projector, NULL, NULL);
	if (b->thread) {
		atomic_store(&b->is_stopping, true);
		wake(b);
		pthread_join(b->thread, NULL);
	}
	if (b->bell)
		uv_close((uv_handle_t *)b->bell, on_bell_closed);
	free_all(&b->inbox);
	free_all(&b->queue);
	free_all(&b->active);
	outbox_fini(&b->outbox);
	outbox_fini(&b->delivering);
	fair_fini(&b->fair);
	for (int i = 0; b->slots && i < b->facts.slots; i++) {
		tokens_fini(&b->slots[i].cells);
		free(b->slots[i].shared);
	}
	keep_fini(&b->keep);
	draft_close(b);
	free(b->slots);
	free(b->views);
	if (b->max_tokens)
		llama_batch_free(b->batch);
	if (b->ctx)
		llama_free(b->ctx);
	sizing_free_threads(b->pool);
	pthread_mutex_destroy(&b->mutex);
	pthread_cond_destroy(&b->cond);
	free(b);
}
