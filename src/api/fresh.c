#include "api/fresh.h"
#include "api/access.h"
#include "io/job.h"

struct waiting {
	struct api *api;
	struct http_exchange *x; /* NULL: the client has gone */
	struct route_match match;
};

static void on_gone(void *ctx)
{
	struct waiting *w = ctx;
	w->x = NULL;
}

static const struct exchange_fns exchange_fns = { .on_gone = on_gone };

static int refresh(void *ctx, struct err *e)
{
	const struct waiting *w = ctx;
	return catalog_refresh(w->api->catalog, e);
}

/* A failure shows again where the handler looks, if it does, and is told there.
 */
static void on_refreshed(void *ctx, int outcome, const struct err *e)
{
	struct waiting *w = ctx;
	(void)outcome;
	(void)e;
	if (w->x) {
		exchange_set_fns(w->x, NULL, NULL);
		w->match.route->handler(w->api, w->x, &w->match);
	}
	free(w);
}

void fresh_call(struct api *api, struct http_exchange *x,
		const struct route_match *m)
{
	/* Whether we are alive must not hang on a disk. */
	if (m->route->access == ACCESS_OPEN || catalog_is_fresh(api->catalog)) {
		m->route->handler(api, x, m);
		return;
	}
	struct waiting *w = xcalloc(1, sizeof *w);
	*w = (struct waiting){ .api = api, .x = x, .match = *m };
	exchange_set_fns(x, &exchange_fns, w);
	job_start(api->loop, refresh, on_refreshed, w);
}
