#include "llama/direct.h"

#include "base/limits.h"
#include "llama/prepare.h"
#include "llama/respond.h"

struct direct {
	struct serve *serve;
	struct http_exchange *x;
	direct_fn fn;
	struct prepare_job job;
	struct buf text; /* owned; the body */
	struct writer w;
};

static void direct_free(struct direct *d)
{
	buf_fini(&d->text);
	writer_fini(&d->w);
	serve_on_change(d->serve);
	free(d);
}

static int work(void *ctx, struct err *e)
{
	struct direct *d = ctx;
	return d->fn(d->serve, buf_str(&d->text), &d->w, e);
}

static void on_made(void *ctx, int outcome, const struct err *e)
{
	struct direct *d = ctx;
	if (outcome < 0)
		respond_error(d->x, e);
	else if (outcome != PREPARE_LEFT)
		respond_json(d->x, 200, &d->w);
	direct_free(d);
}

static void on_body(void *ctx, struct str body)
{
	struct direct *d = ctx;
	(void)body;
	exchange_take_body(d->x, &d->text);
	struct prepare_ask ask = { .caller = serve_caller(d->x),
				   .n_bytes = d->text.n,
				   .work = work,
				   .done = on_made,
				   .ctx = d };
	prepare_start(d->serve->prepare, &d->job, &ask);
}

static void on_gone(void *ctx)
{
	struct direct *d = ctx;
	if (prepare_leave(&d->job))
		direct_free(d);
	else
		serve_on_change(d->serve);
}

void direct_start(struct serve *s, struct http_exchange *x, size_t max_bytes,
		  direct_fn fn)
{
	static const struct exchange_fns fns = { .on_gone = on_gone };
	struct direct *d = xcalloc(1, sizeof *d);
	*d = (struct direct){ .serve = s, .x = x, .fn = fn };
	d->w = WRITER(LIMIT_ANSWER_BYTES);
	exchange_set_fns(x, &fns, d);
	exchange_collect(x, max_bytes, on_body, d);
}
