#include "engine/pool.h"
#include "base/limits.h"
#include "base/log.h"
#include "engine/backoff.h"
#include "engine/worker.h"
#include "io/brake.h"
#include "io/timer.h"

#include <inttypes.h>
#include <time.h>
#include <uv.h>

/* A model in memory, or on its way there. It may outlive its process: leases
 * on it are released one by one after a crash. */
struct entry {
	struct list link; /* pool.entries */
	struct pool *pool;
	char *id;	       /* owned */
	char *label;	       /* owned */
	char **argv;	       /* owned with its texts */
	struct worker *worker; /* owned; NULL while it waits for memory */
	uint64_t bytes;
	enum engine_mode mode; /* that it was asked for */
	bool has_keep_alive;   /* its own, below */
	int64_t keep_alive_ms;
	struct list waiting; /* engine_lease.link */
	struct list users;   /* engine_lease.link */
	size_t n_waiting, n_users;
	size_t n_broken; /* of the users: their answers broke off */
	uint64_t started_ms;
	uint64_t idle_since_ms;
	bool has_answered;
	bool leaving;	    /* takes no new leases */
	bool leave_if_idle; /* unloaded while it was busy */
	bool gone;	    /* freed with its last lease */
};

struct pool {
	struct uv_loop_s *loop;
	struct pool_config config;
	struct list entries; /* entry.link */
	struct backoff backoff;
	struct timer idle;
	struct timer
		admission; /* starts loads from the loop, not from a call */
	unsigned next_socket;
};

static void admit(void *ctx);

static uint64_t now_ms(const struct pool *p)
{
	return timer_now_ms(p->loop);
}

static bool is_idle(const struct entry *en)
{
	return en->worker && worker_is_ready(en->worker) && !en->leaving &&
	       !en->n_users && !en->n_waiting;
}

static void entry_free(struct entry *en)
{
	list_remove(&en->link);
	worker_free(en->worker);
	for (char **arg = en->argv; *arg; arg++)
		free(*arg);
	free(en->argv);
	free(en->id);
	free(en->label);
	free(en);
}

static void free_if_done(struct entry *en)
{
	if (en->gone && !en->n_users && !en->n_waiting)
		entry_free(en);
}

static void leave(struct entry *en)
{
	en->leaving = true;
	worker_stop(en->worker);
}

/* Below 0: for ever. */
static int64_t keep_alive_of(const struct entry *en)
{
	return en->has_keep_alive ? en->keep_alive_ms
				  : en->pool->config.keep_alive_ms;
}

static bool is_due(const struct entry *en, uint64_t now)
{
	int64_t keep = keep_alive_of(en);
	if (en->leave_if_idle)
		return true;
	return keep >= 0 && now - en->idle_since_ms >= (uint64_t)keep;
}

/* Sends away who is due, and sets the timer for the next one. */
static void on_idle(void *ctx)
{
	struct pool *p = ctx;
	uint64_t now = now_ms(p), next = UINT64_MAX;
	list_each (it, &p->entries) {
		struct entry *en = container_of(it, struct entry, link);
		if (!is_idle(en))
			continue;
		if (is_due(en, now))
			leave(en);
		else if (keep_alive_of(en) >= 0)
			next = MIN(next, en->idle_since_ms +
						 (uint64_t)keep_alive_of(en));
	}
	timer_stop(&p->idle);
	if (next != UINT64_MAX)
		timer_start(&p->idle, next - now);
}

struct pool *pool_new(struct uv_loop_s *loop, const struct pool_config *c)
{
	struct pool *p = xcalloc(1, sizeof *p);
	p->loop = loop;
	p->config = *c;
	list_init(&p->entries);
	backoff_init(&p->backoff);
	timer_init(&p->idle, loop, on_idle, p);
	timer_init(&p->admission, loop, admit, p);
	return p;
}

void pool_free(struct pool *p)
{
	if (!p)
		return;
	list_each (it, &p->entries)
		entry_free(container_of(it, struct entry, link));
	backoff_fini(&p->backoff);
	timer_fini(&p->idle);
	timer_fini(&p->admission);
	free(p);
}

void pool_set_keep_alive(struct pool *p, int64_t ms)
{
	p->config.keep_alive_ms = ms;
	on_idle(p);
}

/* ---- one entry's life ---- */

static void give(struct entry *en, struct engine_lease *lease)
{
	list_push_back(&en->users, &lease->link);
	en->n_users++;
	lease->target =
		(struct engine_target){ .pool = worker_pool(en->worker),
					.host = "localhost",
					.prefix = "",
					.owner_field =
						en->pool->config.owner_field };
}

static void on_ready(void *ctx)
{
	struct entry *en = ctx;
	struct pool *p = en->pool;
	uint64_t ms = now_ms(p) - en->started_ms;
	log_info("model loaded model=%s ms=%" PRIu64 " context=%" PRId64
		 " slots=%" PRId64,
		 en->label, ms, worker_facts(en->worker)->context,
		 worker_facts(en->worker)->slots);
	if (p->config.fns.on_loaded)
		p->config.fns.on_loaded(p->config.ctx, en->label, ms);
	en->idle_since_ms = now_ms(p);
	while (en->n_waiting) {
		struct list *link = list_pop_front(&en->waiting);
		struct engine_lease *lease =
			container_of(link, struct engine_lease, link);
		en->n_waiting--;
		give(en, lease);
		lease->on_ready(lease->ctx, NULL);
	}
	on_idle(p);
	admit(p);
}

static void fail_waiting(struct entry *en, const struct err *e)
{
	while (en->n_waiting) {
		struct engine_lease *lease = container_of(
			en->waiting.next, struct engine_lease, link);
		engine_fail(lease, e);
	}
}

/* What fails again and again is the model with its settings. */
static char *backoff_key(char *const argv[])
{
	struct buf key;
	buf_init(&key, LIMIT_BACKOFF_KEY_BYTES);
	for (; *argv; argv++)
		if (buf_puts(&key, *argv) || buf_put(&key, "\n", 1))
			break;
	char *text = str_dup(buf_str(&key));
	buf_fini(&key);
	return text;
}

static void note_failure(struct entry *en, const struct err *e)
{
	auto_free char *key = backoff_key(en->argv);
	if (!en->has_answered)
		backoff_failed(&en->pool->backoff, key, now_ms(en->pool), e);
}

static void note_answer(struct entry *en)
{
	auto_free char *key = backoff_key(en->argv);
	en->has_answered = true;
	backoff_worked(&en->pool->backoff, key);
}

static void on_gone(void *ctx, const struct err *e)
{
	struct entry *en = ctx;
	struct pool *p = en->pool;
	bool was_loading = worker_facts(en->worker)->context == 0;
	if (e->code != ERR_UNAVAILABLE)
		note_failure(en, e);
	if (e->code == ERR_UNAVAILABLE && en->leaving)
		log_info("model unloaded model=%s", en->label);
	else
		log_warn("engine gone model=%s error=\"%s\"", en->label,
			 e->msg);
	if (was_loading && !en->leaving && p->config.fns.on_load_failed)
		p->config.fns.on_load_failed(p->config.ctx, en->label, e);
	else if (!was_loading && p->config.fns.on_unloaded)
		p->config.fns.on_unloaded(p->config.ctx, en->label);
	en->leaving = true;
	fail_waiting(en, e);
	en->gone = true;
	free_if_done(en);
	admit(p);
}

static const struct worker_fns worker_fns = { .on_ready = on_ready,
					      .on_gone = on_gone };

static void start(struct entry *en)
{
	struct pool *p = en->pool;
	struct err e;
	auto_free char *socket =
		xasprintf("%s/w%u.sock", p->config.run_dir, p->next_socket++);
	en->started_ms = now_ms(p);
	log_info("model loads model=%s estimate_mib=%" PRIu64, en->label,
		 en->bytes >> 20);
	if (worker_start(p->loop, en->argv, socket, en->label, &worker_fns, en,
			 &en->worker, &e) == 0)
		return;
	log_error("engine does not start model=%s error=\"%s\"", en->label,
		  e.msg);
	note_failure(en, &e);
	en->leaving = true;
	fail_waiting(en, &e);
	en->gone = true;
	free_if_done(en);
}

/* ---- memory ---- */

struct memory {
	uint64_t used;
	uint64_t leaving; /* of it: on its way out */
	uint64_t idle;	  /* of it: could be sent away */
};

static struct memory memory_of(const struct pool *p)
{
	struct memory m = { 0 };
	list_each (it, &p->entries) {
		struct entry *en = container_of(it, struct entry, link);
		if (!en->worker || en->gone)
			continue;
		m.used += en->bytes;
		m.leaving += en->leaving ? en->bytes : 0;
		m.idle += is_idle(en) ? en->bytes : 0;
	}
	return m;
}

static bool fits(const struct entry *en, uint64_t used)
{
	return used + en->bytes <= en->pool->config.budget_bytes;
}

/* Who leaves for `next`: of those who are enough alone the least recently used,
 * so that no second one leaves in vain; else the least recently used of all. */
static struct entry *victim_for(struct pool *p, const struct entry *next,
				const struct memory *m)
{
	struct entry *best = NULL;
	bool best_is_enough = false;
	list_each (it, &p->entries) {
		struct entry *en = container_of(it, struct entry, link);
		bool is_enough = fits(next, m->used - m->leaving - en->bytes);
		if (!is_idle(en) || (best_is_enough && !is_enough))
			continue;
		if (best && best_is_enough == is_enough &&
		    best->idle_since_ms <= en->idle_since_ms)
			continue;
		best = en;
		best_is_enough = is_enough;
	}
	return best;
}

/* The first that waits for memory and fits, now or when all who can have left.
 * One that has to wait for busy models holds up nobody behind it. */
static struct entry *next_to_load(struct pool *p, const struct memory *m)
{
	list_each (it, &p->entries) {
		struct entry *en = container_of(it, struct entry, link);
		if (!en->worker && !en->leaving &&
		    fits(en, m->used - m->leaving - m->idle))
			return en;
	}
	return NULL;
}

static void admit(void *ctx)
{
	struct pool *p = ctx;
	for (;;) {
		struct memory m = memory_of(p);
		struct entry *next = next_to_load(p, &m), *victim;
		if (!next)
			return;
		if (fits(next, m.used)) {
			start(next);
			continue;
		}
		/* What is on its way out may be enough: then wait for it. */
		if (fits(next, m.used - m.leaving))
			return;
		victim = victim_for(p, next, &m);
		log_info("model makes room model=%s for=%s", victim->label,
			 next->label);
		leave(victim);
	}
}

/* ---- leases ---- */

static struct entry *find(const struct pool *p, const char *id,
			  enum engine_mode mode)
{
	list_each (it, &p->entries) {
		struct entry *en = container_of(it, struct entry, link);
		if (!en->leaving && en->mode == mode && strcmp(en->id, id) == 0)
			return en;
	}
	return NULL;
}

bool pool_has(const struct pool *p, const char *id, enum engine_mode mode)
{
	return find(p, id, mode) != NULL;
}

static struct entry *entry_new(struct pool *p, const struct pool_model *m)
{
	struct entry *en = xcalloc(1, sizeof *en);
	size_t n = 0;
	while (m->argv[n])
		n++;
	en->argv = xcalloc(n + 1, sizeof *en->argv);
	for (size_t i = 0; i < n; i++)
		en->argv[i] = xstrdup(m->argv[i]);
	en->pool = p;
	en->id = xstrdup(m->id);
	en->label = xstrdup(m->label);
	en->bytes = m->bytes;
	en->mode = m->mode;
	en->has_keep_alive = m->keep_alive_ms;
	en->keep_alive_ms = m->keep_alive_ms ? *m->keep_alive_ms : 0;
	list_init(&en->waiting);
	list_init(&en->users);
	list_push_back(&p->entries, &en->link);
	return en;
}

static void hold(struct entry *en, struct engine_lease *lease)
{
	lease->holder = en;
	brake_press(en->pool->config.brake);
}

int pool_acquire(struct pool *p, const struct pool_model *m,
		 struct engine_lease *lease, struct err *e)
{
	struct entry *en = find(p, m->id, m->mode);
	if (en && en->worker && worker_is_ready(en->worker)) {
		hold(en, lease);
		give(en, lease);
		return 0;
	}
	if (en && en->n_waiting >= LIMIT_WAITING_PER_MODEL)
		return err_set(e, ERR_BUSY,
			       "%s is loading and %zu requests wait for it "
			       "already; try again later",
			       en->label, en->n_waiting);
	if (!en && m->bytes > p->config.budget_bytes)
		return err_set(
			e, ERR_MEMORY,
			"%s needs about %" PRIu64 " MiB of memory, and %" PRIu64
			" MiB may be used for models",
			m->label, m->bytes >> 20, p->config.budget_bytes >> 20);
	bool is_new = !en;
	if (is_new) {
		auto_free char *key = backoff_key(m->argv);
		if (backoff_check(&p->backoff, key, now_ms(p), e))
			return -1;
		en = entry_new(p, m);
	}
	hold(en, lease);
	list_push_back(&en->waiting, &lease->link);
	en->n_waiting++;
	/* A start that fails at once tells so through on_ready, which must
	 * not come before we returned: leave it to the loop. */
	if (is_new)
		timer_start(&p->admission, 0);
	return ENGINE_WAIT;
}

void pool_release(struct pool *p, struct engine_lease *lease)
{
	struct entry *en = steal(&lease->holder);
	if (!en)
		return;
	brake_release(p->config.brake);
	bool was_waiting = !lease->target.pool;
	list_remove(&lease->link);
	lease->target.pool = NULL;
	if (was_waiting)
		en->n_waiting--;
	else
		en->n_users--;
	/* Which of them broke off does not matter. */
	if (!was_waiting && en->n_broken)
		en->n_broken--;
	else if (!was_waiting && !en->has_answered)
		note_answer(en);
	if (en->gone) {
		free_if_done(en);
		return;
	}
	if (!is_idle(en))
		return;
	en->idle_since_ms = now_ms(p);
	on_idle(p);
	admit(p);
}

bool pool_broke(struct engine_lease *lease, struct err *e)
{
	struct entry *en = lease->holder;
	bool refused = e->code == ERR_REFUSED;
	bool is_dead = worker_explain(en->worker, e);
	en->n_broken++;
	/* Its sockets close one after the other before the kernel tells that it
	 * is dead: one that takes no connections is as good as dead. */
	en->leaving |= refused || is_dead;
	if (refused && !is_dead)
		worker_stop(en->worker);
	return true;
}

/* ---- the view from outside ---- */

static int64_t unix_ms(void)
{
	struct timespec ts;
	clock_gettime(CLOCK_REALTIME, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static void describe(const struct entry *en, const char *engine,
		     struct engine_running *out)
{
	const struct pool *p = en->pool;
	bool ready = en->worker && worker_is_ready(en->worker);
	*out = (struct engine_running){
		.engine = engine,
		.model = en->label,
		.model_id = en->id,
		.mode = en->mode,
		.is_loading = !ready,
		.users = en->n_users,
		.waiting = en->n_waiting,
	};
	if (en->worker) {
		const struct worker_facts *f = worker_facts(en->worker);
		out->loaded = f->loaded;
		out->context = f->context;
		out->memory_bytes = worker_memory(en->worker);
		if (ready)
			out->mode = f->mode;
	}
	if (!is_idle(en))
		return;
	out->last_used_ms =
		unix_ms() - (int64_t)(now_ms(p) - en->idle_since_ms);
	if (keep_alive_of(en) >= 0)
		out->unload_ms = out->last_used_ms + keep_alive_of(en);
}

void pool_each_running(struct pool *p, const char *engine, engine_running_fn fn,
		       void *ctx)
{
	list_each (it, &p->entries) {
		struct entry *en = container_of(it, struct entry, link);
		if (en->leaving)
			continue;
		struct engine_running row;
		describe(en, engine, &row);
		fn(ctx, &row);
	}
}

size_t pool_unload(struct pool *p, const char *id, const enum engine_mode *mode)
{
	size_t n = 0;
	list_each (it, &p->entries) {
		struct entry *en = container_of(it, struct entry, link);
		if (en->leaving || (id && strcmp(en->id, id) != 0) ||
		    (mode && *mode != en->mode))
			continue;
		if (en->n_users || en->n_waiting) {
			en->leave_if_idle = true;
			continue;
		}
		/* Also what loads for nobody any more. */
		n++;
		if (en->worker)
			leave(en);
		else
			entry_free(en);
	}
	return n;
}
