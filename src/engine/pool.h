/* pool.h - the models in memory: who is loaded, who waits, who leaves.
 *
 * One load serves all who ask for the model, and goes on when they leave. A
 * model that nobody used for the keep-alive time goes. Before a load its memory
 * is set against the budget: only as many idle models leave as must, least
 * recently used first, and none in vain; if too many are busy the load waits
 * for them, while smaller ones behind it go on; what can never fit is refused
 * at once with both numbers. A model that fails again and again rests in
 * between (backoff.h). */
#pragma once
#include "engine/engine.h"

struct brake;
struct pool;
struct uv_loop_s;

/* Told of what happens, for the log's and the metrics' sake; all may be NULL.
 */
struct pool_fns {
	void (*on_loaded)(void *ctx, const char *model, uint64_t ms);
	void (*on_load_failed)(void *ctx, const char *model,
			       const struct err *e);
	void (*on_unloaded)(void *ctx, const char *model);
};

struct pool_config {
	const char *run_dir;   /* for the workers' sockets; borrowed */
	uint64_t budget_bytes; /* for all models together */
	int64_t keep_alive_ms; /* < 0: for ever */
	/* As in struct engine_target; a constant, or NULL. */
	const char *owner_field;
	/* Pressed as long as a request holds a lease, or waits for one;
	 * borrowed, or NULL. */
	struct brake *brake;
	struct pool_fns fns;
	void *ctx;
};

/* What it takes to load a model; borrowed for the call. */
struct pool_model {
	const char *id;	   /* "sha256:..." */
	const char *label; /* as a person calls it */
	char *const *argv; /* the worker's program and options, NULL-ended */
	uint64_t bytes;	   /* estimate of the memory that it needs */
	/* What it was asked for; the same model in another mode is another
	 * process. */
	enum engine_mode mode;
	const int64_t *keep_alive_ms; /* NULL: the pool's */
};

struct pool *pool_new(struct uv_loop_s *loop, const struct pool_config *c);
/* Ends all workers at once; no lease is held. */
void pool_free(struct pool *p);
void pool_set_keep_alive(struct pool *p, int64_t ms);

/* Is it loaded or loading? Then pool_acquire() needs only id and label. */
bool pool_has(const struct pool *p, const char *id, enum engine_mode mode);
/* As engine_kind.acquire and .release. */
must_use int pool_acquire(struct pool *p, const struct pool_model *m,
			  struct engine_lease *lease, struct err *e);
void pool_release(struct pool *p, struct engine_lease *lease);
void pool_each_running(struct pool *p, const char *engine, engine_running_fn fn,
		       void *ctx);
/* As engine_kind.unload. */
size_t pool_unload(struct pool *p, const char *id,
		   const enum engine_mode *mode);
/* As engine_kind.broke: a process that refuses connections is dead or dying,
 * and gets no new leases. */
bool pool_broke(struct engine_lease *lease, struct err *e);
