/* POST /models/NAME/push: a model goes to the registry in its name, and its
 * client hears how far it is (transit.h). */
#include "api/allowed.h"
#include "api/transit.h"
#include "api/reply.h"
#include "api/routes.h"
#include "base/limits.h"
#include "oci/push.h"

struct pushing {
	struct transit transit;
	struct push *push;
};

/* ---- the push ---- */

static void on_wait(void *ctx, int others)
{
	struct pushing *p = ctx;
	transit_wait(&p->transit, others, "pushes", LIMIT_PUSHES);
}

/* The total is the layer's, as in Docker Model Runner. */
static void on_progress(void *ctx, const struct push_layer *l)
{
	struct pushing *p = ctx;
	transit_layer(&p->transit, "Uploaded", &l->digest, l->bytes, l->there,
		      l->bytes);
}

static void on_end(void *ctx, int outcome, const struct err *e)
{
	struct pushing *p = ctx;
	struct transit transit = p->transit;
	free(p);
	if (outcome)
		transit_fail(&transit, e, "error while pushing model");
	else
		transit_done(&transit, "Model pushed successfully");
}

static const struct push_fns push_fns = {
	.on_wait = on_wait,
	.on_progress = on_progress,
	.on_end = on_end,
};

static void on_gone(void *ctx)
{
	struct pushing *p = ctx;
	push_cancel(p->push);
	free(p);
}

static void on_drain(void *ctx)
{
	struct pushing *p = ctx;
	transit_on_drain(&p->transit);
}

static const struct exchange_fns exchange_fns = { .on_gone = on_gone,
						  .on_drain = on_drain };

/* ---- the request ---- */

struct asked {
	struct api *api;
	struct http_exchange *x;
	struct str name;
};

/* Nothing, or {"bearer-token": ...}. */
static int read_bearer(struct str body, char **out, struct err *e)
{
	auto_json *request = NULL;
	struct str token = STR("");
	struct err unused;
	if (!str_trim(body).n)
		return 0;
	if (json_parse(body, &request, &unused) || !json_is_object(request) ||
	    json_get_str(request, "bearer-token", &token, &unused))
		return err_set(e, ERR_INVALID, "invalid request body");
	*out = token.n ? str_dup(token) : NULL;
	return 0;
}

static int read_name(struct api *api, struct str name, struct ref *ref,
		     struct err *e)
{
	struct err why;
	if (catalog_ref(api->catalog, name, ref, &why))
		return err_set(e, ERR_INVALID, "Invalid model reference: %s",
			       why.msg);
	if (!ref->repository[0])
		return err_set(e, ERR_INVALID,
			       "Invalid model reference: an id does not say "
			       "which registry it goes to; give the model a "
			       "name ('docker model tag'), and push that");
	if (strcmp(ref->registry, "huggingface.co") == 0)
		return err_set(e, ERR_NOT_IMPL,
			       "this version pushes to OCI registries, not to "
			       "Hugging Face");
	return 0;
}

/* The key must be for the model, and for the name that it goes to. */
static int find(struct asked *a, const struct ref *ref, struct digest *out,
		struct err *e)
{
	char name[REF_TEXT_BYTES];
	const struct catalog_model *model;
	if (allowed_check(a->api, a->x, str_of(ref_text(ref, name)), NULL, e))
		return -1;
	if (allowed_find(a->api, a->x, a->name, &model, e)) {
		if (e->code == ERR_NOT_FOUND)
			err_set(e, ERR_NOT_FOUND, "Model not found: %.*s",
				STR_ARG(str_head(a->name, 200)));
		return -1;
	}
	*out = model->id;
	return 0;
}

static void on_request(void *ctx, struct str body)
{
	struct asked *a = ctx;
	struct http_exchange *x = a->x;
	struct ref ref;
	struct digest id;
	auto_free char *bearer = NULL;
	struct err e;
	if (read_bearer(body, &bearer, &e) ||
	    read_name(a->api, a->name, &ref, &e) || find(a, &ref, &id, &e)) {
		reply_text_error(x, &e);
		return;
	}
	struct pushing *p = xcalloc(1, sizeof *p);
	transit_init(&p->transit, x, "push");
	if (push_start(a->api->pushes, &ref, &id, bearer, &push_fns, p,
		       &p->push, &e)) {
		free(p);
		reply_text_error(x, &e);
		return;
	}
	exchange_set_fns(x, &exchange_fns, p);
}

void models_push(void *app, struct http_exchange *x,
		 const struct route_match *m)
{
	struct asked *a = arena_alloc(exchange_arena(x), sizeof *a);
	a->api = app;
	a->x = x;
	a->name = m->params[0];
	exchange_collect(x, LIMIT_SMALL_BODY_BYTES, on_request, a);
}
