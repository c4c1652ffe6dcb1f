/* GET /models/NAME?remote=true: what the registry has under this name. It makes
 * modeld go out, so it is for who may manage models. */
#include "api/models_remote.h"
#include "api/allowed.h"
#include "api/caller.h"
#include "api/reply.h"
#include "base/limits.h"
#include "hub/hub.h"
#include "oci/pull.h"
#include "oci/remote.h"

struct asking {
	struct http_exchange *x;
	struct remote *remote;
	char *name; /* owned; as stored */
};

static void asking_free(struct asking *a)
{
	free(a->name);
	free(a);
}

/* The reference's words where it has some. */
static void explain(const struct asking *a, const struct err *why,
		    struct err *e)
{
	*e = *why;
	switch ((int)e->code) {
	case ERR_AUTH:
		err_wrap(e, "Unauthorized");
		break;
	case ERR_NOT_FOUND:
		err_wrap(e,
			 "failed to pull model \"%s\": MANIFEST_UNKNOWN - "
			 "Model not found",
			 a->name);
		break;
	case ERR_UNSUPPORTED:
	case ERR_UNAVAILABLE:
		break;
	default:
		/* Not 502 to 504: a client would take those for ours. */
		e->code = ERR_SYSTEM;
	}
	err_wrap(e, "error while getting remote model");
}

static int put(struct buf *out, const struct remote_model *m)
{
	char id[DIGEST_TEXT_BYTES];
	return buf_printf(out, "{\"id\":\"%s\",\"created\":%lld,\"config\":",
			  digest_text(&m->id, id),
			  (long long)m->config->created_s) ||
	       buf_put(out, m->config->json.p, m->config->json.n) ||
	       buf_puts(out, "}\n");
}

static void on_remote(void *ctx, int outcome, const struct remote_model *m,
		      const struct err *why)
{
	struct asking *a = ctx;
	struct http_exchange *x = a->x;
	struct err e;
	auto_buf struct buf out;
	buf_init(&out, LIMIT_REPLY_BODY_BYTES);
	if (outcome)
		explain(a, why, &e);
	else if (put(&out, m))
		outcome = err_set(&e, ERR_INTERNAL, "the answer is too large");
	asking_free(a);
	if (outcome)
		reply_text_error(x, &e);
	else
		exchange_reply(x, 200, REPLY_JSON, buf_str(&out));
}

static void on_gone(void *ctx)
{
	struct asking *a = ctx;
	remote_cancel(a->remote);
	asking_free(a);
}

static const struct exchange_fns exchange_fns = { .on_gone = on_gone };

static int check(struct api *api, struct http_exchange *x, struct str name,
		 struct ref *ref, struct err *e)
{
	struct caller *caller = exchange_visitor(x);
	if (!api_may(x, ACCESS_MANAGE))
		return access_refuse(api->access, caller->way, api_key(x),
				     ACCESS_MANAGE, e);
	if (catalog_ref(api->catalog, name, ref, e))
		return err_wrap(e, "Invalid model reference");
	if (!ref->repository[0])
		return err_set(e, ERR_INVALID,
			       "Invalid model reference: an id does not say "
			       "which registry has it; give NAME@%.*s",
			       STR_ARG(str_head(name, 80)));
	if (hub_has(ref))
		return err_set(e, ERR_NOT_IMPL,
			       "only what OCI registries have can be inspected "
			       "without pulling it, not what Hugging Face has");
	return 0;
}

void models_remote(struct api *api, struct http_exchange *x, struct str name)
{
	struct err e;
	struct ref ref;
	char text[REF_TEXT_BYTES];
	if (check(api, x, name, &ref, &e) ||
	    allowed_check(api, x, str_of(ref_text(&ref, text)), NULL, &e)) {
		reply_text_error(x, &e);
		return;
	}
	struct asking *a = xcalloc(1, sizeof *a);
	a->x = x;
	a->name = xstrdup(ref_text(&ref, text));
	if (remote_start(pull_set_registries(api->pulls), &ref, on_remote, a,
			 &a->remote, &e)) {
		asking_free(a);
		reply_text_error(x, &e);
		return;
	}
	exchange_set_fns(x, &exchange_fns, a);
}
