/* A model in a registry: its manifest (of an index the one model in it), then
 * its config; the layers are the pull's business. What is here already is asked
 * for with HEAD. */
#include "oci/choose.h"
#include "oci/document.h"
#include "oci/model_config.h"
#include "oci/pull_source.h"

#define MANIFEST_ACCEPT                                                  \
	MANIFEST_MEDIA_TYPE ", " CHOOSE_INDEX_TYPE ", " CHOOSE_LIST_TYPE \
			    ", application/vnd.docker.distribution."     \
			    "manifest.v2+json"

struct pull_registry {
	struct pull *pull;
	struct registry *registry; /* held */
	struct document *document; /* being fetched */
	bool has_local;
	struct digest local;
	bool is_second; /* an index led here */
	struct buf manifest_text, config_text;
	struct manifest *manifest; /* owned */
	struct digest id;
};

/* ---- the manifest ---- */

static void on_manifest(void *ctx, int outcome, const struct document_answer *a,
			const struct err *e);
static void look_for_config(struct pull_registry *r);

/* `d` NULL: by the reference. */
static void ask_manifest(struct pull_registry *r, const struct digest *d,
			 bool is_head)
{
	char text[DIGEST_TEXT_BYTES];
	const struct ref *ref = pull_ref(r->pull);
	if (!d && ref->kind == REF_ID)
		d = &ref->digest;
	auto_free char *path =
		xasprintf("manifests/%s", d ? digest_text(d, text) : ref->tag);
	r->document = document_get(
		r->registry,
		&(struct document_request){ .is_head = is_head,
					    .path = path,
					    .accept = MANIFEST_ACCEPT,
					    .max_bytes = LIMIT_MANIFEST_BYTES,
					    .digest = d },
		on_manifest, r);
}

/* What the registry says is here; -1 if it is no model. */
static int take_manifest(struct pull_registry *r,
			 const struct document_answer *a, struct err *e)
{
	struct digest one;
	if (choose_is_index(a->body, a->media_type)) {
		if (choose_manifest(a->body, &one, e))
			return -1;
		if (r->is_second)
			return err_set(e, ERR_UNSUPPORTED,
				       "it is an image index of indexes");
		r->is_second = true;
		ask_manifest(r, &one, false);
		return 0;
	}
	if (manifest_parse(a->body, &r->manifest, e))
		return -1;
	if (buf_put(&r->manifest_text, a->body.p, a->body.n))
		abort(); /* the ceilings are the same */
	r->id = a->digest;
	for (size_t i = 0; i < r->manifest->n_layers; i++)
		if (pull_want(r->pull, &r->manifest->layers[i].digest,
			      r->manifest->layers[i].bytes, NULL, e))
			return -1;
	look_for_config(r);
	return 0;
}

static void on_manifest(void *ctx, int outcome, const struct document_answer *a,
			const struct err *e)
{
	struct pull_registry *r = ctx;
	struct err why;
	bool was_head = r->has_local && !r->is_second;
	r->document = NULL;
	if (outcome && was_head && e->code == ERR_SYSTEM) {
		r->has_local = false; /* it knows no HEAD */
		ask_manifest(r, NULL, false);
	} else if (outcome && r->has_local) {
		pull_fail_or_use_local(r->pull, e);
	} else if (outcome) {
		pull_fail(r->pull, e);
	} else if (was_head && a->body.n == 0) {
		bool is_same = digest_eq(&a->digest, &r->local);
		/* From here on it is as if there were none. */
		r->has_local = is_same;
		if (is_same)
			pull_use_local(r->pull);
		else
			ask_manifest(r, NULL, false);
	} else if (take_manifest(r, a, &why)) {
		if (why.code == ERR_INVALID)
			why.code = ERR_UNSUPPORTED;
		pull_fail(r->pull, &why);
	}
}

static void ask(void *src, const struct digest *local)
{
	struct pull_registry *r = src;
	r->has_local = local;
	r->is_second = false;
	if (local)
		r->local = *local;
	ask_manifest(r, NULL, local);
}

/* ---- the config ---- */

/* The store may have it. One that says nothing is fetched again. */
static int read_config(void *ctx, struct err *e)
{
	struct pull_registry *r = ctx;
	struct err unused;
	auto_(model_config) c = NULL;
	(void)e;
	if (store_read_blob(pull_store(r->pull), &r->manifest->config.digest,
			    &r->config_text, &unused) ||
	    model_config_parse(buf_str(&r->config_text), &c, &unused))
		buf_clear(&r->config_text);
	return 0;
}

static void on_config(void *ctx, int outcome, const struct document_answer *a,
		      const struct err *e)
{
	struct pull_registry *r = ctx;
	struct err why;
	auto_(model_config) c = NULL;
	r->document = NULL;
	if (outcome) {
		pull_fail(r->pull, e);
		return;
	}
	if (a->body.n != r->manifest->config.bytes)
		err_set(&why, ERR_CORRUPT,
			"the config has %zu bytes, the manifest says %llu",
			a->body.n,
			(unsigned long long)r->manifest->config.bytes);
	else if (model_config_parse(a->body, &c, &why))
		why.code = ERR_UNSUPPORTED;
	else {
		if (buf_put(&r->config_text, a->body.p, a->body.n))
			abort();
		pull_fetch(r->pull, r->registry, &r->id);
		return;
	}
	pull_fail(r->pull, &why);
}

static void on_config_read(void *ctx, int outcome, const struct err *e)
{
	struct pull_registry *r = ctx;
	char text[DIGEST_TEXT_BYTES];
	const struct digest *d = &r->manifest->config.digest;
	(void)outcome;
	(void)e;
	if (r->config_text.n) {
		pull_fetch(r->pull, r->registry, &r->id);
		return;
	}
	auto_free char *path = xasprintf("blobs/%s", digest_text(d, text));
	r->document = document_get(r->registry,
				   &(struct document_request){
					   .path = path,
					   .max_bytes = LIMIT_CONFIG_BLOB_BYTES,
					   .digest = d },
				   on_config, r);
}

static void look_for_config(struct pull_registry *r)
{
	pull_work(r->pull, read_config, on_config_read);
}

/* ---- begin and end ---- */

static int make(void *src, struct pull_model *m, struct err *e)
{
	struct pull_registry *r = src;
	(void)e;
	if (buf_put(&m->config, r->config_text.p, r->config_text.n) ||
	    buf_put(&m->manifest, r->manifest_text.p, r->manifest_text.n))
		abort(); /* the ceilings are the same */
	m->config_digest = r->manifest->config.digest;
	return 0;
}

static void leave(void *src)
{
	struct pull_registry *r = src;
	if (r->document)
		document_cancel(steal(&r->document));
	registry_release(steal(&r->registry));
}

static void free_source(void *src)
{
	struct pull_registry *r = src;
	buf_fini(&r->manifest_text);
	buf_fini(&r->config_text);
	manifest_free(r->manifest);
	free(r);
}

static const struct pull_source source = {
	.ask = ask, .make = make, .leave = leave, .free = free_source
};

int pull_registry_start(struct pull_set *s, const struct ref *ref,
			const char *bearer, const struct pull_fns *fns,
			void *ctx, struct pull **out, struct err *e)
{
	struct registry *registry;
	if (registry_open(pull_set_registries(s), ref, bearer, &registry, e))
		return -1;
	struct pull_registry *r = xcalloc(1, sizeof *r);
	r->registry = registry;
	buf_init(&r->manifest_text, LIMIT_MANIFEST_BYTES);
	buf_init(&r->config_text, LIMIT_CONFIG_BLOB_BYTES);
	if (pull_start(s, ref, &source, r, fns, ctx, &r->pull, e))
		return -1;
	*out = r->pull;
	return 0;
}
