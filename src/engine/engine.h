/* engine.h - what an engine is: something that answers the OpenAI API for some
 * models, perhaps after starting a process for it.
 *
 * A kind of engine is a const struct of functions (engine_llama,
 * engine_openai); an engine is a configured one, with a name that stands in
 * request paths. Who wants to ask a model takes a lease, which keeps what
 * answers alive until it is released. Everything here is used on the loop's
 * thread only. */
#pragma once
#include "base/buf.h"
#include "base/err.h"
#include "base/list.h"

struct catalog_model;
struct engine;
struct http_pool;

/* What a model is asked for: text, vectors, or an order of texts. One that
 * makes text may be set to make vectors too, by a process of its own. */
enum engine_mode { ENGINE_COMPLETION, ENGINE_EMBEDDING, ENGINE_RERANKING };
const char *engine_mode_name(enum engine_mode m);
bool engine_mode_parse(struct str text, enum engine_mode *out);

/* Where requests go while a lease is held. */
struct engine_target {
	struct http_pool *pool;
	const char *host;   /* the Host field */
	const char *prefix; /* stands before "/v1/..." */
	struct str fields;  /* header lines to add, each ended by CRLF */
	unsigned limit_ms;  /* until an answer begins; 0: no limit */
	/* The field that tells whose cache a request may use; NULL: what
	 * answers has none, or is nobody's to tell. */
	const char *owner_field;
};

/* One use of an engine; embedded in the request that wants it. */
struct engine_lease {
	struct engine *engine;	     /* NULL when not held */
	enum engine_mode mode;	     /* set before it is acquired */
	struct engine_target target; /* valid once ready */
	/* After ENGINE_WAIT: ready (e is NULL) or not to be had (then the lease
	 * is over already). The callee may release it at once. */
	void (*on_ready)(void *ctx, const struct err *e);
	void *ctx;
	struct list link; /* the kind's */
	void *holder;	  /* the kind's */
};

enum engine_outcome { ENGINE_WAIT = 1 };

/* One model in memory, for /engines/ps and the metrics. */
struct engine_running {
	const char *engine;
	const char *model;    /* the name that it was first asked for by */
	const char *model_id; /* "sha256:..." */
	enum engine_mode mode;
	bool is_loading;
	double loaded;	       /* 0 to 1 */
	size_t users;	       /* requests that hold a lease */
	size_t waiting;	       /* requests that wait for the load */
	int64_t last_used_ms;  /* Unix time; 0 while in use */
	int64_t unload_ms;     /* Unix time when it goes if unused; 0 unknown */
	int64_t context;       /* tokens per request; 0 while loading */
	uint64_t memory_bytes; /* resident */
};
typedef void (*engine_running_fn)(void *ctx, const struct engine_running *r);

struct engine_kind {
	const char *name; /* as in the configuration */
	/* Has it this model? `m` is what the store has under the name, or NULL.
	 * `is_named`: the client named this engine in the path. */
	bool (*serves)(struct engine *en, struct str name,
		       const struct catalog_model *m, bool is_named);
	/* Fills the lease, now (0) or later (ENGINE_WAIT, then on_ready). `m`
	 * is borrowed for the call. */
	int (*acquire)(struct engine *en, struct str name,
		       const struct catalog_model *m,
		       struct engine_lease *lease, struct err *e);
	/* Ends a lease, also one that still waits; the load goes on. */
	void (*release)(struct engine *en, struct engine_lease *lease);
	/* Tells of each model in memory. */
	void (*each_running)(struct engine *en, engine_running_fn fn,
			     void *ctx);
	/* Drops the model with this id, or all if NULL, in this mode, or any if
	 * NULL; busy ones stay until they are idle. Gives how many went now. */
	size_t (*unload)(struct engine *en, const char *model_id,
			 const enum engine_mode *mode);
	/* Names of models that only it knows (not in the store); may be NULL.
	 */
	const char *const *(*models)(struct engine *en, size_t *n);
	/* Text for /engines/status: "Running: ...". */
	int (*status)(struct engine *en, struct buf *out);
	/* What stands behind the lease broke, and *e says how it looked from
	 * here; puts the cause there, if it is known. True: a new lease may
	 * lead to something better. May be NULL. */
	bool (*broke)(struct engine_lease *lease, struct err *e);
	/* No lease is held any more; ends its processes at once. */
	void (*free)(struct engine *en);
};

struct engine {
	const struct engine_kind *kind;
	char *name;	  /* owned */
	struct list link; /* engine_set.engines */
	size_t leases;
	bool is_retired; /* freed with its last lease */
};

/* The engines there are, in the order of asking: the last one added comes
 * first, so that what a person configured goes before what is built in. */
struct engine_set {
	struct list engines; /* engine.link */
};

void engine_set_init(struct engine_set *s);
void engine_set_fini(struct engine_set *s);
/* The engine becomes the set's. */
void engine_set_add(struct engine_set *s, struct engine *en);
/* Takes out all of a kind (a new configuration); busy ones end later. */
void engine_set_retire(struct engine_set *s, const struct engine_kind *kind);
struct engine *engine_set_find(struct engine_set *s, struct str name);
/* The engine for a model when the path names none: first come,
 * first served. NULL: no engine has it. */
struct engine *engine_set_for_model(struct engine_set *s, struct str name,
				    const struct catalog_model *m);
/* Why no engine here runs this model, and what to do. Sets *e; gives -1. */
int engine_refuse(const struct catalog_model *m, struct err *e);

/* For kinds: a new engine's common part. */
void engine_init(struct engine *en, const struct engine_kind *kind,
		 const char *name);
/* 0: lease->target can be used now. ENGINE_WAIT: on_ready comes. */
must_use int engine_acquire(struct engine *en, struct str name,
			    const struct catalog_model *m,
			    struct engine_lease *lease, struct err *e);
/* Idempotent. */
void engine_release(struct engine_lease *lease);
/* See engine_kind.broke; false for kinds that have none. */
bool engine_broke(struct engine_lease *lease, struct err *e);
/* For kinds, when a waiting lease fails: ends it, then tells its owner. */
void engine_fail(struct engine_lease *lease, const struct err *e);
