#include "oci/remote.h"
#include "oci/choose.h"
#include "oci/document.h"

#define MANIFEST_ACCEPT \
	MANIFEST_MEDIA_TYPE ", " CHOOSE_INDEX_TYPE ", " CHOOSE_LIST_TYPE

struct remote {
	struct registry *registry; /* held */
	struct document *document; /* being fetched */
	remote_fn fn;
	void *ctx;
	bool is_second; /* an index led here */
	struct digest id;
	struct manifest *manifest; /* owned */
};

void remote_cancel(struct remote *r)
{
	if (r->document)
		document_cancel(r->document);
	registry_release(r->registry);
	manifest_free(r->manifest);
	free(r);
}

static void finish(struct remote *r, int outcome, const struct remote_model *m,
		   const struct err *e)
{
	r->fn(r->ctx, outcome, m, e);
	remote_cancel(r);
}

static void fail(struct remote *r, const struct err *e)
{
	finish(r, -1, NULL, e);
}

static void ask(struct remote *r, const char *path, const char *accept,
		size_t max_bytes, const struct digest *d, document_fn fn)
{
	r->document =
		document_get(r->registry,
			     &(struct document_request){ .path = path,
							 .accept = accept,
							 .max_bytes = max_bytes,
							 .digest = d },
			     fn, r);
}

static void on_config(void *ctx, int outcome, const struct document_answer *a,
		      const struct err *e)
{
	struct remote *r = ctx;
	auto_(model_config) c = NULL;
	struct err why;
	r->document = NULL;
	if (outcome) {
		fail(r, e);
		return;
	}
	if (model_config_parse(a->body, &c, &why)) {
		why.code = ERR_UNSUPPORTED;
		fail(r, &why);
		return;
	}
	finish(r, 0, &(struct remote_model){ r->id, r->manifest, c }, NULL);
}

static void on_manifest(void *ctx, int outcome, const struct document_answer *a,
			const struct err *e);

static void ask_manifest(struct remote *r, const char *tag,
			 const struct digest *d)
{
	char text[DIGEST_TEXT_BYTES];
	auto_free char *path =
		xasprintf("manifests/%s", d ? digest_text(d, text) : tag);
	ask(r, path, MANIFEST_ACCEPT, LIMIT_MANIFEST_BYTES, d, on_manifest);
}

static int take_manifest(struct remote *r, const struct document_answer *a,
			 struct err *e)
{
	struct digest one;
	char text[DIGEST_TEXT_BYTES];
	if (choose_is_index(a->body, a->media_type)) {
		if (r->is_second)
			return err_set(e, ERR_UNSUPPORTED,
				       "it is an image index of indexes");
		if (choose_manifest(a->body, &one, e))
			return -1;
		r->is_second = true;
		ask_manifest(r, NULL, &one);
		return 0;
	}
	if (manifest_parse(a->body, &r->manifest, e))
		return -1;
	r->id = a->digest;
	const struct digest *d = &r->manifest->config.digest;
	auto_free char *path = xasprintf("blobs/%s", digest_text(d, text));
	ask(r, path, NULL, LIMIT_CONFIG_BLOB_BYTES, d, on_config);
	return 0;
}

static void on_manifest(void *ctx, int outcome, const struct document_answer *a,
			const struct err *e)
{
	struct remote *r = ctx;
	struct err why;
	r->document = NULL;
	if (outcome) {
		fail(r, e);
	} else if (take_manifest(r, a, &why)) {
		if (why.code == ERR_INVALID)
			why.code = ERR_UNSUPPORTED;
		fail(r, &why);
	}
}

int remote_start(struct registry_set *registries, const struct ref *ref,
		 remote_fn fn, void *ctx, struct remote **out, struct err *e)
{
	struct registry *registry;
	if (registry_open(registries, ref, NULL, &registry, e))
		return -1;
	struct remote *r = xcalloc(1, sizeof *r);
	r->registry = registry;
	r->fn = fn;
	r->ctx = ctx;
	*out = r;
	ask_manifest(r, ref->tag, ref->kind == REF_ID ? &ref->digest : NULL);
	return 0;
}
