#include "oci/document.h"
#include "base/log.h"
#include "io/timer.h"

#include <stdio.h>

struct document {
	struct registry *registry;	 /* held */
	struct document_request request; /* strings owned */
	struct digest want;
	document_fn fn;
	void *ctx;
	struct fetch *fetch;
	struct timer pause;
	int tries; /* at this place */
	struct buf body;
	struct digest said;
	bool has_said; /* Docker-Content-Digest */
	char media_type[128];
	char *field;	  /* owned, or NULL */
	unsigned wait_ms; /* that the server wants */
};

static void start(struct document *d);

static void document_free(struct document *d)
{
	if (d->fetch)
		fetch_cancel(d->fetch);
	timer_fini(&d->pause);
	registry_release(d->registry);
	buf_fini(&d->body);
	free((char *)d->request.path);
	free((char *)d->request.accept);
	free((char *)d->request.field);
	free(d->field);
	free(d);
}

static void finish(struct document *d, int outcome,
		   const struct document_answer *a, const struct err *e)
{
	d->fn(d->ctx, outcome, a, e);
	document_free(d);
}

/* Again here, or at the next place, or never. */
static void fail(struct document *d, const struct err *e)
{
	bool is_passing = fetch_is_passing(e);
	/* Somebody waits for us: what takes long is told instead. */
	if (is_passing && d->tries < LIMIT_DOCUMENT_TRIES &&
	    d->wait_ms <= LIMIT_DOCUMENT_WAIT_MS) {
		unsigned ms = LIMIT_PULL_PAUSE_MS << (d->tries - 1);
		timer_start(&d->pause, MAX(ms, d->wait_ms));
		return;
	}
	if (registry_next(d->registry)) {
		d->tries = 0;
		start(d);
		return;
	}
	finish(d, -1, NULL, e);
}

static void on_head(void *ctx, int status)
{
	struct document *d = ctx;
	struct err unused;
	struct str type = fetch_field(d->fetch, "Content-Type");
	struct str digest = fetch_field(d->fetch, "Docker-Content-Digest");
	(void)status;
	ptrdiff_t end = str_find(type, ';');
	if (end >= 0)
		type = str_trim(str_head(type, (size_t)end));
	snprintf(d->media_type, sizeof d->media_type, "%.*s", STR_ARG(type));
	if (d->request.field) {
		free(d->field);
		d->field = str_dup(fetch_field(d->fetch, d->request.field));
	}
	d->has_said = digest.p && digest_parse(digest, &d->said, &unused) == 0;
}

static int on_body(void *ctx, struct str piece)
{
	struct document *d = ctx;
	struct err e;
	if (!buf_put(&d->body, piece.p, piece.n))
		return 0;
	err_set(&e, ERR_CORRUPT, "%s is larger than %zu bytes", d->request.path,
		d->body.max);
	fetch_cancel(steal(&d->fetch));
	fail(d, &e);
	return 0;
}

static int check(struct document *d, struct document_answer *a, struct err *e)
{
	const struct digest *want = d->request.digest;
	*a = (struct document_answer){ .body = buf_str(&d->body) };
	memcpy(a->media_type, d->media_type, sizeof a->media_type);
	a->field = str_of(d->field ? d->field : "");
	if (d->request.is_head) {
		if (d->has_said)
			a->digest = d->said;
		return 0;
	}
	a->digest = digest_of(a->body);
	if (!want && d->has_said)
		want = &d->said;
	if (want && !digest_eq(want, &a->digest))
		return err_set(e, ERR_CORRUPT,
			       "digest mismatch for %s: expected sha256:%s, "
			       "got sha256:%s",
			       d->request.path, want->hex, a->digest.hex);
	return 0;
}

static void on_end(void *ctx, int outcome, const struct err *e)
{
	struct document *d = ctx;
	struct document_answer a;
	struct err why;
	d->wait_ms = fetch_retry_after_ms(d->fetch);
	d->fetch = NULL;
	if (outcome)
		fail(d, e);
	else if (check(d, &a, &why))
		fail(d, &why);
	else
		finish(d, 0, &a, NULL);
}

static const struct fetch_fns fetch_fns = { .on_head = on_head,
					    .on_body = on_body,
					    .on_end = on_end };

static void start(struct document *d)
{
	d->tries++;
	buf_clear(&d->body);
	d->has_said = false;
	d->fetch = fetch_start(
		d->registry,
		&(struct fetch_request){ .is_head = d->request.is_head,
					 .path = d->request.path,
					 .accept = d->request.accept,
					 .limit_ms = LIMIT_DOCUMENT_MS },
		&fetch_fns, d);
}

static void on_pause_over(void *ctx)
{
	start(ctx);
}

struct document *document_get(struct registry *r,
			      const struct document_request *q, document_fn fn,
			      void *ctx)
{
	struct document *d = xcalloc(1, sizeof *d);
	d->registry = registry_hold(r);
	d->request = *q;
	d->request.path = xstrdup(q->path);
	d->request.accept = q->accept ? xstrdup(q->accept) : NULL;
	d->request.field = q->field ? xstrdup(q->field) : NULL;
	if (q->digest) {
		d->want = *q->digest;
		d->request.digest = &d->want;
	}
	d->fn = fn;
	d->ctx = ctx;
	buf_init(&d->body, q->max_bytes);
	timer_init(&d->pause, r->all->loop, on_pause_over, d);
	start(d);
	return d;
}

void document_cancel(struct document *d)
{
	document_free(d);
}
