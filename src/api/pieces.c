#include "api/pieces.h"
#include "api/reply.h"
#include "base/log.h"
#include "io/job.h"

#include <assert.h>

_Static_assert((int)PIECES_FULL == (int)STREAM_FULL, "send() passes it on");

/* ---- the end ---- */

static int clean(void *ctx, struct err *e)
{
	struct pieces *p = ctx;
	(void)e;
	p->fns->fini(p);
	return 0;
}

static void on_clean(void *ctx, int outcome, const struct err *e)
{
	(void)outcome;
	(void)e;
	free(ctx);
}

static void finish(struct pieces *p)
{
	job_start(p->api->loop, clean, on_clean, p);
}

/* ---- one after the other ---- */

static void next(struct pieces *p);

static void fail(struct http_exchange *x, const struct err *e)
{
	if (!exchange_is_started(x)) {
		reply_text_error(x, e);
		return;
	}
	log_warn("answer cut path=%.*s error=\"%s\"",
		 STR_ARG(exchange_target(x)->path), e->msg);
	exchange_abort(x);
}

static void on_made(void *ctx, int outcome, const struct err *e)
{
	struct pieces *p = ctx;
	p->is_working = false;
	if (p->x && outcome < 0)
		fail(p->x, e);
	int got = p->x && outcome >= 0 ? p->fns->send(p, outcome) : PIECES_END;
	if (got == PIECES_END && p->x && outcome >= 0)
		exchange_end(p->x);
	p->is_full = got == PIECES_FULL;
	if (got == PIECES_END)
		finish(p);
	else if (!p->is_full)
		next(p);
}

static int make(void *ctx, struct err *e)
{
	struct pieces *p = ctx;
	return p->fns->make(p, e);
}

static void next(struct pieces *p)
{
	p->is_working = true;
	lane_start(p->api->bulk, &p->job, make, on_made, p);
}

/* ---- the client ---- */

static void on_drain(void *ctx)
{
	struct pieces *p = ctx;
	if (!p->is_full || p->is_working)
		return;
	p->is_full = false;
	next(p);
}

static void on_gone(void *ctx)
{
	struct pieces *p = ctx;
	p->x = NULL;
	if (!p->is_working)
		finish(p);
}

static const struct exchange_fns exchange_fns = { .on_gone = on_gone,
						  .on_drain = on_drain };

void pieces_start(struct pieces *p, struct api *api, struct http_exchange *x,
		  const struct pieces_fns *fns)
{
	p->api = api;
	p->x = x;
	p->fns = fns;
	exchange_set_fns(x, &exchange_fns, p);
	next(p);
}
