/* POST /models/prune and DELETE /models/purge: what leaves the store is told,
 * and leaves memory too. */
#include "api/allowed.h"
#include "api/reply.h"
#include "api/routes.h"
#include "api/work.h"
#include "base/log.h"
#include "oci/sweep.h"

#include <inttypes.h>

struct sweeping {
	struct work work;
	struct sweep_report report;
	bool all;
};

static int sweep(struct work *w, struct err *e)
{
	struct sweeping *s = container_of(w, struct sweeping, work);
	struct store *store = w->api->store;
	if (s->all)
		return sweep_purge(store, &w->arena, &s->report, e);
	return sweep_prune(store, &w->arena, &s->report, e);
}

static void tell(struct work *w, int outcome)
{
	struct sweeping *s = container_of(w, struct sweeping, work);
	json_t *deleted = json_array();
	char id[DIGEST_TEXT_BYTES];
	(void)outcome;
	for (size_t i = 0; i < s->report.n_models; i++)
		json_array_append_new(
			deleted,
			json_string(digest_text(&s->report.models[i], id)));
	reply_json(w->x, 200,
		   json_pack("{s:o, s:I, s:I}", "deleted", deleted, "files",
			     (json_int_t)s->report.n_files, "reclaimed_bytes",
			     (json_int_t)s->report.bytes));
}

/* As Docker Model Runner answers a purge. */
static void tell_nothing(struct work *w, int outcome)
{
	(void)outcome;
	exchange_reply(w->x, 200, NULL, STR(""));
}

/* Also when the client has left. */
static void fini(struct work *w)
{
	struct sweeping *s = container_of(w, struct sweeping, work);
	char id[DIGEST_TEXT_BYTES];
	if (s->report.n_files)
		log_info("store swept models=%zu files=%" PRIu64
			 " bytes=%" PRIu64,
			 s->report.n_models, s->report.n_files,
			 s->report.bytes);
	for (size_t i = 0; i < s->report.n_models; i++)
		api_unload(w->api, (struct str){ 0 },
			   digest_text(&s->report.models[i], id), NULL);
}

static void start(struct api *api, struct http_exchange *x, bool all)
{
	struct err e;
	if (allowed_all(x, &e)) {
		reply_text_error(x, &e);
		return;
	}
	struct sweeping *s = xcalloc(1, sizeof *s);
	s->all = all;
	s->work.fini = fini;
	work_start(&s->work, api, x, sweep, all ? tell_nothing : tell);
}

void models_sweep_prune(void *app, struct http_exchange *x,
			const struct route_match *m)
{
	(void)m;
	start(app, x, false);
}

void models_sweep_purge(void *app, struct http_exchange *x,
			const struct route_match *m)
{
	(void)m;
	start(app, x, true);
}
