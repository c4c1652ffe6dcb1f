#include "api/allowed.h"
#include "api/keys.h"
#include "api/models_remote.h"
#include "api/reply.h"
#include "api/routes.h"
#include "api/work.h"
#include "base/limits.h"
#include "base/log.h"

/* ---- GET /models, /models/NAME ---- */

/* Model = {"id","tags","created","config"}; the config is the artifact's. */
static int put_model(struct buf *out, const struct catalog_model *m,
		     const struct allowed *by)
{
	char id[DIGEST_TEXT_BYTES];
	bool has_tags = false;
	int full = buf_printf(out, "{\"id\":\"%s\"", digest_text(&m->id, id));
	for (size_t i = 0; i < m->n_tags && !full; i++) {
		if (!allowed_tag(by, m->tags[i]))
			continue;
		full = buf_puts(out, has_tags ? "," : ",\"tags\":[") ||
		       buf_put_json(out, str_of(m->tags[i]));
		has_tags = true;
	}
	return full || (has_tags && buf_puts(out, "]")) ||
	       buf_printf(out, ",\"created\":%lld,\"config\":",
			  (long long)m->created_s) ||
	       buf_put(out, m->config.p, m->config.n) || buf_puts(out, "}");
}

static void reply_buf(struct http_exchange *x, int full, struct buf *out)
{
	struct err e;
	if (!full) {
		exchange_reply(x, 200, REPLY_JSON, buf_str(out));
		return;
	}
	err_set(&e, ERR_INTERNAL, "the answer would be larger than %u bytes",
		LIMIT_REPLY_BODY_BYTES);
	reply_text_error(x, &e);
}

struct listing {
	struct work work;
	struct allowed allowed; /* in the work's arena */
	struct buf out;
	int full;
};

static int list(struct work *w, struct err *e)
{
	struct listing *l = container_of(w, struct listing, work);
	const struct catalog_model *models;
	size_t n;
	if (catalog_list(w->api->catalog, &w->arena, &models, &n, e))
		return -1;
	buf_init(&l->out, LIMIT_REPLY_BODY_BYTES);
	l->full = buf_puts(&l->out, "[");
	for (size_t i = 0; i < n && !l->full; i++)
		if (allowed_model(&l->allowed, &models[i]))
			l->full = (l->out.n > 1 && buf_puts(&l->out, ",")) ||
				  put_model(&l->out, &models[i], &l->allowed);
	l->full = l->full || buf_puts(&l->out, "]\n");
	return 0;
}

static void tell_list(struct work *w, int outcome)
{
	struct listing *l = container_of(w, struct listing, work);
	(void)outcome;
	reply_buf(w->x, l->full, &l->out);
}

static void fini_list(struct work *w)
{
	buf_fini(&container_of(w, struct listing, work)->out);
}

void models_list(void *app, struct http_exchange *x,
		 const struct route_match *m)
{
	struct listing *l = xcalloc(1, sizeof *l);
	struct allowed allowed = allowed_by(app, api_key(x));
	(void)m;
	l->work.fini = fini_list;
	l->allowed = allowed_copy(&allowed, &l->work.arena);
	work_start(&l->work, app, x, list, tell_list);
}

/* The model of this name; NULL when that was answered with an error. */
static const struct catalog_model *find(struct api *api,
					struct http_exchange *x,
					struct str name)
{
	struct err e;
	const struct catalog_model *model;
	int got = catalog_find(api->catalog, name, CATALOG_LOOSE,
			       exchange_arena(x), &model, &e);
	if (got >= 0 &&
	    allowed_check(api, x, name, got == 0 ? model : NULL, &e))
		got = -1;
	if (got == CATALOG_ABSENT)
		err_set(&e, ERR_NOT_FOUND, "model not found");
	if (got == 0)
		return model;
	reply_text_error(x, &e);
	return NULL;
}

void models_inspect(void *app, struct http_exchange *x,
		    const struct route_match *m)
{
	struct err e;
	bool is_remote;
	if (url_query_bool(exchange_target(x)->query, "remote", false,
			   exchange_arena(x), &is_remote, &e)) {
		reply_text_error(x, &e);
		return;
	}
	if (is_remote) {
		models_remote(app, x, m->params[0]);
		return;
	}
	const struct catalog_model *model = find(app, x, m->params[0]);
	if (!model)
		return;
	auto_buf struct buf out;
	buf_init(&out, LIMIT_REPLY_BODY_BYTES);
	struct allowed by = allowed_by(app, api_key(x));
	int full = put_model(&out, model, &by) || buf_puts(&out, "\n");
	reply_buf(x, full, &out);
}

/* ---- POST /models/NAME/tag?repo=R&tag=T ---- */

struct tagging {
	struct work work;
	struct str source, target; /* in the exchange's arena, see start */
	struct digest id;
	char *canonical; /* owned */
};

static int tag(struct work *w, struct err *e)
{
	struct tagging *t = container_of(w, struct tagging, work);
	return store_tag(w->api->store, &t->id, t->canonical, e);
}

static void tell_tagged(struct work *w, int outcome)
{
	struct tagging *t = container_of(w, struct tagging, work);
	auto_free char *target = str_dup(t->target);
	struct err e;
	if (outcome == STORE_ABSENT) {
		err_set(&e, ERR_NOT_FOUND, "model not found");
		reply_text_error(w->x, &e);
		return;
	}
	log_info("model tagged id=%s tag=%s", t->id.hex, t->canonical);
	reply_json(w->x, 201,
		   json_pack("{s:o, s:s}", "message",
			     json_sprintf("Model tagged successfully with "
					  "\"%s\"",
					  target),
			     "target", target));
}

static void fini_tag(struct work *w)
{
	free(container_of(w, struct tagging, work)->canonical);
}

static int parse_target(struct api *api, struct http_exchange *x,
			struct str *text, struct ref *target, struct err *e)
{
	struct str repo, tag_text;
	struct arena *a = exchange_arena(x);
	struct str query = exchange_target(x)->query;
	if (!url_query_get(query, "repo", a, &repo) ||
	    !url_query_get(query, "tag", a, &tag_text) || !repo.n ||
	    !tag_text.n)
		return err_set(e, ERR_INVALID,
			       "missing repo or tag query parameter");
	*text = str_of(
		arena_printf(a, "%.*s:%.*s", STR_ARG(repo), STR_ARG(tag_text)));
	if (catalog_ref(api->catalog, *text, target, e))
		return err_wrap(e, "error while tagging model: invalid tag");
	if (target->kind != REF_NAME)
		return err_set(e, ERR_INVALID,
			       "error while tagging model: '%.*s' is an id; a "
			       "model cannot have one for a name",
			       STR_ARG(*text));
	/* Nor may a key take a name away that is not its own. */
	return allowed_check(api, x, *text, NULL, e);
}

void models_tag(void *app, struct http_exchange *x, const struct route_match *m)
{
	struct api *api = app;
	struct err e;
	struct str text;
	struct ref target;
	char canonical[REF_TEXT_BYTES];
	if (parse_target(api, x, &text, &target, &e)) {
		reply_text_error(x, &e);
		return;
	}
	const struct catalog_model *model = find(api, x, m->params[0]);
	if (!model)
		return;
	struct tagging *t = xcalloc(1, sizeof *t);
	t->target = text;
	t->id = model->id;
	t->canonical = xstrdup(ref_text(&target, canonical));
	t->work.fini = fini_tag;
	work_start(&t->work, api, x, tag, tell_tagged);
}

void models_action(void *app, struct http_exchange *x,
		   const struct route_match *m)
{
	struct err e;
	ptrdiff_t slash = str_find_last(m->params[0], '/');
	(void)app;
	err_set(&e, ERR_NOT_FOUND, "unknown action \"%.*s\"",
		STR_ARG(str_head(str_tail(m->params[0], (size_t)(slash + 1)),
				 100)));
	reply_text_error(x, &e);
}

/* ---- DELETE /models/NAME?force ---- */

struct removal {
	struct work work;
	struct ref ref;
	char *name; /* owned; as the client wrote it */
	bool force;
	struct store_removed removed;
};

static int remove_model(struct work *w, struct err *e)
{
	struct removal *r = container_of(w, struct removal, work);
	return store_delete(w->api->store, &r->ref, r->name, r->force,
			    &w->arena, &r->removed, e);
}

static void tell_removed(struct work *w, int outcome)
{
	struct removal *r = container_of(w, struct removal, work);
	struct err e;
	char id[DIGEST_TEXT_BYTES];
	if (outcome == STORE_ABSENT) {
		err_set(&e, ERR_NOT_FOUND,
			"error while deleting model: model not found");
		reply_text_error(w->x, &e);
		return;
	}
	json_t *all = json_array();
	for (size_t i = 0; i < r->removed.n_untagged; i++)
		json_array_append_new(all, json_pack("{s:s}", "Untagged",
						     r->removed.untagged[i]));
	if (r->removed.is_deleted)
		json_array_append_new(
			all, json_pack("{s:s}", "Deleted",
				       digest_text(&r->removed.id, id)));
	reply_json(w->x, 200, all);
}

/* Also when the client has left: what is deleted must not stay in memory. */
static void fini_removal(struct work *w)
{
	struct removal *r = container_of(w, struct removal, work);
	char id[DIGEST_TEXT_BYTES];
	if (r->removed.is_deleted) {
		log_info("model deleted id=%s", r->removed.id.hex);
		digest_text(&r->removed.id, id);
		api_unload(w->api, (struct str){ 0 }, id, NULL);
	}
	free(r->name);
}

/* By its id it goes with all its names, also with those of others. */
static bool may_remove(struct api *api, struct http_exchange *x,
		       struct str name)
{
	struct err e;
	struct allowed by = allowed_by(api, api_key(x));
	const struct catalog_model *model = find(api, x, name);
	if (!model || allowed_tags(&by, model))
		return model != NULL;
	err_set(&e, ERR_FORBIDDEN,
		"the model has names that the API key '%s' is not for; delete "
		"it by its names",
		keys_what(api_key(x))->name);
	reply_text_error(x, &e);
	return false;
}

void models_delete(void *app, struct http_exchange *x,
		   const struct route_match *m)
{
	struct api *api = app;
	struct err e;
	struct ref ref;
	bool force;
	if (url_query_bool(exchange_target(x)->query, "force", false,
			   exchange_arena(x), &force, &e)) {
		reply_text_error(x, &e);
		return;
	}
	if (catalog_ref(api->catalog, m->params[0], &ref, &e)) {
		err_set(&e, ERR_NOT_FOUND,
			"error while deleting model: model not found");
		reply_text_error(x, &e);
		return;
	}
	/* A name can be taken away only by who may use that name. */
	if (ref.kind == REF_NAME &&
	    allowed_check(api, x, m->params[0], NULL, &e)) {
		reply_text_error(x, &e);
		return;
	}
	if (ref.kind != REF_NAME && api_key(x) &&
	    !may_remove(api, x, m->params[0]))
		return;
	struct removal *r = xcalloc(1, sizeof *r);
	r->ref = ref;
	r->name = str_dup(m->params[0]);
	r->force = force;
	r->work.fini = fini_removal;
	work_start(&r->work, api, x, remove_model, tell_removed);
}
