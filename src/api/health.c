#include "api/allowed.h"
#include "api/caller.h"
#include "api/reply.h"
#include "api/routes.h"
#include "api/running.h"

/* Room for METRICS_MODELS models and every row of the table. */
#define METRICS_BYTES (4u << 20)

void health_root(void *app, struct http_exchange *x,
		 const struct route_match *m)
{
	(void)app;
	(void)m;
	/* Word for word what programs that probe for it look for. */
	exchange_reply(x, 200, REPLY_TEXT,
		       STR("Docker Model Runner is running"));
}

void health_live(void *app, struct http_exchange *x,
		 const struct route_match *m)
{
	(void)app;
	(void)m;
	reply_text(x, 200, "ok\n");
}

/* Readiness of one model: it is there, and in memory. Never loads it. */
static void ready_model(struct api *api, struct http_exchange *x,
			struct str name)
{
	struct err e;
	const struct catalog_model *m;
	int got = catalog_find(api->catalog, name, CATALOG_STRICT,
			       exchange_arena(x), &m, &e);
	/* Alive is for everybody; which models there are is not. */
	if (!api_may(x, ACCESS_INFER))
		reply_text(x, 401, "an API key is needed to ask for a model\n");
	else if (got < 0 ||
		 allowed_check(api, x, name, got == 0 ? m : NULL, &e))
		reply_text_error(x, &e);
	else if (got == CATALOG_ABSENT)
		reply_text(x, 404, "model not found\n");
	else if (running_find(api->engines, &m->id, NULL).is_loaded)
		reply_text(x, 200, "ready\n");
	else
		reply_text(x, 503, "not loaded; the first request loads it\n");
}

void health_ready(void *app, struct http_exchange *x,
		  const struct route_match *m)
{
	struct api *api = app;
	struct err e;
	struct str name;
	struct store_stamp stamp;
	(void)m;
	if (api->is_draining)
		reply_text(x, 503, "stopping\n");
	else if (store_stamp(api->store, &stamp, &e))
		reply_text_error(x, &e);
	else if (url_query_get(exchange_target(x)->query, "model",
			       exchange_arena(x), &name))
		ready_model(api, x, name);
	else
		reply_text(x, 200, "ready\n");
}

void health_version(void *app, struct http_exchange *x,
		    const struct route_match *m)
{
	struct api *api = app;
	json_t *answer = json_pack("{s:s}", "version", MODELD_VERSION);
	(void)m;
	/* Where it listens and has its files is not for everybody. */
	if (api_may(x, ACCESS_INSPECT)) {
		json_object_set(answer, "listen", api->listen);
		json_object_update(answer, api->places);
	}
	reply_json(x, 200, answer);
}

void health_metrics(void *app, struct http_exchange *x,
		    const struct route_match *m)
{
	struct api *api = app;
	auto_buf struct buf out;
	(void)m;
	struct metrics_others others = { .engines = api->engines,
					 .open = http_server_count(api->server),
					 .bulk = brake_facts(api->brake) };
	buf_init(&out, METRICS_BYTES);
	if (!api->has_metrics)
		reply_text(x, 404, "metrics are switched off\n");
	else if (metrics_print(api->metrics, &others, &out))
		reply_text(x, 500, "the metrics do not fit\n");
	else
		exchange_reply(x, 200,
			       "text/plain; version=0.0.4; charset=utf-8",
			       buf_str(&out));
}

void health_logs(void *app, struct http_exchange *x,
		 const struct route_match *m)
{
	struct api *api = app;
	struct err e;
	struct str query = exchange_target(x)->query;
	struct arena *a = exchange_arena(x);
	bool follow, no_engines;
	(void)m;
	if (allowed_all(x, &e) ||
	    url_query_bool(query, "follow", false, a, &follow, &e) ||
	    url_query_bool(query, "no-engines", false, a, &no_engines, &e))
		reply_text_error(x, &e);
	else
		journal_answer(api->journal, x, follow && !api->is_draining,
			       !no_engines);
}
