#include "oci/push_manifest.h"
#include "io/timer.h"
#include "oci/document.h"

enum step { LOOK, PUT, CHECK };

struct push_manifest {
	struct push_manifest_config config; /* name owned, registry held */
	push_manifest_fn fn;
	void *ctx;
	enum step step;
	struct document *document; /* of LOOK and CHECK */
	struct fetch *fetch;	   /* of PUT */
	struct timer pause;
	int tries, looks;
	bool has_said; /* Docker-Content-Digest */
	struct digest said;
};

static void start_put(struct push_manifest *m);
static void start_look(struct push_manifest *m);

static void destroy(struct push_manifest *m)
{
	if (m->document)
		document_cancel(m->document);
	if (m->fetch)
		fetch_cancel(m->fetch);
	timer_fini(&m->pause);
	registry_release(m->config.registry);
	free((char *)m->config.name);
	free(m);
}

static void finish(struct push_manifest *m, int outcome, const struct err *e)
{
	push_manifest_fn fn = m->fn;
	void *ctx = m->ctx;
	struct err why;
	if (outcome) {
		why = *e;
		err_wrap(&why, "manifest %s", m->config.name);
		if (why.code == ERR_NOT_FOUND)
			why.code = ERR_SYSTEM; /* it is not the model */
	}
	destroy(m);
	fn(ctx, outcome, &why);
}

static void on_pause_over(void *ctx)
{
	struct push_manifest *m = ctx;
	if (m->step == PUT)
		start_put(m);
	else
		start_look(m);
}

/* ---- is it there? ---- */

static void on_looked(void *ctx, int outcome, const struct document_answer *a,
		      const struct err *e)
{
	struct push_manifest *m = ctx;
	struct err why;
	m->document = NULL;
	bool is_there =
		outcome == 0 && (digest_eq(&a->digest, &m->config.digest) ||
				 (m->step == CHECK && !a->digest.hex[0]));
	bool knows_no_head = outcome && e->code == ERR_SYSTEM;
	if (is_there || (m->step == CHECK && knows_no_head)) {
		finish(m, 0, NULL);
	} else if (m->step == CHECK && ++m->looks < LIMIT_PUSH_LOOKS) {
		timer_start(&m->pause, LIMIT_PULL_PAUSE_MS);
	} else if (m->step == CHECK) {
		err_set(&why, ERR_CORRUPT,
			"the registry said that it stored it, but does not "
			"have it");
		finish(m, -1, &why);
	} else if (outcome == 0 || knows_no_head || e->code == ERR_NOT_FOUND) {
		m->step = PUT;
		start_put(m);
	} else {
		finish(m, -1, e);
	}
}

/* After the PUT by the digest: somebody else may have moved the tag since. */
static void start_look(struct push_manifest *m)
{
	char text[DIGEST_TEXT_BYTES];
	auto_free char *path = xasprintf(
		"manifests/%s", m->step == LOOK
					? m->config.name
					: digest_text(&m->config.digest, text));
	m->document =
		document_get(m->config.registry,
			     &(struct document_request){
				     .is_head = true,
				     .path = path,
				     .accept = MANIFEST_MEDIA_TYPE,
				     .max_bytes = LIMIT_REGISTRY_ERROR_BYTES },
			     on_looked, m);
}

/* ---- it gets there ---- */

static void on_head(void *ctx, int status)
{
	struct push_manifest *m = ctx;
	struct err unused;
	struct str said = fetch_field(m->fetch, "Docker-Content-Digest");
	(void)status;
	m->has_said = said.p && digest_parse(said, &m->said, &unused) == 0;
}

static int on_body(void *ctx, struct str piece)
{
	(void)ctx;
	(void)piece;
	return 0;
}

static void on_put(void *ctx, int outcome, const struct err *e)
{
	struct push_manifest *m = ctx;
	int status = fetch_status(m->fetch);
	unsigned wait_ms = fetch_retry_after_ms(m->fetch);
	struct err why;
	m->fetch = NULL;
	bool may_pass =
		outcome && (fetch_is_passing(e) || e->code == ERR_REFUSED);
	if (may_pass && ++m->tries <= LIMIT_PULL_TRIES) {
		unsigned ms = LIMIT_PULL_PAUSE_MS << m->tries;
		timer_start(&m->pause, MAX(ms, wait_ms));
	} else if (outcome && (status == 400 || status == 404)) {
		finish(m, PUSH_MANIFEST_REFUSED, e);
	} else if (outcome) {
		finish(m, -1, e);
	} else if (m->has_said && !digest_eq(&m->said, &m->config.digest)) {
		err_set(&why, ERR_CORRUPT,
			"digest mismatch: the registry stored sha256:%s, not "
			"sha256:%s",
			m->said.hex, m->config.digest.hex);
		finish(m, -1, &why);
	} else {
		m->step = CHECK;
		start_look(m);
	}
}

static const struct fetch_fns put_fns = { .on_head = on_head,
					  .on_body = on_body,
					  .on_end = on_put };

static void start_put(struct push_manifest *m)
{
	auto_free char *path = xasprintf("manifests/%s", m->config.name);
	struct fetch_upload up = { .method = "PUT",
				   .content_type = MANIFEST_MEDIA_TYPE,
				   .body = m->config.text };
	m->fetch = fetch_start(
		m->config.registry,
		&(struct fetch_request){ .path = path,
					 .upload = &up,
					 .limit_ms = LIMIT_DOCUMENT_MS },
		&put_fns, m);
}

struct push_manifest *push_manifest_start(const struct push_manifest_config *c,
					  push_manifest_fn fn, void *ctx)
{
	struct push_manifest *m = xcalloc(1, sizeof *m);
	m->config = *c;
	m->config.registry = registry_hold(c->registry);
	m->config.name = xstrdup(c->name);
	m->fn = fn;
	m->ctx = ctx;
	timer_init(&m->pause, c->registry->all->loop, on_pause_over, m);
	start_look(m);
	return m;
}

void push_manifest_cancel(struct push_manifest *m)
{
	destroy(m);
}
