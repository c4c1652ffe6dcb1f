#include "oci/pull.h"
#include "base/list.h"
#include "base/log.h"
#include "io/timer.h"
#include "oci/blob.h"
#include "oci/choose.h"
#include "oci/document.h"
#include "oci/download.h"
#include "oci/model_config.h"
#include "oci/partial.h"

#include <stdio.h>

#define MANIFEST_ACCEPT                                                  \
	MANIFEST_MEDIA_TYPE ", " CHOOSE_INDEX_TYPE ", " CHOOSE_LIST_TYPE \
			    ", application/vnd.docker.distribution."     \
			    "manifest.v2+json"

struct pull_set {
	struct registry_set *registries;
	struct store *store;
	struct lane lane;
	struct download_set downloads;
	struct list running;
	struct list waiting;
	int n_running;
	int n_jobs; /* of pulls that are gone too */
	bool is_stopped;
};

/* A layer, and one who waits for it. */
struct layer {
	struct pull *pull;
	struct pull_layer is;
	uint64_t told; /* of is.there; UINT64_MAX: nothing yet */
	struct download_watch watch;
	bool is_there;
	bool is_begun;
	bool is_own_try; /* it was another pull's, which failed */
};

struct pull {
	struct list link;
	struct pull_set *set;
	const struct pull_fns *fns; /* NULL: cancelled */
	void *ctx;
	struct ref ref;
	struct registry *registry; /* held */
	struct document *document; /* being fetched */
	struct timer timer;	   /* to wait, then to tell */
	bool is_running;	   /* has one of the places */
	bool is_working;	   /* a job runs */
	struct lane_job job;
	int rounds; /* looks at the store */
	/* What the store knows by that name. */
	bool has_local;
	struct digest local;
	char *size; /* owned; of the model, as its config has it */
	/* What the registry has. */
	struct buf manifest_text, config_text;
	struct manifest *manifest; /* owned */
	struct digest id;
	bool is_cached;	      /* all of it was here before */
	struct layer *layers; /* owned; each digest once */
	size_t n_layers;
	uint64_t total;
	struct digest *leased; /* owned */
	size_t n_leased;
};

static void look_up(struct pull *p);
static void ask_manifest(struct pull *p, const struct digest *d, bool is_head);
static void look_at_store(struct pull *p);
static void next_layers(struct pull *p);

/* ---- the end ---- */

static void begin_waiting(struct pull_set *s);

struct release {
	struct store *store;
	struct lane_job job;
	struct digest *blobs;
	size_t n;
};

static int release_leases(void *ctx, struct err *e)
{
	struct release *r = ctx;
	(void)e;
	store_release(r->store, r->blobs, r->n);
	return 0;
}

static void on_released(void *ctx, int outcome, const struct err *e)
{
	struct release *r = ctx;
	(void)outcome;
	(void)e;
	free(r->blobs);
	free(r);
}

static void give_leases_back(struct pull *p)
{
	if (!p->leased)
		return;
	struct release *r = xcalloc(1, sizeof *r);
	r->store = p->set->store;
	r->n = p->n_leased;
	r->blobs = steal(&p->leased);
	lane_start(&p->set->lane, &r->job, release_leases, on_released, r);
}

static void pull_free(struct pull *p)
{
	list_remove(&p->link);
	for (size_t i = 0; i < p->n_layers; i++)
		download_leave(&p->layers[i].watch);
	if (p->document)
		document_cancel(p->document);
	give_leases_back(p);
	registry_release(p->registry);
	timer_fini(&p->timer);
	buf_fini(&p->manifest_text);
	buf_fini(&p->config_text);
	manifest_free(p->manifest);
	free(p->layers);
	free(p->size);
	free(p);
}

/* Lets go of all but the memory, which a job may still need. */
static void leave(struct pull *p)
{
	struct pull_set *s = p->set;
	if (p->is_running)
		s->n_running--;
	p->is_running = false;
	p->fns = NULL;
	timer_stop(&p->timer);
	if (p->is_working)
		registry_release(steal(&p->registry));
	else
		pull_free(p);
	begin_waiting(s);
}

static void finish(struct pull *p, int outcome, const char *text,
		   const struct err *e)
{
	const struct pull_fns *fns = p->fns;
	void *ctx = p->ctx;
	auto_free char *words = text ? xstrdup(text) : NULL;
	struct err why;
	if (outcome)
		why = *e;
	leave(p);
	fns->on_end(ctx, outcome, words, &why);
}

static void fail(struct pull *p, const struct err *e)
{
	char name[REF_TEXT_BYTES];
	log_info("pull failed model=%s error=\"%s\"", ref_text(&p->ref, name),
		 e->msg);
	finish(p, -1, NULL, e);
}

/* Runs a job; -1 of it fails the pull. */
static void work(struct pull *p, job_work_fn run, job_done_fn done)
{
	p->is_working = true;
	lane_start(&p->set->lane, &p->job, run, done, p);
}

/* False: there is no pull any more, or it failed. */
static bool worked(struct pull *p, int outcome, const struct err *e)
{
	p->is_working = false;
	if (!p->fns) {
		pull_free(p);
		return false;
	}
	if (outcome < 0)
		fail(p, e);
	return outcome >= 0;
}

/* ---- 1. what the store knows by this name ---- */

/* The size of a model as its config has it. */
static char *size_text(struct store *s, struct str manifest)
{
	auto_(manifest) m = NULL;
	auto_(model_config) c = NULL;
	auto_buf struct buf text;
	struct err unused;
	buf_init(&text, LIMIT_CONFIG_BLOB_BYTES);
	if (manifest_parse(manifest, &m, &unused) ||
	    store_read_blob(s, &m->config.digest, &text, &unused) ||
	    model_config_parse(buf_str(&text), &c, &unused))
		return xstrdup("");
	return xstrdup(c->size);
}

static int find_local(void *ctx, struct err *e)
{
	struct pull *p = ctx;
	auto_(index) x = NULL;
	auto_buf struct buf text;
	buf_init(&text, LIMIT_MANIFEST_BYTES);
	if (store_index(p->set->store, &x, e))
		return -1;
	const struct index_model *m = index_find(x, &p->ref);
	if (!m)
		return 0;
	if (store_read_manifest(p->set->store, &m->id, &text, e))
		return 0; /* broken: it is fetched again */
	p->local = m->id;
	p->has_local = true;
	p->size = size_text(p->set->store, buf_str(&text));
	return 0;
}

static int tag_local(void *ctx, struct err *e)
{
	struct pull *p = ctx;
	char name[REF_TEXT_BYTES];
	return store_tag(p->set->store, &p->local, ref_text(&p->ref, name), e);
}

static void on_tagged_local(void *ctx, int outcome, const struct err *e)
{
	struct pull *p = ctx;
	char text[160];
	if (!worked(p, outcome, e))
		return;
	if (outcome == STORE_ABSENT) { /* deleted just now */
		p->has_local = false;
		ask_manifest(p, NULL, false);
		return;
	}
	snprintf(text, sizeof text, "Using cached model: %s",
		 p->size ? p->size : "");
	finish(p, 0, text, NULL);
}

static void use_local(struct pull *p)
{
	work(p, tag_local, on_tagged_local);
}

static void on_found(void *ctx, int outcome, const struct err *e)
{
	struct pull *p = ctx;
	if (!worked(p, outcome, e))
		return;
	if (p->has_local && p->ref.kind == REF_ID)
		use_local(p); /* what is named by its hash cannot be newer */
	else
		ask_manifest(p, NULL, p->has_local);
}

static void look_up(struct pull *p)
{
	work(p, find_local, on_found);
}

/* ---- 2. the manifest ---- */

static void on_manifest(void *ctx, int outcome, const struct document_answer *a,
			const struct err *e);

/* `d` NULL: by the reference. */
static void ask_manifest(struct pull *p, const struct digest *d, bool is_head)
{
	char text[DIGEST_TEXT_BYTES];
	if (!d && p->ref.kind == REF_ID)
		d = &p->ref.digest;
	auto_free char *path = xasprintf("manifests/%s",
					 d ? digest_text(d, text) : p->ref.tag);
	p->document = document_get(
		p->registry,
		&(struct document_request){ .is_head = is_head,
					    .path = path,
					    .accept = MANIFEST_ACCEPT,
					    .max_bytes = LIMIT_MANIFEST_BYTES,
					    .digest = d },
		on_manifest, p);
}

/* What the registry says is here; -1 if the pull failed. */
static int take_manifest(struct pull *p, const struct document_answer *a,
			 struct err *e)
{
	struct digest one;
	if (choose_is_index(a->body, a->media_type)) {
		if (choose_manifest(a->body, &one, e))
			return -1;
		if (p->manifest_text.n) /* an index in an index */
			return err_set(e, ERR_UNSUPPORTED,
				       "it is an image index of indexes");
		/* Told by its presence that the next is the second. */
		if (buf_puts(&p->manifest_text, "{}"))
			abort();
		ask_manifest(p, &one, false);
		return 0;
	}
	buf_clear(&p->manifest_text);
	if (manifest_parse(a->body, &p->manifest, e))
		return -1;
	if (buf_put(&p->manifest_text, a->body.p, a->body.n))
		abort(); /* the ceilings are the same */
	p->id = a->digest;
	look_at_store(p);
	return 0;
}

static bool is_unreachable(const struct err *e)
{
	return e->code == ERR_REFUSED || e->code == ERR_ENGINE ||
	       e->code == ERR_ENGINE_SLOW || e->code == ERR_UNAVAILABLE;
}

static void on_manifest(void *ctx, int outcome, const struct document_answer *a,
			const struct err *e)
{
	struct pull *p = ctx;
	struct err why;
	bool was_head = p->has_local && !p->manifest && !p->manifest_text.n;
	p->document = NULL;
	if (outcome && p->has_local && is_unreachable(e)) {
		auto_free char *text = xasprintf(
			"%s; the model that is here is used, it may be old",
			e->msg);
		p->fns->on_warning(p->ctx, text);
		use_local(p);
	} else if (outcome && was_head && e->code == ERR_SYSTEM) {
		p->has_local = false; /* it knows no HEAD */
		ask_manifest(p, NULL, false);
	} else if (outcome) {
		fail(p, e);
	} else if (was_head && a->body.n == 0) {
		bool is_same = digest_eq(&a->digest, &p->local);
		/* From here on it is as if there were none. */
		p->has_local = is_same;
		if (is_same)
			use_local(p);
		else
			ask_manifest(p, NULL, false);
	} else if (take_manifest(p, a, &why)) {
		if (why.code == ERR_INVALID)
			why.code = ERR_UNSUPPORTED;
		fail(p, &why);
	}
}

/* ---- 3. what is missing ---- */

static void add_layer(struct pull *p, const struct manifest_blob *b)
{
	for (size_t i = 0; i < p->n_layers; i++)
		if (digest_eq(&p->layers[i].is.digest, &b->digest))
			return;
	p->total += b->bytes;
	struct layer *l = &p->layers[p->n_layers++];
	l->pull = p;
	l->is.digest = b->digest;
	l->is.bytes = b->bytes;
	l->told = UINT64_MAX;
}

static int list_layers(struct pull *p, struct err *e)
{
	const struct manifest *m = p->manifest;
	if (p->layers)
		return 0;
	p->layers = xcalloc(m->n_layers + 1, sizeof *p->layers);
	p->leased = xcalloc(m->n_layers + 1, sizeof *p->leased);
	for (size_t i = 0; i < m->n_layers; i++) {
		if (m->layers[i].bytes > LIMIT_BLOB_BYTES ||
		    p->total > LIMIT_BLOB_BYTES)
			return err_set(e, ERR_UNSUPPORTED,
				       "layer sha256:%s would have %llu bytes",
				       m->layers[i].digest.hex,
				       (unsigned long long)m->layers[i].bytes);
		add_layer(p, &m->layers[i]);
	}
	for (size_t i = 0; i < p->n_layers; i++)
		p->leased[p->n_leased++] = p->layers[i].is.digest;
	p->leased[p->n_leased++] = m->config.digest;
	store_lease(p->set->store, p->leased, p->n_leased);
	return 0;
}

/* The config, and whether the index has the model, if the store knows them. */
static int look_at_model(struct pull *p, struct err *e)
{
	struct err unused;
	auto_(index) x = NULL;
	auto_(model_config) c = NULL;
	struct ref id = { .kind = REF_ID, .digest = p->id };
	if (store_index(p->set->store, &x, e))
		return -1;
	p->is_cached = index_find(x, &id) != NULL;
	if (p->config_text.n ||
	    store_read_blob(p->set->store, &p->manifest->config.digest,
			    &p->config_text, &unused))
		return 0;
	if (model_config_parse(buf_str(&p->config_text), &c, &unused)) {
		buf_clear(&p->config_text);
		return 0;
	}
	free(p->size);
	p->size = xstrdup(c->size);
	return 0;
}

static int look(void *ctx, struct err *e)
{
	struct pull *p = ctx;
	uint64_t missing = 0, room;
	if (store_room(p->set->store, &room, e) || look_at_model(p, e))
		return -1;
	for (size_t i = 0; i < p->n_layers; i++) {
		struct layer *l = &p->layers[i];
		l->is_there = store_has_blob(p->set->store, &l->is.digest,
					     l->is.bytes);
		l->is_begun = l->is_there;
		l->is.there = l->is_there ? l->is.bytes : 0;
		uint64_t part = partial_bytes(p->set->store, &l->is.digest);
		if (!l->is_there)
			missing += l->is.bytes - MIN(part, l->is.bytes);
	}
	p->is_cached &= missing == 0;
	if (missing > room)
		return err_set(e, ERR_SYSTEM,
			       "no space left: the model needs %.2f GB more "
			       "where models are kept, and %.2f GB are free",
			       (double)missing / 1e9, (double)room / 1e9);
	return 0;
}

static void ask_config(struct pull *p);

static void on_looked(void *ctx, int outcome, const struct err *e)
{
	struct pull *p = ctx;
	if (!worked(p, outcome, e))
		return;
	if (p->config_text.n)
		next_layers(p);
	else
		ask_config(p);
}

static void look_at_store(struct pull *p)
{
	struct err e;
	if (list_layers(p, &e))
		fail(p, &e);
	else
		work(p, look, on_looked);
}

/* ---- 4. the config ---- */

static void on_config(void *ctx, int outcome, const struct document_answer *a,
		      const struct err *e)
{
	struct pull *p = ctx;
	struct err why;
	auto_(model_config) c = NULL;
	p->document = NULL;
	if (outcome) {
		fail(p, e);
		return;
	}
	if (a->body.n != p->manifest->config.bytes)
		err_set(&why, ERR_CORRUPT,
			"the config has %zu bytes, the manifest says %llu",
			a->body.n,
			(unsigned long long)p->manifest->config.bytes);
	else if (model_config_parse(a->body, &c, &why))
		why.code = ERR_UNSUPPORTED;
	else {
		if (buf_put(&p->config_text, a->body.p, a->body.n))
			abort();
		free(p->size);
		p->size = xstrdup(c->size);
		next_layers(p);
		return;
	}
	fail(p, &why);
}

static void ask_config(struct pull *p)
{
	char text[DIGEST_TEXT_BYTES];
	const struct digest *d = &p->manifest->config.digest;
	auto_free char *path = xasprintf("blobs/%s", digest_text(d, text));
	p->document = document_get(p->registry,
				   &(struct document_request){
					   .path = path,
					   .max_bytes = LIMIT_CONFIG_BLOB_BYTES,
					   .digest = d },
				   on_config, p);
}

/* ---- 5. the layers ---- */

static void tell(struct layer *l)
{
	if (l->is.there == l->told)
		return;
	l->told = l->is.there;
	l->pull->fns->on_progress(l->pull->ctx, &l->is, l->pull->total);
}

static void tell_all(struct pull *p)
{
	for (size_t i = 0; i < p->n_layers; i++) {
		struct layer *l = &p->layers[i];
		if (!l->is_there && l->watch.download) {
			/* It is whole only when it is verified. */
			uint64_t there = download_bytes(&l->watch);
			l->is.there = MIN(there, l->is.bytes - 1);
			if (!there && l->told == UINT64_MAX)
				continue;
		}
		if (l->is_begun)
			tell(l);
	}
}

static void on_tick(void *ctx)
{
	struct pull *p = ctx;
	timer_start(&p->timer, LIMIT_PULL_TELL_MS);
	tell_all(p);
}

static void on_layer(void *ctx, int outcome, const struct err *e)
{
	struct layer *l = ctx;
	struct pull *p = l->pull;
	if (outcome == 0) {
		l->is_there = true;
		l->is.there = l->is.bytes;
		tell(l);
	} else if (!l->watch.is_first && !l->is_own_try) {
		/* It failed with another's credentials or registry. */
		l->is_own_try = true;
		l->is_begun = false;
	} else {
		fail(p, e);
		return;
	}
	next_layers(p);
}

static void store_model(struct pull *p);

/* So many at a time; the connections that this leaves go to the large ones. */
static void next_layers(struct pull *p)
{
	int active = 0;
	bool is_done = true;
	for (size_t i = 0; i < p->n_layers; i++) {
		active += p->layers[i].is_begun && !p->layers[i].is_there;
		is_done &= p->layers[i].is_there;
	}
	if (is_done) {
		timer_stop(&p->timer);
		if (!p->is_cached)
			tell_all(p);
		store_model(p);
		return;
	}
	for (size_t i = 0; i < p->n_layers && active < LIMIT_PULL_LAYERS; i++) {
		struct layer *l = &p->layers[i];
		if (l->is_begun)
			continue;
		l->is_begun = true;
		active++;
		l->watch.on_end = on_layer;
		l->watch.ctx = l;
		download_join(&p->set->downloads, p->registry, &l->is.digest,
			      l->is.bytes, &l->watch);
	}
	for (size_t i = 0; i < p->n_layers; i++)
		download_widen(&p->layers[i].watch,
			       LIMIT_PULL_STREAMS / active);
	if (!timer_is_active(&p->timer))
		timer_start(&p->timer, LIMIT_PULL_TELL_MS);
}

/* ---- 6. into the index ---- */

enum { STORE_AGAIN = 16 };

static int put_model(void *ctx, struct err *e)
{
	struct pull *p = ctx;
	char name[REF_TEXT_BYTES];
	struct digest id;
	if (blob_put(p->set->store, &p->manifest->config.digest,
		     buf_str(&p->config_text), e))
		return -1;
	if (store_add(p->set->store, buf_str(&p->manifest_text), &id, e)) {
		/* Another process may have removed what was there. */
		for (size_t i = 0; i < p->n_layers; i++)
			if (!store_has_blob(p->set->store,
					    &p->layers[i].is.digest,
					    p->layers[i].is.bytes))
				return STORE_AGAIN;
		return -1;
	}
	return store_tag(p->set->store, &id, ref_text(&p->ref, name), e);
}

static void on_put(void *ctx, int outcome, const struct err *e)
{
	struct pull *p = ctx;
	char text[160], name[REF_TEXT_BYTES];
	struct err why;
	if (!worked(p, outcome, e))
		return;
	if (outcome && ++p->rounds < LIMIT_PULL_ROUNDS) {
		look_at_store(p);
		return;
	}
	if (outcome) {
		err_set(&why, ERR_CONFLICT,
			"somebody removes the model's blobs while it is "
			"pulled");
		fail(p, &why);
		return;
	}
	log_info("model pulled model=%s id=%s", ref_text(&p->ref, name),
		 p->id.hex);
	if (p->is_cached)
		snprintf(text, sizeof text, "Using cached model: %s",
			 p->size ? p->size : "");
	else
		snprintf(text, sizeof text, "Model pulled successfully");
	finish(p, 0, text, NULL);
}

static void store_model(struct pull *p)
{
	work(p, put_model, on_put);
}

/* ---- places, start, stop ---- */

static void on_wait(void *ctx)
{
	struct pull *p = ctx;
	int before = 0;
	list_each (it, &p->set->waiting) {
		if (it == &p->link)
			break;
		before++;
	}
	timer_start(&p->timer, LIMIT_PULL_WAIT_TELL_MS);
	p->fns->on_wait(p->ctx, p->set->n_running + before);
}

static void on_begin(void *ctx)
{
	struct pull *p = ctx;
	timer_fini(&p->timer);
	timer_init(&p->timer, p->set->registries->loop, on_tick, p);
	look_up(p);
}

static void begin_waiting(struct pull_set *s)
{
	while (!s->is_stopped && s->n_running < LIMIT_PULLS &&
	       !list_is_empty(&s->waiting)) {
		struct list *link = list_pop_front(&s->waiting);
		struct pull *p = container_of(link, struct pull, link);
		list_push_back(&s->running, &p->link);
		p->is_running = true;
		s->n_running++;
		timer_fini(&p->timer);
		timer_init(&p->timer, s->registries->loop, on_begin, p);
		timer_start(&p->timer, 0);
	}
}

int pull_start(struct pull_set *s, const struct ref *ref, const char *bearer,
	       const struct pull_fns *fns, void *ctx, struct pull **out,
	       struct err *e)
{
	struct registry *r;
	if (s->is_stopped)
		return err_set(e, ERR_UNAVAILABLE, "modeld stops");
	if (registry_open(s->registries, ref, bearer, &r, e))
		return -1;
	struct pull *p = xcalloc(1, sizeof *p);
	p->set = s;
	p->fns = fns;
	p->ctx = ctx;
	p->ref = *ref;
	p->registry = r;
	buf_init(&p->manifest_text, LIMIT_MANIFEST_BYTES);
	buf_init(&p->config_text, LIMIT_CONFIG_BLOB_BYTES);
	timer_init(&p->timer, s->registries->loop, on_wait, p);
	list_push_back(&s->waiting, &p->link);
	begin_waiting(s);
	if (!p->is_running)
		timer_start(&p->timer, 0);
	*out = p;
	return 0;
}

void pull_cancel(struct pull *p)
{
	leave(p);
}

struct pull_set *pull_set_new(struct registry_set *registries,
			      struct store *store)
{
	struct pull_set *s = xcalloc(1, sizeof *s);
	s->registries = registries;
	s->store = store;
	lane_init(&s->lane, registries->loop, LIMIT_PULL_JOBS);
	download_set_init(&s->downloads, registries->loop, store, &s->lane);
	list_init(&s->running);
	list_init(&s->waiting);
	return s;
}

void pull_set_stop(struct pull_set *s)
{
	struct err e;
	struct list *const lists[] = { &s->waiting, &s->running };
	s->is_stopped = true;
	err_set(&e, ERR_UNAVAILABLE,
		"modeld stops; what was fetched is kept, pull again to go on");
	for (size_t i = 0; i < ARRAY_LEN(lists); i++)
		list_each (it, lists[i]) {
			struct pull *p = container_of(it, struct pull, link);
			if (p->fns)
				finish(p, -1, NULL, &e);
		}
}

void pull_set_free(struct pull_set *s)
{
	free(s);
}
