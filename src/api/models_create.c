/* POST /models/create: a model comes from a registry, and its client hears how
 * far it is: JSON, an event a line, or (Docker Model Runner's way with clients
 * that do not ask for exactly application/json) the same lines HTML-escaped.
 * Until the first of them a failure has a status; then it is a line. */
#include "api/allowed.h"
#include "api/reply.h"
#include "api/routes.h"
#include "base/limits.h"
#include "oci/pull.h"

#define PULL_TEXT "text/plain"

struct pulling {
	struct api *api;
	struct http_exchange *x;
	struct pull *pull; /* NULL once it is over */
	bool is_json;
	bool is_full; /* the client does not read: it misses some progress */
};

/* ---- lines ---- */

/* Go's html.EscapeString. */
static int put_escaped(struct buf *out, struct str s)
{
	for (size_t i = 0; i < s.n; i++) {
		static const char special[] = "\"'&<>";
		static const char *const names[] = { "&#34;", "&#39;", "&amp;",
						     "&lt;", "&gt;" };
		const char *at = s.p[i] ? strchr(special, s.p[i]) : NULL;
		if (at ? buf_puts(out, names[at - special])
		       : buf_put(out, &s.p[i], 1))
			return BUF_FULL;
	}
	return 0;
}

static void start(struct pulling *p)
{
	if (exchange_is_started(p->x))
		return;
	exchange_add(p->x, "Content-Type",
		     p->is_json ? STR(REPLY_JSON) : STR(PULL_TEXT));
	exchange_add(p->x, "Cache-Control", STR("no-cache"));
	exchange_add(p->x, "X-Accel-Buffering", STR("no"));
	exchange_start(p->x, 200, EXCHANGE_CHUNKED);
}

/* `id` is the layer's digest, or NULL. */
static void put_line(struct pulling *p, const char *type, const char *message,
		     const struct blobs_layer *l, uint64_t total)
{
	char id[DIGEST_TEXT_BYTES];
	auto_buf struct buf line, escaped;
	buf_init(&line, 4096);
	buf_init(&escaped, 8 * 4096);
	int full = buf_printf(&line, "{\"type\":\"%s\",\"message\":", type) ||
		   buf_put_json(&line, str_of(message)) ||
		   buf_printf(&line, ",\"total\":%llu,\"layer\":{",
			      (unsigned long long)total) ||
		   (l && buf_printf(&line, "\"id\":\"%s\",",
				    digest_text(&l->digest, id))) ||
		   buf_printf(&line,
			      "\"size\":%llu,\"current\":%llu},"
			      "\"mode\":\"pull\"}",
			      (unsigned long long)(l ? l->bytes : 0),
			      (unsigned long long)(l ? l->there : 0));
	if (!p->is_json)
		full = full || put_escaped(&escaped, buf_str(&line));
	struct buf *out = p->is_json ? &line : &escaped;
	if (full || buf_puts(out, "\n"))
		return;
	start(p);
	p->is_full = exchange_write(p->x, buf_str(out)) == STREAM_FULL;
}

/* ---- the pull ---- */

static void on_wait(void *ctx, int others)
{
	char text[100];
	snprintf(text, sizeof text,
		 "Waiting for %d other %s to finish (%d run at one time)",
		 others, others == 1 ? "pull" : "pulls", LIMIT_PULLS);
	put_line(ctx, "progress", text, NULL, 0);
}

static void on_progress(void *ctx, const struct blobs_layer *l, uint64_t total)
{
	struct pulling *p = ctx;
	char text[64];
	if (p->is_full && l->there < l->bytes)
		return;
	snprintf(text, sizeof text, "Downloaded: %.2f MB",
		 (double)l->there / (1 << 20));
	put_line(p, "progress", text, l, total);
}

static void on_note(void *ctx, const char *text)
{
	put_line(ctx, "progress", text, NULL, 0);
}

static void on_warning(void *ctx, const char *text)
{
	put_line(ctx, "warning", text, NULL, 0);
}

/* What the reference answers; its words, then ours. */
static void translate(struct err *e)
{
	switch ((int)e->code) {
	case ERR_AUTH:
		err_wrap(e, "Unauthorized");
		break;
	case ERR_NOT_FOUND:
		err_wrap(e, "Model not found");
		break;
	case ERR_UNSUPPORTED:
	case ERR_UNAVAILABLE:
		break;
	default:
		/* Not 502 to 504: a client would take those for ours. */
		e->code = ERR_SYSTEM;
		err_wrap(e, "error while pulling model");
	}
}

static void on_end(void *ctx, int outcome, const char *text,
		   const struct err *e)
{
	struct pulling *p = ctx;
	struct http_exchange *x = p->x;
	struct err why;
	p->pull = NULL;
	if (outcome) {
		why = *e;
		translate(&why);
	}
	if (outcome && !exchange_is_started(x)) {
		free(p);
		reply_text_error(x, &why);
		return;
	}
	if (outcome) {
		err_hide_paths(&why);
		err_wrap(&why, "Error");
	}
	put_line(p, outcome ? "error" : "success", outcome ? why.msg : text,
		 NULL, 0);
	free(p);
	exchange_end(x);
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
	p->is_full = false;
}

static const struct exchange_fns exchange_fns = { .on_gone = on_gone,
						  .on_drain = on_drain };

/* ---- the request ---- */

struct asked {
	struct api *api;
	struct http_exchange *x;
};

static int read_request(struct api *api, struct str body, struct ref *ref,
			char **bearer, struct err *e)
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
	if (strcmp(ref->registry, "huggingface.co") == 0)
		return err_set(e, ERR_NOT_IMPL,
			       "this version pulls from OCI registries, not "
			       "from Hugging Face");
	*bearer = token.n ? str_dup(token) : NULL;
	return 0;
}

static void on_request(void *ctx, struct str body)
{
	struct asked *a = ctx;
	struct http_exchange *x = a->x;
	struct ref ref;
	char name[REF_TEXT_BYTES];
	auto_free char *bearer = NULL;
	struct err e;
	const struct http_field *accept = head_find(exchange_head(x), "Accept");
	if (read_request(a->api, body, &ref, &bearer, &e) ||
	    allowed_check(a->api, x, str_of(ref_text(&ref, name)), NULL, &e)) {
		reply_text_error(x, &e);
		return;
	}
	struct pulling *p = xcalloc(1, sizeof *p);
	p->api = a->api;
	p->x = x;
	p->is_json = accept && str_eq(accept->value, REPLY_JSON);
	if (pull_registry_start(a->api->pulls, &ref, bearer, &pull_fns, p,
				&p->pull, &e)) {
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
