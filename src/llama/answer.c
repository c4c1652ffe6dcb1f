#include "llama/answer.h"

#include "base/limits.h"
#include "llama/prepare.h"
#include "llama/respond.h"

struct answer {
	struct serve *serve;
	struct http_exchange *x;
	answer_fn fn;
	struct prepare_job job;
	struct buf text; /* owned; the body */
	struct writer w;
};

static void answer_free(struct answer *a)
{
	buf_fini(&a->text);
	writer_fini(&a->w);
	free(a);
}

static int work(void *ctx, struct err *e)
{
	struct answer *a = ctx;
	return a->fn(a->serve, buf_str(&a->text), &a->w, e);
}

static void on_made(void *ctx, int outcome, const struct err *e)
{
	struct answer *a = ctx;
	if (outcome < 0)
		respond_error(a->x, e);
	else if (outcome != PREPARE_LEFT)
		respond_json(a->x, 200, &a->w);
	answer_free(a);
}

static void on_body(void *ctx, struct str body)
{
	struct answer *a = ctx;
	(void)body;
	exchange_take_body(a->x, &a->text);
	struct prepare_ask ask = { .caller = serve_caller(a->x),
				   .n_bytes = a->text.n,
				   .work = work,
				   .done = on_made,
				   .ctx = a };
	prepare_start(a->serve->prepare, &a->job, &ask);
}

static void on_gone(void *ctx)
{
	struct answer *a = ctx;
	if (prepare_leave(&a->job))
		answer_free(a);
}

void answer_start(struct serve *s, struct http_exchange *x, size_t max_bytes,
		  answer_fn fn)
{
	static const struct exchange_fns fns = { .on_gone = on_gone };
	struct answer *a = xcalloc(1, sizeof *a);
	*a = (struct answer){ .serve = s, .x = x, .fn = fn };
	a->w = WRITER(LIMIT_ANSWER_BYTES);
	exchange_set_fns(x, &fns, a);
	exchange_collect(x, max_bytes, on_body, a);
}
