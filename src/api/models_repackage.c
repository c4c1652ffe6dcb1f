/* POST /models/NAME/repackage {"target":"NAME","context_size":N} */
#include "api/allowed.h"
#include "api/reply.h"
#include "api/routes.h"
#include "api/work.h"
#include "base/limits.h"
#include "base/log.h"
#include "model/repackage.h"

struct repackaging {
	struct work work;
	struct digest source, made;
	int64_t context_size;
	/* Owned. */
	char *source_name, *target_name, *tag;
};

static int repackage(struct work *w, struct err *e)
{
	struct repackaging *r = container_of(w, struct repackaging, work);
	struct store *s = w->api->store;
	int outcome =
		repackage_run(s, &r->source, r->context_size, &r->made, e);
	if (outcome)
		return outcome;
	return store_tag(s, &r->made, r->tag, e);
}

static void tell(struct work *w, int outcome)
{
	struct repackaging *r = container_of(w, struct repackaging, work);
	struct err e;
	if (outcome == STORE_ABSENT) {
		err_set(&e, ERR_NOT_FOUND,
			"get model '\"%s\"': model not found", r->source_name);
		reply_text_error(w->x, &e);
		return;
	}
	log_info("model repackaged id=%s tag=%s", r->made.hex, r->tag);
	reply_json(w->x, 201,
		   json_pack("{s:o, s:s, s:s}", "message",
			     json_sprintf("Model repackaged successfully as "
					  "\"%s\"",
					  r->target_name),
			     "source", r->source_name, "target",
			     r->target_name));
}

static void fini(struct work *w)
{
	struct repackaging *r = container_of(w, struct repackaging, work);
	free(r->source_name);
	free(r->target_name);
	free(r->tag);
}

struct asking {
	struct api *api;
	struct http_exchange *x;
	struct str name;
};

static int parse(struct asking *ask, struct str body, struct repackaging *r,
		 struct err *e)
{
	auto_json *all = NULL;
	struct str target = { 0 };
	struct ref ref;
	char canonical[REF_TEXT_BYTES];
	if (json_parse(body, &all, e) ||
	    json_get_str(all, "target", &target, e) ||
	    json_get_int(all, "context_size", 0, LIMIT_CONTEXT,
			 &r->context_size, e))
		return err_wrap(e, "invalid request body");
	if (!target.n)
		return err_field(e, "target", "target is required");
	if (!r->context_size)
		return err_field(e, "context_size",
				 "context_size is required: the size of the "
				 "context in tokens");
	if (catalog_ref(ask->api->catalog, target, &ref, e))
		return err_wrap(e, "invalid target");
	if (ref.kind != REF_NAME)
		return err_field(e, "target",
				 "'%.*s' is an id; a model cannot have one for "
				 "a name",
				 STR_ARG(str_head(target, 100)));
	if (allowed_check(ask->api, ask->x, target, NULL, e))
		return -1;
	r->target_name = str_dup(target);
	r->tag = xstrdup(ref_text(&ref, canonical));
	return 0;
}

static void on_body(void *ctx, struct str body)
{
	struct asking *ask = ctx;
	struct repackaging *r = xcalloc(1, sizeof *r);
	struct err e;
	const struct catalog_model *m;
	if (parse(ask, body, r, &e) ||
	    allowed_find(ask->api, ask->x, ask->name, &m, &e)) {
		reply_text_error(ask->x, &e);
		fini(&r->work);
		free(r);
		return;
	}
	r->source = m->id;
	r->source_name = str_dup(ask->name);
	r->work.fini = fini;
	work_start(&r->work, ask->api, ask->x, repackage, tell);
}

void models_repackage(void *app, struct http_exchange *x,
		      const struct route_match *m)
{
	struct asking *ask = arena_alloc(exchange_arena(x), sizeof *ask);
	*ask = (struct asking){ app, x, m->params[0] };
	exchange_collect(x, LIMIT_SMALL_BODY_BYTES, on_body, ask);
}
