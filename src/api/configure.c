/* POST, GET and DELETE /engines/_configure, in Docker Model Runner's form.
 *
 * Settings count from the next start of the model's process. One that is in
 * memory and that nobody uses is ended for them, and the model is loaded again
 * at once, in the mode that they are for; one in use is left alone, and then
 * nothing is changed. So what is shown is what is in force. */
#include "api/configure.h"
#include "api/allowed.h"
#include "api/reply.h"
#include "api/routes.h"
#include "api/work.h"
#include "base/limits.h"
#include "base/log.h"
#include "engine/engine_llama.h"
#include "engine/tunings.h"

#include <stdio.h>

#include <strings.h>

/* ---- loading ahead ---- */

struct preload {
	struct list link; /* api.preloads */
	struct digest id;
	struct engine_lease lease;
};

static void preload_free(struct preload *p)
{
	list_remove(&p->link);
	engine_release(&p->lease);
	free(p);
}

static void on_preloaded(void *ctx, const struct err *e)
{
	/* What went wrong stands in the log, and is told to who asks next. */
	(void)e;
	preload_free(ctx);
}

static void preload(struct api *api, struct str name,
		    const struct catalog_model *m, enum engine_mode mode)
{
	struct engine *en = engine_set_for_model(api->engines, name, m);
	struct err e;
	if (!en || en->kind != &engine_llama)
		return;
	struct preload *p = xcalloc(1, sizeof *p);
	p->id = m->id;
	p->lease.mode = mode;
	p->lease.on_ready = on_preloaded;
	p->lease.ctx = p;
	list_push_back(&api->preloads, &p->link);
	int got = engine_acquire(en, name, m, &p->lease, &e);
	if (got < 0)
		log_warn("model not loaded ahead model=%.*s error=\"%s\"",
			 STR_ARG(name), e.msg);
	if (got != ENGINE_WAIT)
		preload_free(p);
}

static void drop_preloads(struct api *api, const struct digest *id)
{
	list_each (it, &api->preloads) {
		struct preload *p = container_of(it, struct preload, link);
		if (!id || digest_eq(&p->id, id))
			preload_free(p);
	}
}

void configure_stop(struct api *api)
{
	drop_preloads(api, NULL);
}

/* ---- what is in memory ---- */

struct using
{
	const char *id;
	const enum engine_mode *mode; /* NULL: any */
	bool is_busy;
};

static void look(void *ctx, const struct engine_running *r)
{
	struct using *u = ctx;
	if (strcmp(r->model_id, u->id) == 0 &&
	    (!u->mode || *u->mode == r->mode) && (r->users || r->waiting))
		u->is_busy = true;
}

/* Ends the processes that such settings are for; ERR_CONFLICT if one is in use.
 */
static int end_idle(struct api *api, const struct catalog_model *m,
		    enum engine_mode mode, struct err *e)
{
	char id[DIGEST_TEXT_BYTES];
	struct using u = { .id = digest_text(&m->id, id),
			   .mode = m->is_embedding ? NULL : &mode };
	drop_preloads(api, &m->id);
	list_each (it, &api->engines->engines) {
		struct engine *en = container_of(it, struct engine, link);
		en->kind->each_running(en, look, &u);
	}
	if (u.is_busy)
		return err_set(e, ERR_CONFLICT,
			       "runner already active: the model answers "
			       "requests; try again when it is idle");
	api_unload(api, STR(""), id, u.mode);
	return 0;
}

/* ---- POST ---- */

struct setting {
	struct api *api;
	struct http_exchange *x;
};

struct saving {
	struct work work;
	struct tunings_text text;
	int status;
};

static int save(struct work *w, struct err *e)
{
	struct saving *s = container_of(w, struct saving, work);
	(void)e;
	tunings_write(w->api->tunings, &s->text);
	return 0;
}

static void tell_saved(struct work *w, int outcome)
{
	(void)outcome;
	exchange_reply(w->x, container_of(w, struct saving, work)->status, NULL,
		       STR(""));
}

static void save_and_reply(struct api *api, struct http_exchange *x, int status)
{
	struct saving *s = xcalloc(1, sizeof *s);
	s->text = tunings_print(api->tunings);
	s->status = status;
	work_start(&s->work, api, x, save, tell_saved);
}

static int find_model(struct setting *s, struct str name,
		      const struct catalog_model **out, struct err *e)
{
	if (!name.n)
		return err_field(e, "model",
				 "'model' is required: the name of a model");
	if (allowed_find(s->api, s->x, name, out, e))
		return -1;
	if ((*out)->format[0] && strcasecmp((*out)->format, "gguf") != 0)
		return engine_refuse(*out, e);
	return 0;
}

static int check_mode(const struct catalog_model *m, enum engine_mode mode,
		      struct err *e)
{
	if (mode == ENGINE_RERANKING && !m->is_embedding)
		return err_field(e, "mode",
				 "this model makes text and cannot rank: that "
				 "takes a model made for it");
	return 0;
}

/* Who may not use an adapter's model may not use it for another one. */
static int check_adapters(struct setting *s, const struct catalog_model *base,
			  const struct tuning *t, struct err *e)
{
	for (size_t i = 0; i < t->n_adapters; i++) {
		const struct adapters_flag *f = &t->adapters[i];
		const struct catalog_model *m;
		if (allowed_find(s->api, s->x, str_of(f->model), &m, e) ||
		    adapters_check(f, base, m, e))
			return -1;
	}
	return 0;
}

/* Nor may who may not use a model have it draft for another one. */
static int check_drafting(struct setting *s, const struct tuning *t,
			  struct err *e)
{
	const struct catalog_model *m;
	if (!t->drafting.model)
		return 0;
	if (allowed_find(s->api, s->x, str_of(t->drafting.model), &m, e))
		return err_wrap(e, "the draft model");
	return drafting_check(&t->drafting, m, e);
}

/* Makes these the model's settings. Gives 1 if they are so already. */
static int apply(struct setting *s, const struct catalog_model *m,
		 enum engine_mode mode, struct tuning *t, struct err *e)
{
	char id[DIGEST_TEXT_BYTES];
	struct api *api = s->api;
	const struct tuning *was =
		tunings_find(api->tunings, digest_text(&m->id, id), mode);
	if (check_mode(m, mode, e) || check_adapters(s, m, t, e) ||
	    check_drafting(s, t, e))
		return -1;
	if (was && tuning_same(was, t))
		return 1;
	if (end_idle(api, m, mode, e) ||
	    tunings_set(api->tunings, id, mode, t, e))
		return -1;
	auto_free char *text =
		json_text(tunings_find(api->tunings, id, mode)->config);
	log_info("model configured id=%s mode=%s settings=%s", id,
		 engine_mode_name(mode), text);
	return 0;
}

static void on_settings(void *ctx, struct str body)
{
	struct setting *s = ctx;
	struct tuning t = { 0 };
	struct err e;
	auto_json *ask = NULL;
	struct str name = { 0 };
	const struct catalog_model *m = NULL;
	enum engine_mode mode = ENGINE_COMPLETION;
	int got = json_parse(body, &ask, &e);
	if (!got)
		got = tuning_parse(ask, &t, &mode, &e);
	if (got >= 0 && (json_get_str(ask, "model", &name, &e) ||
			 find_model(s, name, &m, &e)))
		got = -1;
	if (got == TUNING_NO_MODE && m->is_embedding)
		mode = ENGINE_EMBEDDING;
	if (got >= 0)
		got = apply(s, m, mode, &t, &e);
	tuning_fini(&t);
	if (got < 0) {
		reply_text_error(s->x, &e);
		return;
	}
	preload(s->api, name, m, mode);
	if (got == 0)
		save_and_reply(s->api, s->x, 202);
	else
		exchange_reply(s->x, 202, NULL, STR(""));
}

static void start(struct api *api, struct http_exchange *x)
{
	struct setting *s = arena_alloc(exchange_arena(x), sizeof *s);
	*s = (struct setting){ api, x };
	exchange_collect(x, LIMIT_SMALL_BODY_BYTES, on_settings, s);
}

void configure_set(void *app, struct http_exchange *x,
		   const struct route_match *m)
{
	(void)m;
	start(app, x);
}

void configure_set_engine(void *app, struct http_exchange *x,
			  const struct route_match *m)
{
	struct err e;
	struct engine *en = api_find_engine(app, m->params[0], &e);
	if (en && en->kind != &engine_llama) {
		err_set(&e, ERR_INVALID,
			"the engine '%s' is elsewhere: its models are set up "
			"there",
			en->name);
		en = NULL;
	}
	if (en)
		start(app, x);
	else
		reply_text_error(x, &e);
}

/* ---- DELETE ?model=M[&mode=MODE] ---- */

static int remove_named(struct setting *s, struct err *e)
{
	struct str query = exchange_target(s->x)->query, name = STR(""),
		   word = STR("");
	struct arena *a = exchange_arena(s->x);
	const struct catalog_model *m;
	char id[DIGEST_TEXT_BYTES];
	enum engine_mode mode = ENGINE_COMPLETION;
	bool has_mode = url_query_get(query, "mode", a, &word) && word.n;
	if (has_mode && !engine_mode_parse(word, &mode))
		return err_field(e, "mode",
				 "'mode' must be completion, embedding or "
				 "reranking");
	if (!url_query_get(query, "model", a, &name))
		name = STR("");
	if (find_model(s, name, &m, e))
		return -1;
	digest_text(&m->id, id);
	for (int i = ENGINE_COMPLETION; i <= ENGINE_RERANKING; i++) {
		enum engine_mode each = (enum engine_mode)i;
		if ((has_mode && each != mode) ||
		    !tunings_find(s->api->tunings, id, each))
			continue;
		if (end_idle(s->api, m, each, e))
			return -1;
		tunings_remove(s->api->tunings, id, &each);
		log_info("model has no settings any more id=%s mode=%s", id,
			 engine_mode_name(each));
	}
	return 0;
}

void configure_remove(void *app, struct http_exchange *x,
		      const struct route_match *m)
{
	struct setting s = { app, x };
	struct err e;
	(void)m;
	if (remove_named(&s, &e))
		reply_text_error(x, &e);
	else
		save_and_reply(app, x, 200);
}

/* ---- GET ---- */

struct listing {
	struct api *api;
	struct allowed by;
	struct arena *arena;
	const char *only; /* a model's id, or NULL */
	json_t *all;
};

/* Of models that are not there any more nothing is shown. */
static void add_row(void *ctx, const char *model_id, enum engine_mode mode,
		    const struct tuning *t)
{
	struct listing *l = ctx;
	const struct catalog_model *m;
	struct err e;
	if ((l->only && strcmp(l->only, model_id) != 0) ||
	    catalog_find(l->api->catalog, str_of(model_id), CATALOG_STRICT,
			 l->arena, &m, &e) != 0 ||
	    !allowed_model(&l->by, m))
		return;
	const char *tag = "";
	for (size_t i = 0; i < m->n_tags && !tag[0]; i++)
		if (allowed_tag(&l->by, m->tags[i]))
			tag = m->tags[i];
	json_array_append_new(
		l->all,
		json_pack("{s:s,s:s,s:s,s:s,s:O}", "Backend", engine_llama.name,
			  "Model", tag, "ModelID", model_id, "Mode",
			  engine_mode_name(mode), "Config", t->config));
}

void configure_list(void *app, struct http_exchange *x,
		    const struct route_match *m)
{
	struct api *api = app;
	struct arena *a = exchange_arena(x);
	struct listing l = { api, allowed_by(api, api_key(x)), a, NULL,
			     json_array() };
	struct str name = STR("");
	const struct catalog_model *one;
	struct err e;
	char id[DIGEST_TEXT_BYTES];
	(void)m;
	int got = 0;
	if (url_query_get(exchange_target(x)->query, "model", a, &name) &&
	    name.n)
		got = catalog_find(api->catalog, name, CATALOG_LOOSE, a, &one,
				   &e);
	if (got < 0) {
		json_decref(l.all);
		reply_text_error(x, &e);
		return;
	}
	if (name.n && got == 0)
		l.only = digest_text(&one->id, id);
	if (got == 0)
		tunings_each(api->tunings, add_row, &l);
	reply_json(x, 200, l.all);
}

const char *configure_text(const struct api *api, const struct catalog_model *m,
			   enum engine_mode mode, struct arena *a)
{
	const struct tuning *t = engine_llama_tuning(api->tunings, m, &mode);
	if (!t && m->context_size <= 0)
		return "{}";
	if (!t)
		return arena_printf(a, "{\"context-size\":%lld}",
				    (long long)m->context_size);
	auto_free char *text = json_text(t->config);
	return arena_str(a, str_of(text));
}
