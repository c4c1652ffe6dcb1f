#include "api/allowed.h"
#include "api/recorder.h"
#include "api/reply.h"
#include "api/routes.h"
#include "api/work.h"
#include "base/duration.h"
#include "base/limits.h"
#include "http/sse.h"
#include "oci/folder.h"

#include <stdio.h>
#include <time.h>

void engines_status(void *app, struct http_exchange *x,
		    const struct route_match *m)
{
	struct api *api = app;
	json_t *all = json_object();
	(void)m;
	list_each (it, &api->engines->engines) {
		struct engine *en = container_of(it, struct engine, link);
		auto_buf struct buf text;
		buf_init(&text, 1024);
		if (en->kind->status(en, &text) == 0)
			json_object_set_new(all, en->name, json_string(text.p));
	}
	reply_json(x, 200, all);
}

/* RFC 3339 with milliseconds; the year 1 is Go's zero time. */
static void format_time(int64_t unix_ms, char out[32])
{
	struct tm tm;
	time_t s = (time_t)(unix_ms / 1000);
	if (!unix_ms) {
		snprintf(out, 32, "0001-01-01T00:00:00Z");
		return;
	}
	gmtime_r(&s, &tm);
	size_t n = strftime(out, 32, "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(out + n, 32 - n, ".%03dZ", (int)(unix_ms % 1000));
}

struct rows {
	struct allowed by;
	json_t *all;
};

static void add_row(void *ctx, const struct engine_running *r)
{
	const struct rows *rows = ctx;
	char used[32], keep[DURATION_TEXT_BYTES];
	if (!allowed_name(&rows->by, str_of(r->model)))
		return;
	format_time(r->last_used_ms, used);
	json_t *row = json_pack("{s:s, s:s, s:s, s:s}", "backend_name",
				r->engine, "model_name", r->model, "mode",
				engine_mode_name(r->mode), "last_used", used);
	if (!row) /* a name that is not UTF-8 cannot come here */
		return;
	if (r->users || r->waiting)
		json_object_set_new(row, "in_use", json_true());
	if (r->is_loading) {
		json_object_set_new(row, "loading", json_true());
		json_object_set_new(row, "loaded", json_real(r->loaded));
	}
	json_object_set_new(row, "model_id", json_string(r->model_id));
	if (r->context)
		json_object_set_new(row, "context_size",
				    json_integer(r->context));
	json_object_set_new(row, "memory_bytes",
			    json_integer((json_int_t)r->memory_bytes));
	if (r->unload_ms) {
		format_time(r->unload_ms, used);
		json_object_set_new(row, "expires_at", json_string(used));
		duration_text(r->unload_ms - r->last_used_ms, keep);
		json_object_set_new(row, "keep_alive", json_string(keep));
	} else if (r->last_used_ms) {
		json_object_set_new(row, "keep_alive", json_string("-1"));
	}
	json_array_append_new(rows->all, row);
}

void engines_ps(void *app, struct http_exchange *x, const struct route_match *m)
{
	struct api *api = app;
	struct rows rows = { allowed_by(api, api_key(x)), json_array() };
	(void)m;
	list_each (it, &api->engines->engines) {
		struct engine *en = container_of(it, struct engine, link);
		en->kind->each_running(en, add_row, &rows);
	}
	reply_json(x, 200, rows.all);
}

struct usage {
	struct work work;
	char *program; /* of the engine; in the work's arena */
	uint64_t models, engine;
};

/* The engine is a program, and its libraries in a folder beside it. */
static int measure(struct work *w, struct err *e)
{
	struct usage *u = container_of(w, struct usage, work);
	struct str program = str_of(u->program);
	ptrdiff_t slash = str_find_last(program, '/');
	struct str beside = str_head(program, (size_t)(slash + 1));
	uint64_t libraries;
	if (slash < 0)
		return store_usage(w->api->store, &u->models, e);
	if (folder_usage(u->program, &u->engine, e) ||
	    folder_usage(arena_printf(&w->arena, "%.*slib", STR_ARG(beside)),
			 &libraries, e))
		return -1;
	u->engine += libraries;
	return store_usage(w->api->store, &u->models, e);
}

static void tell_usage(struct work *w, int outcome)
{
	(void)outcome;
	struct usage *u = container_of(w, struct usage, work);
	reply_json(w->x, 200,
		   json_pack("{s:I, s:I}", "models_disk_usage",
			     (json_int_t)u->models,
			     "default_backend_disk_usage",
			     (json_int_t)u->engine));
}

void engines_df(void *app, struct http_exchange *x, const struct route_match *m)
{
	struct usage *u = xcalloc(1, sizeof *u);
	struct api *api = app;
	(void)m;
	u->program = arena_str(&u->work.arena,
			       str_of(json_string_value(
				       json_object_get(api->places, "llama"))));
	work_start(&u->work, app, x, measure, tell_usage);
}

/* ---- GET /engines/requests ---- */

static bool wants_events(const struct http_exchange *x)
{
	const struct http_field *accept = head_find(exchange_head(x), "Accept");
	return accept && str_starts(accept->value, SSE_TYPE);
}

void engines_requests(void *app, struct http_exchange *x,
		      const struct route_match *m)
{
	struct api *api = app;
	struct err e;
	const struct catalog_model *model;
	struct str query = exchange_target(x)->query, name = STR("");
	struct arena *a = exchange_arena(x);
	char id[DIGEST_TEXT_BYTES];
	bool with_existing = false;
	(void)m;
	if (url_query_bool(query, "include_existing", false, a, &with_existing,
			   &e)) {
		reply_text_error(x, &e);
		return;
	}
	/* Every name of a model means all of its requests. */
	int got = 1;
	if (url_query_get(query, "model", a, &name) && name.n)
		got = catalog_find(api->catalog, name, CATALOG_STRICT, a,
				   &model, &e);
	/* What others ask the models that a key is not for, it is not told. */
	if (name.n ? allowed_check(api, x, name, got == 0 ? model : NULL, &e)
		   : allowed_all(x, &e)) {
		reply_text_error(x, &e);
		return;
	}
	if (got == 0)
		name = str_of(digest_text(&model->id, id));
	/* The answer to HEAD has no end that one could wait for. */
	if (wants_events(x) && exchange_head(x)->method != HTTP_HEAD &&
	    !api->is_draining)
		recorder_follow(api->recorder, x, name, with_existing);
	else
		recorder_answer(api->recorder, x, name);
}

/* ---- POST /engines/unload ---- */

struct unload {
	struct api *api;
	struct http_exchange *x;
};

static int unload_named(struct api *api, struct http_exchange *x,
			const json_t *names, struct str engine, size_t *n,
			struct err *e)
{
	size_t i;
	json_t *name;
	if (names && !json_is_null(names) && !json_is_array(names))
		return err_field(e, "models", "'models' must be a list");
	if (json_array_size(names) > LIMIT_UNLOAD_MODELS)
		return err_field(e, "models",
				 "'models' may have %d names, not %zu",
				 LIMIT_UNLOAD_MODELS, json_array_size(names));
	json_array_foreach(names, i, name)
	{
		const struct catalog_model *m;
		char id[DIGEST_TEXT_BYTES];
		if (!json_is_string(name))
			return err_field(e, "models",
					 "'models' must hold names");
		int got = catalog_find(api->catalog,
				       str_of(json_string_value(name)),
				       CATALOG_LOOSE, exchange_arena(x), &m, e);
		if (got < 0 ||
		    allowed_check(api, x, str_of(json_string_value(name)),
				  got == 0 ? m : NULL, e))
			return -1;
		if (got == 0)
			*n += api_unload(api, engine, digest_text(&m->id, id),
					 NULL);
	}
	return 0;
}

static void on_unload_body(void *ctx, struct str body)
{
	struct unload *u = ctx;
	struct err e;
	auto_json *ask = NULL;
	bool all = false;
	struct str engine = { 0 };
	size_t n = 0;
	if (json_parse(body, &ask, &e) || json_get_bool(ask, "all", &all, &e) ||
	    json_get_str(ask, "backend", &engine, &e) ||
	    (all && allowed_all(u->x, &e)) ||
	    (!all && unload_named(u->api, u->x, json_object_get(ask, "models"),
				  engine, &n, &e))) {
		reply_text_error(u->x, &e);
		return;
	}
	if (all)
		n = api_unload(u->api, engine, NULL, NULL);
	reply_json(u->x, 200,
		   json_pack("{s:I}", "unloaded_runners", (json_int_t)n));
}

void engines_unload(void *app, struct http_exchange *x,
		    const struct route_match *m)
{
	struct unload *u = arena_alloc(exchange_arena(x), sizeof *u);
	(void)m;
	u->api = app;
	u->x = x;
	exchange_collect(x, LIMIT_SMALL_BODY_BYTES, on_unload_body, u);
}
