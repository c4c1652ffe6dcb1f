#include "oci/blobs.h"
#include "base/limits.h"
#include "io/timer.h"
#include "oci/partial.h"

#include <search.h>

/* A blob, and one who waits for it. */
struct wanted {
	struct blobs *set;
	struct blobs_layer is;
	char *path;    /* owned, or NULL */
	uint64_t told; /* of is.there; UINT64_MAX: nothing yet */
	struct download_watch watch;
	bool is_there;
	bool is_begun;
	bool is_own_try; /* it was another pull's, which failed */
};

struct blobs {
	struct download_set *downloads;
	const struct blobs_fns *fns;
	void *ctx;
	struct registry *registry; /* held while it runs */
	struct timer tick;
	struct wanted **all; /* owned; each digest once */
	void *by_digest;     /* a tree of tsearch(3)'s of the same */
	size_t n, cap;
	uint64_t total;
	struct digest *leases; /* owned; the first n_leased are taken */
	size_t n_leases, n_leased, cap_leases;
};

static void next(struct blobs *b);

/* ---- which ---- */

static void want_lease(struct blobs *b, const struct digest *d)
{
	if (b->n_leases == b->cap_leases) {
		b->cap_leases = b->cap_leases ? 2 * b->cap_leases : 16;
		b->leases =
			xrealloc(b->leases, b->cap_leases * sizeof *b->leases);
	}
	b->leases[b->n_leases++] = *d;
}

/* The kernel compares each with all before it: a second for 10,000. */
static void take_leases(struct blobs *b)
{
	store_lease(b->downloads->store, b->leases + b->n_leased,
		    b->n_leases - b->n_leased);
	b->n_leased = b->n_leases;
}

void blobs_lease(struct blobs *b, const struct digest *d)
{
	want_lease(b, d);
	take_leases(b);
}

static int compare(const void *a, const void *b)
{
	const struct wanted *x = a, *y = b;
	return strcmp(x->is.digest.hex, y->is.digest.hex);
}

/* A balanced tree: who writes a manifest chooses its digests, and may know of a
 * hash what collides. */
static bool is_new(struct blobs *b, struct wanted *w)
{
	struct wanted **at = tsearch(w, &b->by_digest, compare);
	if (!at)
		abort(); /* no memory */
	return *at == w;
}

int blobs_add(struct blobs *b, const struct digest *d, uint64_t bytes,
	      const char *path, struct err *e)
{
	if (bytes > LIMIT_BLOB_BYTES || b->total > LIMIT_BLOB_BYTES)
		return err_set(e, ERR_UNSUPPORTED,
			       "layer sha256:%s would have %llu bytes", d->hex,
			       (unsigned long long)bytes);
	auto_free struct wanted *w = xcalloc(1, sizeof *w);
	w->is.digest = *d;
	if (!is_new(b, w))
		return 0;
	if (b->n == b->cap) {
		b->cap = b->cap ? 2 * b->cap : 16;
		b->all = xrealloc(b->all, b->cap * sizeof *b->all);
	}
	b->total += bytes;
	w->set = b;
	w->is.bytes = bytes;
	w->path = path ? xstrdup(path) : NULL;
	w->told = UINT64_MAX;
	want_lease(b, d);
	b->all[b->n++] = steal(&w);
	return 0;
}

/* ---- what is there ---- */

int blobs_look(struct blobs *b, bool *is_all, struct err *e)
{
	struct store *s = b->downloads->store;
	uint64_t missing = 0, room;
	if (b->n_leased < b->n_leases)
		take_leases(b);
	if (store_room(s, &room, e))
		return -1;
	*is_all = true;
	for (size_t i = 0; i < b->n; i++) {
		struct wanted *w = b->all[i];
		w->is_there = store_has_blob(s, &w->is.digest, w->is.bytes);
		w->is_begun = w->is_there;
		w->is.there = w->is_there ? w->is.bytes : 0;
		if (w->is_there)
			continue;
		*is_all = false;
		uint64_t part = partial_bytes(s, &w->is.digest);
		missing += w->is.bytes - MIN(part, w->is.bytes);
	}
	if (missing > room)
		return err_set(e, ERR_SYSTEM,
			       "no space left: the model needs %.2f GB more "
			       "where models are kept, and %.2f GB are free",
			       (double)missing / 1e9, (double)room / 1e9);
	return 0;
}

bool blobs_are_gone(const struct blobs *b)
{
	for (size_t i = 0; i < b->n; i++)
		if (!store_has_blob(b->downloads->store, &b->all[i]->is.digest,
				    b->all[i]->is.bytes))
			return true;
	return false;
}

/* ---- progress ---- */

static void tell(struct wanted *w)
{
	struct blobs *b = w->set;
	if (w->is.there == w->told)
		return;
	w->told = w->is.there;
	b->fns->on_progress(b->ctx, &w->is, b->total);
}

static void tell_all(struct blobs *b)
{
	for (size_t i = 0; i < b->n; i++) {
		struct wanted *w = b->all[i];
		if (!w->is_there && w->watch.download) {
			/* It is whole only when it is verified. */
			uint64_t there = download_bytes(&w->watch);
			w->is.there = MIN(there, w->is.bytes - 1);
			if (!there && w->told == UINT64_MAX)
				continue;
		}
		if (w->is_begun)
			tell(w);
	}
}

static void on_tick(void *ctx)
{
	struct blobs *b = ctx;
	timer_start(&b->tick, LIMIT_PULL_TELL_MS);
	tell_all(b);
}

/* ---- fetching ---- */

static void on_blob(void *ctx, int outcome, const struct err *e)
{
	struct wanted *w = ctx;
	struct blobs *b = w->set;
	if (outcome == 0) {
		w->is_there = true;
		w->is.there = w->is.bytes;
		tell(w);
	} else if (!w->watch.is_first && !w->is_own_try) {
		/* It failed with another's credentials or registry. */
		w->is_own_try = true;
		w->is_begun = false;
	} else {
		b->fns->on_end(b->ctx, -1, e);
		return;
	}
	next(b);
}

/* So many at a time; the connections that this leaves go to the large ones. */
static void next(struct blobs *b)
{
	int active = 0;
	bool is_done = true;
	for (size_t i = 0; i < b->n; i++) {
		active += b->all[i]->is_begun && !b->all[i]->is_there;
		is_done &= b->all[i]->is_there;
	}
	if (is_done) {
		timer_stop(&b->tick);
		tell_all(b);
		b->fns->on_end(b->ctx, 0, NULL);
		return;
	}
	for (size_t i = 0; i < b->n && active < LIMIT_PULL_LAYERS; i++) {
		struct wanted *w = b->all[i];
		if (w->is_begun)
			continue;
		w->is_begun = true;
		active++;
		w->watch.on_end = on_blob;
		w->watch.ctx = w;
		download_join(b->downloads, b->registry, &w->is.digest,
			      w->is.bytes, w->path, &w->watch);
	}
	for (size_t i = 0; i < b->n; i++)
		download_widen(&b->all[i]->watch, LIMIT_PULL_STREAMS / active);
	if (!timer_is_active(&b->tick))
		timer_start(&b->tick, LIMIT_PULL_TELL_MS);
}

void blobs_start(struct blobs *b, struct registry *r, bool is_silent)
{
	if (!b->registry)
		b->registry = registry_hold(r);
	for (size_t i = 0; i < b->n && is_silent; i++)
		if (b->all[i]->is_there)
			b->all[i]->told = b->all[i]->is.bytes;
	next(b);
}

/* ---- begin and end ---- */

struct blobs *blobs_new(struct download_set *downloads,
			const struct blobs_fns *fns, void *ctx)
{
	struct blobs *b = xcalloc(1, sizeof *b);
	b->downloads = downloads;
	b->fns = fns;
	b->ctx = ctx;
	timer_init(&b->tick, downloads->loop, on_tick, b);
	return b;
}

void blobs_leave(struct blobs *b)
{
	timer_stop(&b->tick);
	for (size_t i = 0; i < b->n; i++)
		download_leave(&b->all[i]->watch);
	registry_release(steal(&b->registry));
}

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

static void keep(void *wanted)
{
	(void)wanted;
}

static void give_leases_back(struct blobs *b)
{
	if (!b->n_leased)
		return;
	struct release *r = xcalloc(1, sizeof *r);
	r->store = b->downloads->store;
	r->n = b->n_leased;
	r->blobs = steal(&b->leases);
	lane_start(b->downloads->lane, &r->job, release_leases, on_released, r);
}

void blobs_free(struct blobs *b)
{
	give_leases_back(b);
	timer_fini(&b->tick);
	tdestroy(b->by_digest, keep);
	for (size_t i = 0; i < b->n; i++) {
		free(b->all[i]->path);
		free(b->all[i]);
	}
	free(b->all);
	free(b->leases);
	free(b);
}
