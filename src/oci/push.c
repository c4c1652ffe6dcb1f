#include "oci/push.h"
#include "base/log.h"
#include "oci/push_blob.h"
#include "oci/push_manifest.h"
#include "oci/push_plan.h"
#include "oci/turns.h"

#include <stdio.h>

struct push_set {
	struct registry_set *registries;
	struct store *store;
	struct lane *lane;
	struct push_kept kept;
	struct turns turns;
};

/* One of the plan's items on its way. */
struct sending {
	struct push *push;
	struct push_layer is;
	uint64_t told;		/* of is.there; UINT64_MAX: nothing yet */
	struct push_blob *blob; /* while it is on its way */
	bool is_done;
};

struct push {
	struct turn turn;
	struct push_set *set;
	const struct push_fns *fns; /* NULL: it is over */
	void *ctx;
	struct ref ref;
	struct digest id;
	struct registry *registry; /* held */
	struct timer timer;	   /* to tell */
	bool is_working;	   /* a job runs */
	struct lane_job job;
	struct push_plan plan;
	struct sending *sending; /* owned; as plan.items */
	struct push_manifest *manifest;
	int rounds;
};

static void next_blobs(struct push *p);

/* ---- the end ---- */

static int release(void *ctx, struct err *e)
{
	struct push *p = ctx;
	(void)e;
	push_plan_release(&p->plan, p->set->store);
	return 0;
}

static void on_released(void *ctx, int outcome, const struct err *e)
{
	struct push *p = ctx;
	(void)outcome;
	(void)e;
	push_plan_fini(&p->plan);
	free(p);
}

/* All goes but the leases, which need a job. */
static void push_free(struct push *p)
{
	turns_drop(&p->turn);
	for (size_t i = 0; p->sending && i < p->plan.n; i++)
		if (p->sending[i].blob)
			push_blob_cancel(p->sending[i].blob);
	if (p->manifest)
		push_manifest_cancel(p->manifest);
	registry_release(p->registry);
	timer_fini(&p->timer);
	free(p->sending);
	lane_start(p->set->lane, &p->job, release, on_released, p);
}

static void leave(struct push *p)
{
	p->fns = NULL;
	turns_leave(&p->turn);
	timer_stop(&p->timer);
	if (!p->is_working)
		push_free(p);
	else /* its loop may end before the job does */
		registry_release(steal(&p->registry));
}

static void finish(struct push *p, int outcome, const struct err *e)
{
	const struct push_fns *fns = p->fns;
	void *ctx = p->ctx;
	struct err why;
	if (outcome)
		why = *e;
	leave(p);
	fns->on_end(ctx, outcome, &why);
}

/* ---- words ---- */

/* What to do about it, for whoever may not write there. */
static void advise(const struct push *p, struct err *e)
{
	bool is_hub = strcmp(p->ref.registry, "docker.io") == 0;
	struct err was = *e;
	if (is_hub && str_starts(str_of(p->ref.repository), "ai/"))
		err_set(e, was.code,
			"%s; the names in 'ai/' on Docker Hub are Docker's: "
			"give the model one of yours by 'docker model tag %s "
			"YOU/%s', and push that",
			was.msg, p->ref.repository + 3, p->ref.repository + 3);
	else if (!strstr(was.msg, "docker login"))
		err_set(e, was.code,
			"%s; to write to %s/%s, 'docker login%s%s' as somebody "
			"who may",
			was.msg, p->ref.registry, p->ref.repository,
			is_hub ? "" : " ", is_hub ? "" : p->ref.registry);
}

static void fail(struct push *p, const struct err *e)
{
	char name[REF_TEXT_BYTES];
	struct err why = *e;
	if (why.code == ERR_AUTH)
		advise(p, &why);
	log_info("push failed model=%s error=\"%s\"", ref_text(&p->ref, name),
		 why.msg);
	finish(p, -1, &why);
}

/* ---- 1. what there is to push ---- */

static int plan(void *ctx, struct err *e)
{
	struct push *p = ctx;
	return push_plan_make(&p->plan, p->set->store, &p->id, &p->ref, e);
}

static void on_planned(void *ctx, int outcome, const struct err *e)
{
	struct push *p = ctx;
	p->is_working = false;
	if (!p->fns) {
		push_free(p);
		return;
	}
	if (outcome) {
		fail(p, e);
		return;
	}
	p->sending = xcalloc(p->plan.n, sizeof *p->sending);
	for (size_t i = 0; i < p->plan.n; i++)
		p->sending[i] = (struct sending){
			.push = p,
			.is = { .digest = p->plan.items[i].digest,
				.bytes = p->plan.items[i].bytes },
			.told = UINT64_MAX,
		};
	registry_want_push(p->registry, p->plan.from, p->plan.n_from);
	next_blobs(p);
}

/* ---- 2. layers, then the config ---- */

/* The config is no layer: nobody is told of it. */
static void tell(struct push *p, size_t i)
{
	struct sending *s = &p->sending[i];
	if (i + 1 == p->plan.n || s->is.there == s->told)
		return;
	s->told = s->is.there;
	p->fns->on_progress(p->ctx, &s->is);
}

static void on_tick(void *ctx)
{
	struct push *p = ctx;
	timer_start(&p->timer, LIMIT_PULL_TELL_MS);
	for (size_t i = 0; i < p->plan.n; i++) {
		struct sending *s = &p->sending[i];
		if (!s->blob || !push_blob_is_sent(s->blob))
			continue;
		/* It is whole only when the registry says so. */
		uint64_t there = push_blob_there(s->blob);
		s->is.there = MIN(there, s->is.bytes ? s->is.bytes - 1 : 0);
		tell(p, i);
	}
}

static void on_blob(void *ctx, int outcome, const struct err *e)
{
	struct sending *s = ctx;
	struct push *p = s->push;
	s->blob = NULL;
	if (outcome) {
		fail(p, e);
		return;
	}
	s->is_done = true;
	s->is.there = s->is.bytes;
	tell(p, (size_t)(s - p->sending));
	next_blobs(p);
}

static void start_blob(struct push *p, size_t i)
{
	const struct push_item *item = &p->plan.items[i];
	struct push_blob_config c = { .registry = p->registry,
				      .lane = p->set->lane,
				      .kept = &p->set->kept,
				      .digest = item->digest,
				      .bytes = item->bytes,
				      .path = item->path };
	for (size_t f = 0; f < p->plan.n_from; f++)
		if (item->is_in[f])
			c.from[c.n_from++] = p->plan.from[f];
	p->sending[i].blob = push_blob_start(&c, on_blob, &p->sending[i]);
}

static void start_manifest(struct push *p);

/* So many at a time; the config alone, when all layers are there. */
static void next_blobs(struct push *p)
{
	int active = 0;
	size_t layers = p->plan.n - 1, done = 0;
	for (size_t i = 0; i < p->plan.n; i++) {
		active += p->sending[i].blob != NULL;
		done += p->sending[i].is_done;
	}
	size_t until = done < layers ? layers : p->plan.n;
	if (done == p->plan.n) {
		timer_stop(&p->timer);
		start_manifest(p);
		return;
	}
	for (size_t i = 0; i < until && active < LIMIT_PUSH_LAYERS; i++) {
		if (p->sending[i].blob || p->sending[i].is_done)
			continue;
		active++;
		start_blob(p, i);
	}
	if (!timer_is_active(&p->timer))
		timer_start(&p->timer, LIMIT_PULL_TELL_MS);
}

/* ---- 3. the manifest ---- */

/* A registry that missed a blob may have removed it meanwhile. */
static void on_manifest(void *ctx, int outcome, const struct err *e)
{
	struct push *p = ctx;
	char name[REF_TEXT_BYTES];
	p->manifest = NULL;
	if (outcome == PUSH_MANIFEST_REFUSED &&
	    ++p->rounds < LIMIT_PUSH_ROUNDS) {
		for (size_t i = 0; i < p->plan.n; i++)
			p->sending[i].is_done = false;
		next_blobs(p);
	} else if (outcome) {
		fail(p, e);
	} else {
		log_info("model pushed model=%s id=%s", ref_text(&p->ref, name),
			 p->id.hex);
		finish(p, 0, NULL);
	}
}

static void start_manifest(struct push *p)
{
	char text[DIGEST_TEXT_BYTES];
	struct push_manifest_config c = { .registry = p->registry,
					  .digest = p->id,
					  .text = buf_str(&p->plan.text) };
	c.name = p->ref.kind == REF_ID ? digest_text(&p->id, text) : p->ref.tag;
	p->manifest = push_manifest_start(&c, on_manifest, p);
}

/* ---- places, start, stop ---- */

static void on_wait(void *ctx, int others)
{
	struct push *p = ctx;
	p->fns->on_wait(p->ctx, others);
}

static void on_begin(void *ctx)
{
	struct push *p = ctx;
	p->is_working = true;
	lane_start(p->set->lane, &p->job, plan, on_planned, p);
}

static const struct turn_fns turn_fns = { .on_wait = on_wait,
					  .on_begin = on_begin };

int push_start(struct push_set *s, const struct ref *ref,
	       const struct digest *id, const char *bearer,
	       const struct push_fns *fns, void *ctx, struct push **out,
	       struct err *e)
{
	struct registry *r;
	if (s->turns.is_stopped)
		return err_set(e, ERR_UNAVAILABLE, "modeld stops");
	if (registry_open(s->registries, ref, bearer, &r, e))
		return -1;
	struct push *p = xcalloc(1, sizeof *p);
	p->set = s;
	p->fns = fns;
	p->ctx = ctx;
	p->ref = *ref;
	p->id = *id;
	p->registry = r;
	push_plan_init(&p->plan);
	timer_init(&p->timer, s->registries->loop, on_tick, p);
	turns_join(&p->turn, &s->turns, &turn_fns, p);
	*out = p;
	return 0;
}

void push_cancel(struct push *p)
{
	leave(p);
}

struct push_set *push_set_new(struct registry_set *registries,
			      struct store *store, struct brake *brake)
{
	struct push_set *s = xcalloc(1, sizeof *s);
	s->registries = registries;
	s->store = store;
	s->lane = lane_new(registries->loop, LIMIT_PUSH_JOBS, brake);
	push_kept_init(&s->kept);
	turns_init(&s->turns, registries->loop, LIMIT_PUSHES);
	return s;
}

static void on_stop(void *ctx)
{
	struct push *p = ctx;
	struct err e;
	err_set(&e, ERR_UNAVAILABLE,
		"modeld stops; push again, and what the registry has is not "
		"sent again");
	if (p->fns)
		finish(p, -1, &e);
}

void push_set_stop(struct push_set *s)
{
	turns_stop(&s->turns, on_stop);
}

void push_set_free(struct push_set *s)
{
	if (!s)
		return;
	push_kept_fini(&s->kept);
	lane_free(s->lane);
	free(s);
}
