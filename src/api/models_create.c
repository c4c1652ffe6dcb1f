/* POST /models/create: a model comes from a registry or a hub, and its client
 * hears how far it is (transit.h). */
#include "api/allowed.h"
#include "api/transit.h"
#include "api/reply.h"
#include "api/routes.h"
#include "base/limits.h"
#include "hub/hub.h"

struct pulling {
	struct transit transit;
	struct pull *pull; /* NULL once it is over */
};

/* ---- the pull ---- */

static void on_wait(void *ctx, int others)
{
	struct pulling *p = ctx;
	transit_wait(&p->transit, others, "pulls", LIMIT_PULLS);
}

static void on_progress(void *ctx, const struct blobs_layer *l, uint64_t total)
{
	struct pulling *p = ctx;
	transit_layer(&p->transit, "Downloaded", &l->digest, l->bytes, l->there,
		      total);
}

static void on_note(void *ctx, const char *text)
{
	struct pulling *p = ctx;
	transit_note(&p->transit, text);
}

static void on_warning(void *ctx, const char *text)
{
	struct pulling *p = ctx;
	transit_warn(&p->transit, text);
}

static void on_end(void *ctx, int outcome, const char *text,
		   const struct err *e)
{
	struct pulling *p = ctx;
	struct transit transit = p->transit;
	free(p);
	if (outcome)
		transit_fail(&transit, e, "error while pulling model");
	else
		transit_done(&transit, text);
}

static const struct pull_fns pull_fns = {
	.on_wait = on_wait,
	.on_progress = on_progress,
	.on_note = on_note,
	.on_warning = on_warning,
	.on_end = on_end,
};

static void on_gone(void *ctx)
{
	struct pulling *p = ctx;
	if (p->pull)
		pull_cancel(p->pull);
	free(p);
}

static void on_drain(void *ctx)
{
	struct pulling *p = ctx;
	transit_on_drain(&p->transit);
}

static const struct exchange_fns exchange_fns = { .on_gone = on_gone,
						  .on_drain = on_drain };

/* ---- the request ---- */

struct asked {
	struct api *api;
	struct http_exchange *x;
};

static int read_request(struct api *api, struct str body, struct ref *ref,
			char **name, char **bearer, struct err *e)
{
	auto_json *request = NULL;
	struct str from = STR(""), token = STR("");
	struct err why;
	if (json_parse(body, &request, &why) || !json_is_object(request) ||
	    json_get_str(request, "from", &from, &why) ||
	    json_get_str(request, "bearer-token", &token, &why))
		return err_set(e, ERR_INVALID, "invalid request body");
	if (catalog_ref(api->catalog, from, ref, &why))
		return err_set(e, ERR_INVALID, "Invalid model reference: %s",
			       why.msg);
	if (!ref->repository[0])
		return err_set(e, ERR_INVALID,
			       "Invalid model reference: an id does not say "
			       "which registry has it; give NAME@%.*s",
			       STR_ARG(str_head(from, 80)));
	*name = str_dup(from);
	*bearer = token.n ? str_dup(token) : NULL;
	return 0;
}

static int start(struct api *api, const struct ref *ref, const char *name,
		 const char *bearer, struct pulling *p, struct err *e)
{
	if (hub_has(ref))
		return hub_start(api->hub, api->pulls, ref, str_of(name),
				 bearer, &pull_fns, p, &p->pull, e);
	return pull_registry_start(api->pulls, ref, bearer, &pull_fns, p,
				   &p->pull, e);
}

static void on_request(void *ctx, struct str body)
{
	struct asked *a = ctx;
	struct http_exchange *x = a->x;
	struct ref ref;
	char name[REF_TEXT_BYTES];
	auto_free char *from = NULL, *bearer = NULL;
	struct err e;
	if (read_request(a->api, body, &ref, &from, &bearer, &e) ||
	    allowed_check(a->api, x, str_of(ref_text(&ref, name)), NULL, &e)) {
		reply_text_error(x, &e);
		return;
	}
	struct pulling *p = xcalloc(1, sizeof *p);
	transit_init(&p->transit, x, "pull");
	if (start(a->api, &ref, from, bearer, p, &e)) {
		free(p);
		reply_text_error(x, &e);
		return;
	}
	exchange_set_fns(x, &exchange_fns, p);
}

void models_create(void *app, struct http_exchange *x,
		   const struct route_match *m)
{
	struct asked *a = arena_alloc(exchange_arena(x), sizeof *a);
	(void)m;
	a->api = app;
	a->x = x;
	exchange_collect(x, LIMIT_SMALL_BODY_BYTES, on_request, a);
}
