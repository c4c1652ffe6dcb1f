#include "llama/prepare.h"

#include <assert.h>
#include <stdio.h>
#include <uv.h>

/* Of text at a time: so many cores are taken from answers under way. */
#define AT_ONCE 2
/* Bodies from here on take tens of milliseconds. */
#define LARGE_BYTES (64u << 10)

struct prepare {
	struct uv_loop_s *loop;
	struct list waiting, running; /* prepare_job.link; oldest first */
	size_t n_open;		      /* of them, not left */
	size_t n_drops;
	uint64_t clock; /* counts turns */
};

struct drop {
	struct prepare *prepare;
	json_t *body; /* owned */
};

struct prepare *prepare_new(struct uv_loop_s *loop)
{
	struct prepare *p = xcalloc(1, sizeof *p);
	p->loop = loop;
	list_init(&p->waiting);
	list_init(&p->running);
	return p;
}

void prepare_free(struct prepare *p)
{
	if (!p)
		return;
	assert(list_is_empty(&p->waiting));
	while (!list_is_empty(&p->running) || p->n_drops)
		uv_run(p->loop, UV_RUN_ONCE);
	free(p);
}

size_t prepare_count(const struct prepare *p)
{
	return p->n_open;
}

/* ---- whose turn it is ---- */

static struct prepare_job *job_of(struct list *link)
{
	return container_of(link, struct prepare_job, link);
}

static bool is_large(const struct prepare_job *j)
{
	return j->ask.n_bytes >= LARGE_BYTES;
}

static bool may_begin(struct prepare *p, const struct prepare_job *j)
{
	size_t n = 0;
	list_each (it, &p->running) {
		const struct prepare_job *other = job_of(it);
		if (other->ask.has_pictures != j->ask.has_pictures)
			continue;
		if (j->ask.has_pictures || (is_large(j) && is_large(other)))
			return false;
		n++;
	}
	return n < AT_ONCE;
}

static bool is_same_caller(const struct prepare_job *a,
			   const struct prepare_job *b)
{
	return strcmp(a->caller, b->caller) == 0;
}

static size_t running_of(struct prepare *p, const struct prepare_job *j)
{
	size_t n = 0;
	list_each (it, &p->running)
		n += is_same_caller(job_of(it), j);
	return n;
}

static bool is_before(struct prepare *p, const struct prepare_job *a,
		      const struct prepare_job *b)
{
	size_t of_a = running_of(p, a), of_b = running_of(p, b);
	return of_a != of_b ? of_a < of_b : a->turn < b->turn;
}

static struct prepare_job *next(struct prepare *p)
{
	struct prepare_job *best = NULL;
	list_each (it, &p->waiting) {
		struct prepare_job *j = job_of(it);
		if (may_begin(p, j) && (!best || is_before(p, j, best)))
			best = j;
	}
	return best;
}

/* A caller whose other requests are here has its turn with them; a new one
 * comes behind all that wait. */
static uint64_t turn_of(struct prepare *p, const struct prepare_job *j)
{
	list_each (it, &p->waiting)
		if (is_same_caller(job_of(it), j))
			return job_of(it)->turn;
	list_each (it, &p->running)
		if (is_same_caller(job_of(it), j))
			return job_of(it)->turn;
	return ++p->clock;
}

static void take_turn(struct prepare *p, struct prepare_job *j)
{
	j->turn = ++p->clock;
	list_each (it, &p->waiting)
		if (is_same_caller(job_of(it), j))
			job_of(it)->turn = j->turn;
}

/* ---- jobs ---- */

static int on_work(void *ctx, struct err *e)
{
	struct prepare_job *j = ctx;
	return j->ask.work(j->ask.ctx, e);
}

static void begin_all(struct prepare *p);

static void on_done(void *ctx, int outcome, const struct err *e)
{
	struct prepare_job *j = ctx;
	struct prepare *p = j->prepare;
	bool is_left = atomic_load(&j->is_left);
	list_remove(&j->link);
	j->state = PREPARE_IDLE;
	p->n_open -= !is_left;
	begin_all(p);
	j->ask.done(j->ask.ctx, is_left ? PREPARE_LEFT : outcome, e);
}

static void begin_all(struct prepare *p)
{
	struct prepare_job *j;
	while ((j = next(p))) {
		list_remove(&j->link);
		take_turn(p, j);
		list_push_back(&p->running, &j->link);
		j->state = PREPARE_RUNNING;
		job_start(p->loop, on_work, on_done, j);
	}
}

void prepare_start(struct prepare *p, struct prepare_job *j,
		   const struct prepare_ask *ask)
{
	assert(j->state == PREPARE_IDLE);
	j->prepare = p;
	j->ask = *ask;
	snprintf(j->caller, sizeof j->caller, "%.*s", STR_ARG(ask->caller));
	j->turn = turn_of(p, j);
	j->state = PREPARE_WAITING;
	list_push_back(&p->waiting, &j->link);
	p->n_open++;
	begin_all(p);
}

bool prepare_leave(struct prepare_job *j)
{
	if (j->state == PREPARE_IDLE)
		return true;
	j->prepare->n_open--;
	if (j->state == PREPARE_RUNNING) {
		atomic_store(&j->is_left, true);
		return false;
	}
	list_remove(&j->link);
	j->state = PREPARE_IDLE;
	return true;
}

int prepare_check(const struct prepare_job *j, struct err *e)
{
	if (!atomic_load(&j->is_left))
		return 0;
	return err_set(e, ERR_UNAVAILABLE, "its client has left");
}

/* ---- bodies ---- */

static int on_drop(void *ctx, struct err *e)
{
	struct drop *d = ctx;
	(void)e;
	json_decref(d->body);
	return 0;
}

static void on_dropped(void *ctx, int outcome, const struct err *e)
{
	struct drop *d = ctx;
	(void)outcome;
	(void)e;
	d->prepare->n_drops--;
	free(d);
}

void prepare_drop(struct prepare *p, json_t *body, size_t n_bytes)
{
	if (n_bytes < LARGE_BYTES || !body) {
		json_decref(body);
		return;
	}
	struct drop *d = xcalloc(1, sizeof *d);
	*d = (struct drop){ p, body };
	p->n_drops++;
	job_start(p->loop, on_drop, on_dropped, d);
}
