#include "api/work.h"
#include "api/reply.h"
#include "io/job.h"

static void on_gone(void *ctx)
{
	struct work *w = ctx;
	w->x = NULL;
}

static const struct exchange_fns exchange_fns = { .on_gone = on_gone };

static int run(void *ctx, struct err *e)
{
	struct work *w = ctx;
	return w->run(w, e);
}

static void done(void *ctx, int outcome, const struct err *e)
{
	struct work *w = ctx;
	if (w->x && outcome < 0)
		reply_text_error(w->x, e);
	else if (w->x)
		w->done(w, outcome);
	if (w->fini)
		w->fini(w);
	arena_fini(&w->arena);
	free(w);
}

void work_start(struct work *w, struct api *api, struct http_exchange *x,
		int (*run_fn)(struct work *w, struct err *e),
		void (*done_fn)(struct work *w, int outcome))
{
	w->api = api;
	w->x = x;
	w->run = run_fn;
	w->done = done_fn;
	exchange_set_fns(x, &exchange_fns, w);
	job_start(api->loop, run, done, w);
}
