#include "oci/pull.h"
#include "base/log.h"
#include "oci/blob.h"
#include "oci/model_config.h"
#include "oci/pull_source.h"
#include "oci/turns.h"

#include <stdio.h>

struct pull_set {
	struct registry_set *registries;
	struct store *store;
	struct lane *lane;
	struct download_set downloads;
	struct turns turns;
};

struct pull {
	struct turn turn;
	struct pull_set *set;
	const struct pull_fns *fns; /* NULL: cancelled */
	void *ctx;
	struct ref ref;
	const struct pull_source *source;
	void *src;	 /* owned */
	bool is_working; /* a job runs */
	struct lane_job job;
	job_work_fn work; /* of the source */
	job_done_fn done;
	int rounds; /* looks at the store */
	/* What the store knows by that name. */
	bool has_local;
	struct digest local;
	char *size; /* owned; of the model, as its config has it */
	/* What the source says. */
	struct blobs *blobs;	   /* owned */
	struct registry *registry; /* held; where the blobs are */
	struct digest id;	   /* "": not known yet */
	struct pull_model model;
	bool is_cached; /* all of it was here before */
};

static void look_at_store(struct pull *p);

/* ---- the end ---- */

static void pull_free(struct pull *p)
{
	turns_drop(&p->turn);
	blobs_free(p->blobs);
	p->source->free(p->src);
	buf_fini(&p->model.manifest);
	buf_fini(&p->model.config);
	free(p->size);
	free(p);
}

/* Lets go of all but the memory, which a job may still need. */
static void leave(struct pull *p)
{
	p->fns = NULL;
	turns_leave(&p->turn);
	p->source->leave(p->src);
	blobs_leave(p->blobs);
	registry_release(steal(&p->registry));
	if (!p->is_working)
		pull_free(p);
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

void pull_fail(struct pull *p, const struct err *e)
{
	char name[REF_TEXT_BYTES];
	log_info("pull failed model=%s error=\"%s\"", ref_text(&p->ref, name),
		 e->msg);
	finish(p, -1, NULL, e);
}

static void finish_cached(struct pull *p)
{
	char text[160];
	snprintf(text, sizeof text, "Using cached model: %s",
		 p->size ? p->size : "");
	finish(p, 0, text, NULL);
}

/* ---- jobs ---- */

/* Runs a job; -1 of it fails the pull. */
static void work(struct pull *p, job_work_fn run, job_done_fn done)
{
	p->is_working = true;
	lane_start(p->set->lane, &p->job, run, done, p);
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
		pull_fail(p, e);
	return outcome >= 0;
}

static int run_source(void *ctx, struct err *e)
{
	struct pull *p = ctx;
	return p->work(p->src, e);
}

static void on_source_ran(void *ctx, int outcome, const struct err *e)
{
	struct pull *p = ctx;
	if (worked(p, outcome, e))
		p->done(p->src, outcome, e);
}

void pull_work(struct pull *p, job_work_fn run, job_done_fn done)
{
	p->work = run;
	p->done = done;
	work(p, run_source, on_source_ran);
}

/* ---- 1. what the store knows by this name ---- */

/* The size of a model as its config has it. */
static char *size_in(struct str config)
{
	auto_(model_config) c = NULL;
	struct err unused;
	if (model_config_parse(config, &c, &unused))
		return xstrdup("");
	return xstrdup(c->size);
}

static char *size_of(struct store *s, struct str manifest)
{
	auto_(manifest) m = NULL;
	auto_buf struct buf text;
	struct err unused;
	buf_init(&text, LIMIT_CONFIG_BLOB_BYTES);
	if (manifest_parse(manifest, &m, &unused) ||
	    store_read_blob(s, &m->config.digest, &text, &unused))
		return xstrdup("");
	return size_in(buf_str(&text));
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
	p->size = size_of(p->set->store, buf_str(&text));
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
	if (!worked(p, outcome, e))
		return;
	if (outcome == STORE_ABSENT) { /* deleted just now */
		p->has_local = false;
		p->source->ask(p->src, NULL);
		return;
	}
	finish_cached(p);
}

void pull_use_local(struct pull *p)
{
	work(p, tag_local, on_tagged_local);
}

static bool is_unreachable(const struct err *e)
{
	return e->code == ERR_REFUSED || e->code == ERR_ENGINE ||
	       e->code == ERR_ENGINE_SLOW || e->code == ERR_UNAVAILABLE;
}

void pull_fail_or_use_local(struct pull *p, const struct err *e)
{
	if (!p->has_local || !is_unreachable(e)) {
		pull_fail(p, e);
		return;
	}
	auto_free char *text = xasprintf(
		"%s; the model that is here is used, it may be old", e->msg);
	pull_warn(p, text);
	pull_use_local(p);
}

static void on_found(void *ctx, int outcome, const struct err *e)
{
	struct pull *p = ctx;
	if (!worked(p, outcome, e))
		return;
	if (p->has_local && p->ref.kind == REF_ID)
		pull_use_local(p); /* named by its hash: cannot be newer */
	else
		p->source->ask(p->src, p->has_local ? &p->local : NULL);
}

/* ---- 2. what the source says ---- */

int pull_want(struct pull *p, const struct digest *d, uint64_t bytes,
	      const char *path, struct err *e)
{
	return blobs_add(p->blobs, d, bytes, path, e);
}

void pull_tell(struct pull *p, const char *text)
{
	p->fns->on_note(p->ctx, text);
}

void pull_warn(struct pull *p, const char *text)
{
	p->fns->on_warning(p->ctx, text);
}

struct store *pull_store(const struct pull *p)
{
	return p->set->store;
}

const struct ref *pull_ref(const struct pull *p)
{
	return &p->ref;
}

void pull_fetch(struct pull *p, struct registry *r, const struct digest *id)
{
	p->registry = registry_hold(r);
	if (id)
		p->id = *id;
	look_at_store(p);
}

/* ---- 3. the blobs ---- */

static int has_model(struct pull *p, const struct digest *id, bool *out,
		     struct err *e)
{
	auto_(index) x = NULL;
	struct ref by_id = { .kind = REF_ID, .digest = *id };
	if (store_index(p->set->store, &x, e))
		return -1;
	*out = index_find(x, &by_id) != NULL;
	return 0;
}

static int look(void *ctx, struct err *e)
{
	struct pull *p = ctx;
	bool is_known = true;
	if (blobs_look(p->blobs, &p->is_cached, e))
		return -1;
	if (p->id.hex[0] && has_model(p, &p->id, &is_known, e))
		return -1;
	p->is_cached &= is_known;
	return 0;
}

static void on_looked(void *ctx, int outcome, const struct err *e)
{
	struct pull *p = ctx;
	if (worked(p, outcome, e))
		blobs_start(p->blobs, p->registry,
			    p->is_cached && p->id.hex[0]);
}

static void look_at_store(struct pull *p)
{
	work(p, look, on_looked);
}

static void on_progress(void *ctx, const struct blobs_layer *l, uint64_t total)
{
	struct pull *p = ctx;
	p->fns->on_progress(p->ctx, l, total);
}

/* ---- 4. into the index ---- */

enum { STORE_AGAIN = 16 };

static int put_model(void *ctx, struct err *e)
{
	struct pull *p = ctx;
	struct pull_model *m = &p->model;
	char name[REF_TEXT_BYTES];
	bool is_known = false;
	buf_clear(&m->config);
	buf_clear(&m->manifest);
	if (p->source->make(p->src, m, e))
		return blobs_are_gone(p->blobs) ? STORE_AGAIN : -1;
	p->id = digest_of(buf_str(&m->manifest));
	blobs_lease(p->blobs, &m->config_digest);
	if (has_model(p, &p->id, &is_known, e) ||
	    blob_put(p->set->store, &m->config_digest, buf_str(&m->config), e))
		return -1;
	p->is_cached &= is_known;
	free(p->size);
	p->size = size_in(buf_str(&m->config));
	/* Another process may have removed what was there. */
	if (store_add(p->set->store, buf_str(&m->manifest), &p->id, e))
		return blobs_are_gone(p->blobs) ? STORE_AGAIN : -1;
	return store_tag(p->set->store, &p->id, ref_text(&p->ref, name), e);
}

static void on_put(void *ctx, int outcome, const struct err *e)
{
	struct pull *p = ctx;
	char name[REF_TEXT_BYTES];
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
		pull_fail(p, &why);
		return;
	}
	log_info("model pulled model=%s id=%s", ref_text(&p->ref, name),
		 p->id.hex);
	if (p->is_cached)
		finish_cached(p);
	else
		finish(p, 0, "Model pulled successfully", NULL);
}

static void on_blobs(void *ctx, int outcome, const struct err *e)
{
	struct pull *p = ctx;
	if (outcome)
		pull_fail(p, e);
	else
		work(p, put_model, on_put);
}

static const struct blobs_fns blobs_fns = { .on_progress = on_progress,
					    .on_end = on_blobs };

/* ---- places, start, stop ---- */

static void on_wait(void *ctx, int others)
{
	struct pull *p = ctx;
	p->fns->on_wait(p->ctx, others);
}

static void on_begin(void *ctx)
{
	work(ctx, find_local, on_found);
}

static const struct turn_fns turn_fns = { .on_wait = on_wait,
					  .on_begin = on_begin };

int pull_start(struct pull_set *s, const struct ref *ref,
	       const struct pull_source *source, void *src,
	       const struct pull_fns *fns, void *ctx, struct pull **out,
	       struct err *e)
{
	if (s->turns.is_stopped) {
		source->leave(src);
		source->free(src);
		return err_set(e, ERR_UNAVAILABLE, "modeld stops");
	}
	struct pull *p = xcalloc(1, sizeof *p);
	p->set = s;
	p->fns = fns;
	p->ctx = ctx;
	p->ref = *ref;
	p->source = source;
	p->src = src;
	p->blobs = blobs_new(&s->downloads, &blobs_fns, p);
	buf_init(&p->model.manifest, LIMIT_MANIFEST_BYTES);
	buf_init(&p->model.config, LIMIT_CONFIG_BLOB_BYTES);
	turns_join(&p->turn, &s->turns, &turn_fns, p);
	*out = p;
	return 0;
}

void pull_cancel(struct pull *p)
{
	leave(p);
}

struct pull_set *pull_set_new(struct registry_set *registries,
			      struct store *store, struct brake *brake)
{
	struct pull_set *s = xcalloc(1, sizeof *s);
	s->registries = registries;
	s->store = store;
	s->lane = lane_new(registries->loop, LIMIT_PULL_JOBS, brake);
	download_set_init(&s->downloads, registries->loop, store, s->lane);
	turns_init(&s->turns, registries->loop, LIMIT_PULLS);
	return s;
}

static void on_stop(void *ctx)
{
	struct pull *p = ctx;
	struct err e;
	err_set(&e, ERR_UNAVAILABLE,
		"modeld stops; what was fetched is kept, pull again to go on");
	if (p->fns)
		finish(p, -1, NULL, &e);
}

void pull_set_stop(struct pull_set *s)
{
	turns_stop(&s->turns, on_stop);
}

void pull_set_free(struct pull_set *s)
{
	if (!s)
		return;
	lane_free(s->lane);
	free(s);
}

struct registry_set *pull_set_registries(const struct pull_set *s)
{
	return s->registries;
}
