#include "oci/download_priv.h"

#include "base/log.h"

#include <stdio.h>

static void advance(struct download *d);

static void destroy(struct download *d)
{
	list_remove(&d->link);
	for (size_t i = 0; i < ARRAY_LEN(d->streams); i++) {
		download_stream_stop(&d->streams[i]);
		download_stream_fini(&d->streams[i]);
	}
	partial_free(d->partial);
	ranges_fini(&d->have);
	timer_fini(&d->pause);
	registry_release(d->registry);
	free(d->path);
	free(d);
}

static void stop_streams(struct download *d)
{
	for (size_t i = 0; i < ARRAY_LEN(d->streams); i++) {
		if (d->streams[i].is_open)
			ranges_give_back(&d->have, d->streams[i].chunk);
		download_stream_stop(&d->streams[i]);
	}
}

/* Nothing runs any more. The files are let go before anybody is told, who may
 * want to begin anew. */
static void finish(struct download *d, int outcome, const struct err *e)
{
	struct list told;
	struct list *link;
	list_init(&told);
	while ((link = list_pop_front(&d->watches))) {
		container_of(link, struct download_watch, link)->download =
			NULL;
		list_push_back(&told, link);
	}
	destroy(d);
	while ((link = list_pop_front(&told))) {
		struct download_watch *w =
			container_of(link, struct download_watch, link);
		w->on_end(w->ctx, outcome, e);
	}
}

/* ---- jobs ---- */

static void run(struct download *d, job_work_fn work, job_done_fn done)
{
	d->is_at_work = true;
	d->jobs++;
	lane_start(d->all->lane, &d->job, work, done, d);
}

static bool ran(struct download *d, int outcome, const struct err *e)
{
	d->jobs--;
	d->is_at_work = false;
	if (outcome < 0 && !d->has_failed) {
		d->has_failed = true;
		d->failed = *e;
		stop_streams(d);
	}
	return outcome >= 0;
}

static int open_partial(void *ctx, struct err *e)
{
	struct download *d = ctx;
	return partial_open(d->all->store, &d->blob, d->bytes,
			    LIMIT_PULL_CHUNK_BYTES, &d->opened, &d->found, e);
}

static void on_open(void *ctx, int outcome, const struct err *e)
{
	struct download *d = ctx;
	struct err busy;
	if (outcome == PARTIAL_BUSY) {
		err_set(&busy, ERR_UNAVAILABLE,
			"another program is fetching blob sha256:%s",
			d->blob.hex);
		e = &busy;
		outcome = -1;
	}
	ran(d, outcome, e);
	if (outcome == PARTIAL_THERE && !d->is_closing) {
		finish(d, 0, NULL);
		return;
	}
	if (outcome == 0) {
		d->partial = steal(&d->opened);
		d->have = d->found;
		d->is_resumed = ranges_total(&d->have) > 0;
		if (partial_allows_ranges(d->partial))
			d->ranges = RANGES_YES;
	}
	advance(d);
}

static int hash(void *ctx, struct err *e)
{
	struct download *d = ctx;
	uint64_t end = MIN(d->hash_until,
			   partial_hashed(d->partial) + LIMIT_PULL_HASH_BYTES);
	int got;
	while ((got = partial_hash(d->partial, end, e)) == PARTIAL_MORE)
		lane_pass(d->all->lane);
	return got;
}

static void on_hashed(void *ctx, int outcome, const struct err *e)
{
	struct download *d = ctx;
	ran(d, outcome, e);
	advance(d);
}

static int publish(void *ctx, struct err *e)
{
	struct download *d = ctx;
	int got = partial_publish(d->partial, e);
	if (got != PARTIAL_WRONG)
		return got;
	/* What lay here from an earlier time may be at fault: a disk that lost
	 * power, another program. What came just now is not worth keeping. */
	if (!d->is_resumed) {
		partial_discard(d->partial);
		return -1;
	}
	return partial_restart(d->partial, e) ? -1 : PARTIAL_WRONG;
}

static void on_published(void *ctx, int outcome, const struct err *e)
{
	struct download *d = ctx;
	bool is_good = ran(d, outcome, e);
	if (is_good && outcome == PARTIAL_WRONG) {
		log_warn("partial download was damaged, begins anew blob=%s",
			 d->blob.hex);
		ranges_set_prefix(&d->have, 0);
		d->is_resumed = false;
		d->ranges = RANGES_UNKNOWN;
	} else if (is_good && !d->is_closing) {
		finish(d, 0, NULL);
		return;
	}
	advance(d);
}

static int allow_ranges(void *ctx, struct err *e)
{
	struct download *d = ctx;
	return partial_allow_ranges(d->partial, &d->have, e);
}

static void on_changed(void *ctx, int outcome, const struct err *e)
{
	struct download *d = ctx;
	bool was_at_work = d->is_at_work;
	ran(d, outcome, e);
	d->is_at_work = was_at_work;
	d->is_changing = false;
	if (outcome == 0)
		d->ranges = RANGES_YES;
	for (size_t i = 0; i < ARRAY_LEN(d->streams); i++)
		download_stream_go_on(&d->streams[i]);
	advance(d);
}

/* ---- failures ---- */

static void on_pause_over(void *ctx)
{
	advance(ctx);
}

/* True: it is tried again, after a while. */
static bool try_again(struct download *d)
{
	const struct err *e = &d->failed;
	/* The place that we were sent to may have been for a while only. */
	bool is_passing = fetch_is_passing(e) || e->code == ERR_REFUSED ||
			  (d->has_location && e->code != ERR_SYSTEM &&
			   e->code != ERR_CORRUPT);
	d->has_location = false;
	if (d->got >= LIMIT_PULL_PROGRESS_BYTES)
		d->failures = 0;
	d->got = 0;
	if (!is_passing || ++d->failures > LIMIT_PULL_TRIES) {
		d->failures = 0;
		if (e->code == ERR_SYSTEM || !registry_next(d->registry))
			return false;
	}
	unsigned ms = LIMIT_PULL_PAUSE_MS << d->failures;
	timer_start(&d->pause, MAX(ms, d->pause_ms));
	log_info("blob is tried again blob=%s bytes=%llu why=\"%s\"",
		 d->blob.hex, (unsigned long long)ranges_total(&d->have),
		 e->msg);
	d->pause_ms = 0;
	d->has_failed = false;
	return true;
}

/* ---- streams ---- */

void download_on_head(struct download *d, struct download_stream *s)
{
	struct err e;
	if (s->is_everything && d->ranges == RANGES_YES && d->have.n > 1) {
		err_set(&e, ERR_ENGINE, "the server serves ranges no more");
		d->ranges = RANGES_NO;
		fetch_cancel(steal(&s->fetch));
		download_on_fail(d, s, &e);
		return;
	}
	if (s->is_everything) {
		d->ranges = RANGES_NO;
		s->skip = s->at;
		s->end = d->bytes;
		ranges_set_prefix(&d->have, s->at);
		return;
	}
	if (d->ranges == RANGES_YES || d->have.n == 1)
		return;
	d->is_changing = true;
	d->jobs++;
	lane_start(d->all->lane, &d->change, allow_ranges, on_changed, d);
}

void download_on_bytes(struct download *d)
{
	advance(d);
}

void download_on_done(struct download *d, struct download_stream *s)
{
	ranges_give_back(&d->have, s->chunk);
	advance(d);
}

void download_on_fail(struct download *d, struct download_stream *s,
		      const struct err *e)
{
	(void)s;
	if (!d->has_failed) {
		d->has_failed = true;
		d->failed = *e;
	}
	stop_streams(d);
	advance(d);
}

static void start_streams(struct download *d)
{
	int open = 0;
	int max = d->ranges == RANGES_YES ? d->max_streams : 1;
	for (size_t i = 0; i < ARRAY_LEN(d->streams); i++)
		open += d->streams[i].is_open;
	for (size_t i = 0; i < ARRAY_LEN(d->streams) && open < max; i++) {
		struct download_stream *s = &d->streams[i];
		if (s->is_open || s->is_writing)
			continue;
		if (!ranges_take(&d->have, &s->chunk))
			return;
		download_stream_start(s);
		open++;
	}
}

/* What is to be done next, after anything that happened. */
static void advance(struct download *d)
{
	if (d->is_closing || d->has_failed) {
		if (d->jobs)
			return;
		if (d->is_closing)
			destroy(d);
		else if (!try_again(d)) {
			struct err why = d->failed;
			finish(d, -1, &why);
		}
		return;
	}
	if (timer_is_active(&d->pause))
		return;
	if (!d->partial) {
		if (!d->is_at_work)
			run(d, open_partial, on_open);
		return;
	}
	bool is_whole = ranges_is_whole(&d->have);
	uint64_t prefix = ranges_prefix(&d->have);
	if (!d->is_at_work) {
		uint64_t ahead = prefix - partial_hashed(d->partial);
		d->hash_until = prefix;
		if (ahead && (is_whole || ahead >= LIMIT_PULL_WRITE_BYTES))
			run(d, hash, on_hashed);
		else if (is_whole && d->jobs == 0)
			run(d, publish, on_published);
	}
	if (!is_whole)
		start_streams(d);
}

/* ---- who waits ---- */

void download_set_init(struct download_set *d, struct uv_loop_s *loop,
		       struct store *s, struct lane *lane)
{
	d->loop = loop;
	d->store = s;
	d->lane = lane;
	list_init(&d->all);
}

static struct download *download_new(struct download_set *all,
				     struct registry *r,
				     const struct digest *blob, uint64_t bytes,
				     const char *path)
{
	char text[DIGEST_TEXT_BYTES];
	struct download *d = xcalloc(1, sizeof *d);
	d->all = all;
	d->registry = registry_hold(r);
	d->blob = *blob;
	d->bytes = bytes;
	d->max_streams = 1;
	list_init(&d->watches);
	for (size_t i = 0; i < ARRAY_LEN(d->streams); i++)
		download_stream_init(&d->streams[i], d);
	d->path = path ? xstrdup(path)
		       : xasprintf("blobs/%s", digest_text(blob, text));
	timer_init(&d->pause, all->loop, on_pause_over, d);
	list_push_back(&all->all, &d->link);
	return d;
}

void download_join(struct download_set *all, struct registry *r,
		   const struct digest *blob, uint64_t bytes, const char *path,
		   struct download_watch *w)
{
	struct download *d = NULL;
	list_each (it, &all->all) {
		struct download *other =
			container_of(it, struct download, link);
		if (digest_eq(&other->blob, blob) && other->bytes == bytes)
			d = other;
	}
	w->is_first = !d;
	if (!d)
		d = download_new(all, r, blob, bytes, path);
	w->download = d;
	list_push_back(&d->watches, &w->link);
	if (w->is_first)
		advance(d);
}

void download_leave(struct download_watch *w)
{
	struct download *d = w->download;
	if (!d)
		return;
	w->download = NULL;
	list_remove(&w->link);
	if (!list_is_empty(&d->watches))
		return;
	d->is_closing = true;
	list_remove(&d->link); /* nobody joins it any more */
	stop_streams(d);
	registry_release(steal(&d->registry));
	timer_stop(&d->pause);
	advance(d);
}

uint64_t download_bytes(const struct download_watch *w)
{
	return w->download ? ranges_total(&w->download->have) : 0;
}

void download_widen(struct download_watch *w, int n)
{
	if (!w->download)
		return;
	w->download->max_streams = MAX(1, MIN(n, LIMIT_PULL_STREAMS));
	advance(w->download);
}
