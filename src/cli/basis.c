#include "cli/basis.h"
#include "base/limits.h"
#include "cli/pulling.h"
#include "model/tar.h"
#include "oci/manifest.h"

int basis_fetch(struct call *c, const char *model, struct err *e)
{
	auto_json *answer = NULL;
	auto_free char *name = call_escape(model);
	/* As making one of it finds it: by its whole name. */
	auto_free char *path = xasprintf("/engines/v1/models/%s", name);
	if (call_json(c, "GET", path, STR(""), &answer, e) == 0)
		return 0;
	if (e->code != ERR_NOT_FOUND)
		return -1;
	return pulling_run(c, model, stderr, e);
}

/* The tar that comes. The config is its last blob; a server that does not know
 * how to leave out the layers sends them before it. */
struct taking {
	struct tar *tar;
	struct basis *out;
	struct buf *text; /* of the entry that comes; NULL: none of ours */
};

static void begin(struct taking *t)
{
	struct str name = str_of(tar_entry(t->tar)->name);
	t->text = NULL;
	if (!tar_entry(t->tar)->is_file)
		return;
	if (str_eq(name, "manifest.json"))
		t->text = &t->out->manifest;
	else if (str_starts(name, "blobs/") &&
		 tar_entry(t->tar)->bytes <= LIMIT_CONFIG_BLOB_BYTES)
		t->text = &t->out->config;
	if (t->text)
		buf_clear(t->text);
}

static int take(void *ctx, struct str piece, struct err *e)
{
	struct taking *t = ctx;
	struct str data;
	for (;;) {
		int outcome = tar_next(t->tar, &piece, &data, e);
		if (outcome == TAR_MORE || outcome == TAR_END)
			return 0;
		if (outcome < 0)
			return -1;
		if (outcome == TAR_ENTRY)
			begin(t);
		else if (t->text && buf_put(t->text, data.p, data.n))
			return err_set(e, ERR_TOO_LARGE,
				       "the manifest is too large");
	}
}

static int check(const struct basis *b, struct err *e)
{
	auto_(manifest) m = NULL;
	if (manifest_parse(buf_str(&b->manifest), &m, e))
		return -1;
	struct digest d = digest_of(buf_str(&b->config));
	if (digest_eq(&d, &m->config.digest))
		return 0;
	return err_set(e, ERR_CORRUPT,
		       "the server sent another config than its manifest says");
}

int basis_get(struct call *c, const char *model, struct basis *out,
	      struct err *e)
{
	auto_(tar) tar = tar_new();
	auto_free char *name = call_escape(model);
	auto_free char *path =
		xasprintf("/models/%s/export?layers=false", name);
	struct taking t = { .tar = tar, .out = out };
	buf_init(&out->manifest, LIMIT_MANIFEST_BYTES);
	buf_init(&out->config, LIMIT_CONFIG_BLOB_BYTES);
	if (basis_fetch(c, model, e) ||
	    call_stream(c,
			&(struct call_request){ .method = "GET", .path = path },
			take, &t, e) ||
	    check(out, e))
		return err_wrap(e, "%s", model);
	return 0;
}

void basis_fini(struct basis *b)
{
	buf_fini(&b->manifest);
	buf_fini(&b->config);
}
