#include "api/allowed.h"
#include "api/reply.h"
#include "api/routes.h"
#include "api/running.h"
#include "api/work.h"

/* ---- one model as OpenAI shows it ---- */

static void set_text(json_t *obj, const char *key, const char *text)
{
	if (text[0])
		json_object_set_new(obj, key, json_string(text));
}

/* `owned_by` and `dmr` as Docker Model Runner gives them, and what is in force
 * when the model is in memory. */
static json_t *describe(struct api *api, const struct catalog_model *m,
			const struct allowed *by)
{
	char id[DIGEST_TEXT_BYTES];
	size_t tag = 0;
	while (tag < m->n_tags && !allowed_tag(by, m->tags[tag]))
		tag++;
	struct running r = running_find(api->engines, &m->id, NULL);
	int64_t context = r.context ? r.context : m->context_size;
	json_t *dmr = json_object();
	if (context)
		json_object_set_new(dmr, "context_window",
				    json_integer(context));
	set_text(dmr, "architecture", m->architecture);
	set_text(dmr, "parameters", m->parameters);
	set_text(dmr, "quantization", m->quantization);
	set_text(dmr, "size", m->size);
	json_object_set_new(dmr, "loaded", json_boolean(r.is_loaded));
	return json_pack("{s:s, s:s, s:I, s:s, s:o}", "id",
			 tag < m->n_tags ? m->tags[tag]
					 : digest_text(&m->id, id),
			 "object", "model", "created", (json_int_t)m->created_s,
			 "owned_by", "docker", "dmr", dmr);
}

/* A model that only an engine elsewhere has. */
static json_t *describe_remote(const struct engine *en, const char *name)
{
	return json_pack("{s:s, s:s, s:i, s:s}", "id", name, "object", "model",
			 "created", 0, "owned_by", en->name);
}

static void add_remote(struct engine *en, const struct allowed *allowed,
		       json_t *data)
{
	size_t n = 0;
	const char *const *names =
		en->kind->models ? en->kind->models(en, &n) : NULL;
	for (size_t i = 0; i < n; i++)
		if (allowed_name(allowed, str_of(names[i])))
			json_array_append_new(data,
					      describe_remote(en, names[i]));
}

/* ---- the list ---- */

struct listing {
	struct work work;
	struct str engine; /* only its models; "": all; the exchange's */
	const struct catalog_model *models;
	size_t n;
};

static int list(struct work *w, struct err *e)
{
	struct listing *l = container_of(w, struct listing, work);
	return catalog_list(w->api->catalog, &w->arena, &l->models, &l->n, e);
}

static void tell_list(struct work *w, int outcome)
{
	struct listing *l = container_of(w, struct listing, work);
	struct api *api = w->api;
	struct engine *only = NULL;
	struct err e;
	(void)outcome;
	if (l->engine.n && !(only = api_find_engine(api, l->engine, &e))) {
		reply_error(w->x, &e);
		return;
	}
	json_t *data = json_array();
	struct allowed allowed = allowed_by(api, api_key(w->x));
	for (size_t i = 0; i < l->n; i++) {
		const struct catalog_model *m = &l->models[i];
		struct str name = str_of(m->n_tags ? m->tags[0] : "");
		if (allowed_model(&allowed, m) &&
		    (!only || only->kind->serves(only, name, m, false)))
			json_array_append_new(data, describe(api, m, &allowed));
	}
	list_each (it, &api->engines->engines) {
		struct engine *en = container_of(it, struct engine, link);
		if (!only || only == en)
			add_remote(en, &allowed, data);
	}
	reply_json(w->x, 200,
		   json_pack("{s:s, s:o}", "object", "list", "data", data));
}

static void start_list(struct api *api, struct http_exchange *x,
		       struct str engine)
{
	struct listing *l = xcalloc(1, sizeof *l);
	l->engine = engine;
	work_start(&l->work, api, x, list, tell_list);
}

/* ---- one by name ---- */

static bool has_remote(struct engine *en, struct str name)
{
	size_t n = 0;
	const char *const *names =
		en->kind->models ? en->kind->models(en, &n) : NULL;
	for (size_t i = 0; i < n; i++)
		if (str_eq(name, names[i]))
			return true;
	return false;
}

static void show(struct api *api, struct http_exchange *x, struct engine *only,
		 struct str name)
{
	struct err e;
	const struct catalog_model *m = NULL;
	list_each (it, &api->engines->engines) {
		struct engine *en = container_of(it, struct engine, link);
		if ((only && only != en) || !has_remote(en, name))
			continue;
		if (allowed_check(api, x, name, NULL, &e)) {
			reply_error(x, &e);
			return;
		}
		auto_free char *text = str_dup(name);
		reply_json(x, 200, describe_remote(en, text));
		return;
	}
	int got = catalog_find(api->catalog, name, CATALOG_STRICT,
			       exchange_arena(x), &m, &e);
	if (got >= 0 && allowed_check(api, x, name, got == 0 ? m : NULL, &e))
		got = -1;
	if (got == 0 && only && !only->kind->serves(only, name, m, true))
		got = CATALOG_ABSENT;
	if (got == CATALOG_ABSENT) {
		err_field(&e, "model", "model '%.*s' not found",
			  STR_ARG(str_head(name, 200)));
		e.code = ERR_NOT_FOUND;
	}
	struct allowed by = allowed_by(api, api_key(x));
	if (got == 0)
		reply_json(x, 200, describe(api, m, &by));
	else
		reply_error(x, &e);
}

void openai_models(void *app, struct http_exchange *x,
		   const struct route_match *m)
{
	(void)m;
	start_list(app, x, STR(""));
}

void openai_engine_models(void *app, struct http_exchange *x,
			  const struct route_match *m)
{
	start_list(app, x, m->params[0]);
}

void openai_model(void *app, struct http_exchange *x,
		  const struct route_match *m)
{
	show(app, x, NULL, m->params[0]);
}

void openai_engine_model(void *app, struct http_exchange *x,
			 const struct route_match *m)
{
	struct err e;
	struct engine *en = api_find_engine(app, m->params[0], &e);
	if (en)
		show(app, x, en, m->params[1]);
	else
		reply_error(x, &e);
}
