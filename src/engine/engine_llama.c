#include "engine/engine_llama.h"
#include "base/json.h"
#include "base/limits.h"
#include "engine/tunings.h"
#include "model/catalog.h"

#include <inttypes.h>
#include <stdio.h>
#include <strings.h>
#include <unistd.h>

/* When a model does not say how large its keys and values are. */
#define FALLBACK_CONTEXT 8192
/* Nobody trains for less; below it, chats end in the middle. */
#define LEAST_CONTEXT 4096
/* What a worker takes beside weights and cache: code, compute buffers, queues.
 * Measured with SmolLM2 and MiniLM: 60 to 150 MiB. */
#define WORKER_BYTES (192ull << 20)
/* The kernel holds a worker to so many times what it is expected to take, and
 * no more than all models together may, and some beside: the address space that
 * it reserves and does not use, and for a moment what requests bring (pictures,
 * templates and grammars have ceilings of their own). An honest model takes
 * half of what is expected to all of it (measured by VmData). */
#define CEILING_TIMES 4
#define CEILING_LEAST_SPARE (1ull << 30)
#define CEILING_MOST_SPARE (4ull << 30)
#define CEILING_MOST (64ull << 40) /* that modeld-llama can be told */

/* modeld-llama keeps the prompts of each owner apart by it. */
#define OWNER_FIELD "Modeld-Cache-Id"

struct llama {
	struct engine base;
	struct pool *pool; /* owned */
	char *program;	   /* owned */
	const struct tunings *tunings;
	struct catalog *catalog;
	uint64_t budget_bytes;
	bool no_sandbox;
};

static struct llama *of(struct engine *en)
{
	return container_of(en, struct llama, base);
}

static bool serves(struct engine *en, struct str name,
		   const struct catalog_model *m, bool is_named)
{
	(void)en;
	(void)name;
	(void)is_named;
	return m && m->n_weights &&
	       (!m->format[0] || strcasecmp(m->format, "gguf") == 0);
}

/* ---- how much context, and what it costs ---- */

static uint64_t number(const json_t *gguf, const char *arch, const char *key)
{
	char name[160];
	uint64_t v = 0;
	snprintf(name, sizeof name, "%s.%s", arch, key);
	const char *text = json_string_value(json_object_get(gguf, name));
	return text && str_to_u64(str_of(text), &v) ? v : 0;
}

struct shape {
	uint64_t trained;	  /* tokens; 0 if it does not say */
	uint64_t bytes_per_token; /* of keys and values in F16; 0 unknown */
};

/* Grouped-query attention keeps head_count_kv heads of keys and of values a
 * layer, two bytes a number. */
static struct shape shape_of(const struct catalog_model *m)
{
	struct err e;
	struct shape s = { 0 };
	auto_json *config = NULL;
	if (json_parse(m->config, &config, &e))
		return s;
	const json_t *gguf = json_object_get(config, "gguf");
	const char *arch = m->architecture;
	s.trained = number(gguf, arch, "context_length");
	uint64_t heads = number(gguf, arch, "attention.head_count");
	uint64_t kv_heads = number(gguf, arch, "attention.head_count_kv");
	uint64_t width = number(gguf, arch, "embedding_length");
	uint64_t key = number(gguf, arch, "attention.key_length");
	uint64_t value = number(gguf, arch, "attention.value_length");
	uint64_t layers = number(gguf, arch, "block_count");
	/* Above these no model makes sense, and products could overflow. */
	if (!heads || heads > 65536 || kv_heads > heads || layers > 65536 ||
	    width > (1u << 20) || key > 65536 || value > 65536)
		return s;
	if (!kv_heads)
		kv_heads = heads;
	key = key ? key : width / heads;
	value = value ? value : width / heads;
	s.bytes_per_token = layers * kv_heads * (key + value) * 2;
	return s;
}

/* What was set or packaging chose; else as much as the model was trained for,
 * as far as its cache stays within a quarter of the budget. */
static uint64_t context_of(const struct llama *l, const struct catalog_model *m,
			   const struct shape *s, const struct tuning *t)
{
	if (t && t->context > 0)
		return (uint64_t)t->context;
	if (t && t->context == TUNING_CONTEXT_TRAINED && s->trained)
		return s->trained;
	if (m->context_size > 0 && (uint64_t)m->context_size != s->trained)
		return (uint64_t)MIN(m->context_size, LIMIT_CONTEXT);
	if (!s->bytes_per_token)
		return s->trained ? MIN(s->trained, FALLBACK_CONTEXT)
				  : FALLBACK_CONTEXT;
	uint64_t fits = l->budget_bytes / 4 / s->bytes_per_token;
	fits = MAX(fits - fits % 256, LEAST_CONTEXT);
	return s->trained ? MIN(s->trained, fits) : FALLBACK_CONTEXT;
}

/* ---- what was set for it ---- */

const struct tuning *engine_llama_tuning(const struct tunings *t,
					 const struct catalog_model *m,
					 enum engine_mode *mode)
{
	char id[DIGEST_TEXT_BYTES];
	const struct tuning *found;
	digest_text(&m->id, id);
	/* One that makes vectors or a ranking makes nothing else; whatever it
	 * was set up for meant that. */
	if (m->is_embedding) {
		static const enum engine_mode order[] = { ENGINE_EMBEDDING,
							  ENGINE_RERANKING,
							  ENGINE_COMPLETION };
		*mode = ENGINE_EMBEDDING;
		for (size_t i = 0; i < ARRAY_LEN(order); i++)
			if ((found = tunings_find(t, id, order[i])))
				return found;
		return NULL;
	}
	found = tunings_find(t, id, *mode);
	/* A model of text answers all requests, and refuses those it cannot
	 * do, unless it was set up for vectors. */
	if (*mode == ENGINE_EMBEDDING && found)
		return found;
	*mode = ENGINE_COMPLETION;
	return tunings_find(t, id, ENGINE_COMPLETION);
}

/* ---- the functions of the kind ---- */

static void add_arg(char **argv, size_t *n, const char *option,
		    const char *value)
{
	argv[(*n)++] = (char *)option;
	argv[(*n)++] = (char *)value;
}

/* What a process is started with. */
struct plan {
	const struct catalog_model *model;
	const struct tuning *tuning; /* or NULL */
	enum engine_mode mode;
	const char *label;
	uint64_t context;
	uint64_t cache_bytes;  /* of prompts that lost their place */
	uint64_t bytes;	       /* of files beside the model's */
	const char **adapters; /* options with their values */
	size_t n_adapters;
	const struct catalog_model *drafts; /* or NULL */
};

static bool is_seeing(const struct plan *p)
{
	return p->model->mmproj && !p->model->is_embedding &&
	       p->mode == ENGINE_COMPLETION;
}

/* The worker's command line; the array is the caller's, not its strings. */
static char **make_argv(const struct llama *l, const struct plan *p,
			const char *context, const char *cache,
			const char *ceiling)
{
	const struct catalog_model *m = p->model;
	const struct tuning *t = p->tuning;
	size_t n_drafts = p->drafts ? p->drafts->n_weights : 0;
	char **argv = xcalloc(2 * (m->n_weights + p->n_adapters + n_drafts) +
				      (t ? t->n_args : 0) + 18,
			      sizeof *argv);
	size_t n = 0;
	const char *pooling = t ? t->pooling : NULL;
	argv[n++] = l->program;
	for (size_t i = 0; i < m->n_weights; i++)
		add_arg(argv, &n, "--model", m->weights[i]);
	add_arg(argv, &n, "--alias", p->label);
	add_arg(argv, &n, "--ctx-size", context);
	add_arg(argv, &n, "--cache-ram", cache);
	add_arg(argv, &n, "--memory-most", ceiling);
	if (is_seeing(p))
		add_arg(argv, &n, "--mmproj", m->mmproj);
	if (m->chat_template)
		add_arg(argv, &n, "--chat-template-file", m->chat_template);
	if (p->mode == ENGINE_EMBEDDING && !m->is_embedding && !pooling)
		pooling = "mean";
	if (pooling)
		add_arg(argv, &n, "--pooling", pooling);
	if (l->no_sandbox)
		add_arg(argv, &n, "--sandbox", "off");
	for (size_t i = 0; i < n_drafts; i++)
		add_arg(argv, &n, "--model-draft", p->drafts->weights[i]);
	for (size_t i = 0; i < p->n_adapters; i++)
		add_arg(argv, &n, p->adapters[2 * i], p->adapters[2 * i + 1]);
	for (size_t i = 0; t && i < t->n_args; i++)
		argv[n++] = t->args[i];
	return argv;
}

/* What does not fit 64 bits fits no budget either. */
static uint64_t sum(uint64_t a, uint64_t b)
{
	return a > UINT64_MAX / 2 - MIN(b, UINT64_MAX / 2) ? UINT64_MAX / 2
							   : a + b;
}

/* A model with its cache. */
static uint64_t memory_of(const struct catalog_model *m, uint64_t context)
{
	uint64_t n;
	if (__builtin_mul_overflow(context, shape_of(m).bytes_per_token, &n))
		n = UINT64_MAX;
	return sum(m->weight_bytes, n);
}

/* A draft model keeps as much text as the model it drafts for. */
static uint64_t memory_of_all(const struct plan *p)
{
	uint64_t n = sum(memory_of(p->model, p->context), p->bytes);
	if (is_seeing(p))
		n = sum(n, p->model->mmproj_bytes);
	if (p->drafts)
		n = sum(n, memory_of(p->drafts, p->context));
	return n + WORKER_BYTES;
}

/* What was set; else no more than is left, so that no model is too large for
 * it, and little of a small machine. */
static uint64_t cache_of(const struct llama *l, const struct plan *p,
			 uint64_t others)
{
	const struct tuning *t = p->tuning;
	uint64_t n = LIMIT_DEFAULT_CACHE_MIB;
	uint64_t left = l->budget_bytes > others ? l->budget_bytes - others : 0;
	if (p->model->is_embedding || p->mode != ENGINE_COMPLETION)
		return 0;
	if (t && t->has_cache)
		return (uint64_t)t->cache_mib << 20;
	n = MIN(n, l->budget_bytes >> 24);
	return MIN(n, left >> 20) << 20;
}

/* Of one whose cache is not known by its metadata only the budget is known. */
static uint64_t ceiling_of(const struct llama *l, const struct plan *p,
			   uint64_t expected)
{
	uint64_t n = l->budget_bytes, spare = l->budget_bytes / 2;
	bool is_known = shape_of(p->model).bytes_per_token &&
			(!p->drafts || shape_of(p->drafts).bytes_per_token);
	if (is_known && expected < n / CEILING_TIMES)
		n = expected * CEILING_TIMES;
	spare = MIN(MAX(spare, CEILING_LEAST_SPARE), CEILING_MOST_SPARE);
	return MIN(sum(n, spare), CEILING_MOST);
}

static int start(struct llama *l, struct plan *p, struct arena *a,
		 struct pool_model *want, struct engine_lease *lease,
		 struct err *e)
{
	const struct tuning *t = p->tuning;
	struct shape shape = shape_of(p->model);
	p->context = context_of(l, p->model, &shape, t);
	p->n_adapters = t ? t->n_adapters : 0;
	if (adapters_find(l->catalog, t ? t->adapters : NULL, p->n_adapters, a,
			  &p->adapters, &p->bytes, e))
		return -1;
	if (t && p->mode == ENGINE_COMPLETION && !p->model->is_embedding &&
	    drafting_find(&t->drafting, l->catalog, a, &p->drafts, e))
		return -1;
	auto_free char *context = xasprintf("%" PRIu64, p->context);
	want->bytes = memory_of_all(p);
	p->cache_bytes = cache_of(l, p, want->bytes);
	want->bytes = sum(want->bytes, p->cache_bytes);
	auto_free char *cache = xasprintf("%" PRIu64, p->cache_bytes >> 20);
	auto_free char *ceiling =
		xasprintf("%" PRIu64, ceiling_of(l, p, want->bytes) >> 20);
	auto_free char **argv = make_argv(l, p, context, cache, ceiling);
	want->argv = argv;
	return pool_acquire(l->pool, want, lease, e);
}

static int acquire(struct engine *en, struct str name,
		   const struct catalog_model *m, struct engine_lease *lease,
		   struct err *e)
{
	struct llama *l = of(en);
	char id[DIGEST_TEXT_BYTES];
	auto_free char *label = str_dup(name);
	struct plan p = { .model = m, .mode = lease->mode, .label = label };
	p.tuning = engine_llama_tuning(l->tunings, m, &p.mode);
	struct pool_model want = { .id = digest_text(&m->id, id),
				   .label = label,
				   .mode = p.mode };
	if (p.tuning && p.tuning->has_keep_alive)
		want.keep_alive_ms = &p.tuning->keep_alive_ms;
	if (pool_has(l->pool, id, p.mode))
		return pool_acquire(l->pool, &want, lease, e);
	struct arena a;
	arena_init(&a);
	int got = start(l, &p, &a, &want, lease, e);
	arena_fini(&a);
	return got;
}

static void release(struct engine *en, struct engine_lease *lease)
{
	pool_release(of(en)->pool, lease);
}

static void each_running(struct engine *en, engine_running_fn fn, void *ctx)
{
	pool_each_running(of(en)->pool, en->name, fn, ctx);
}

static size_t unload(struct engine *en, const char *model_id,
		     const enum engine_mode *mode)
{
	return pool_unload(of(en)->pool, model_id, mode);
}

static int status(struct engine *en, struct buf *out)
{
	const char *program = of(en)->program;
	const char *slash = strrchr(program, '/');
	if (access(program, X_OK) != 0)
		return buf_printf(out, "Not Installed: %s is missing",
				  slash ? slash + 1 : program);
	return buf_puts(out, "Running: modeld-llama " MODELD_VERSION);
}

static bool broke(struct engine_lease *lease, struct err *e)
{
	return pool_broke(lease, e);
}

static void llama_free(struct engine *en)
{
	struct llama *l = of(en);
	pool_free(l->pool);
	free(l->program);
	free(l);
}

const struct engine_kind engine_llama = {
	.name = "llama.cpp",
	.serves = serves,
	.acquire = acquire,
	.release = release,
	.each_running = each_running,
	.unload = unload,
	.status = status,
	.broke = broke,
	.free = llama_free,
};

struct engine *engine_llama_new(struct uv_loop_s *loop,
				const struct engine_llama_config *c)
{
	struct llama *l = xcalloc(1, sizeof *l);
	engine_init(&l->base, &engine_llama, "llama.cpp");
	struct pool_config pool = c->pool;
	pool.owner_field = OWNER_FIELD;
	l->pool = pool_new(loop, &pool);
	l->program = xstrdup(c->program);
	l->tunings = c->tunings;
	l->catalog = c->catalog;
	l->no_sandbox = c->no_sandbox;
	l->budget_bytes = c->pool.budget_bytes;
	return &l->base;
}

void engine_llama_set_keep_alive(struct engine *en, int64_t ms)
{
	pool_set_keep_alive(of(en)->pool, ms);
}
