#include "model/export.h"

struct export
{
	struct store *store;
	struct digest *leased; /* owned; the layers */
	size_t n_leased;
	struct arena arena;
	struct manifest *manifest; /* owned */
	struct buf text;	   /* of it */
	struct buf config;
	struct archive *tar; /* owned */
};

/* Who deletes the model from now on leaves its layers. STORE_ABSENT: somebody
 * did just before. */
static int lease(struct export *x, struct store *s, struct err *e)
{
	const struct manifest *m = x->manifest;
	x->store = s;
	x->leased = xcalloc(m->n_layers + 1, sizeof *x->leased);
	for (size_t i = 0; i < m->n_layers; i++)
		x->leased[x->n_leased++] = m->layers[i].digest;
	store_lease(s, x->leased, x->n_leased);
	if (store_settle(s, e))
		return -1;
	for (size_t i = 0; i < m->n_layers; i++)
		if (!store_has_blob(s, &m->layers[i].digest,
				    m->layers[i].bytes))
			return STORE_ABSENT;
	return 0;
}

int export_new(struct store *s, const struct digest *id, enum archive_form form,
	       bool has_layers, struct export **out, struct err *e)
{
	auto_(export) x = xcalloc(1, sizeof *x);
	arena_init(&x->arena);
	buf_init(&x->text, LIMIT_MANIFEST_BYTES);
	buf_init(&x->config, LIMIT_CONFIG_BLOB_BYTES);
	int outcome = store_read_manifest(s, id, &x->text, e);
	if (outcome)
		return outcome;
	if (manifest_parse(buf_str(&x->text), &x->manifest, e))
		return -1;
	const struct manifest *m = x->manifest;
	outcome = store_read_blob(s, &m->config.digest, &x->config, e);
	if (outcome)
		return outcome;
	outcome = lease(x, s, e);
	if (outcome)
		return outcome;
	const char **paths =
		arena_alloc(&x->arena, (m->n_layers + 1) * sizeof *paths);
	for (size_t i = 0; i < m->n_layers && has_layers; i++)
		paths[i] = store_blob_path(s, &m->layers[i].digest, &x->arena);
	x->tar = archive_new(form, &(struct archive_contents){
					   .m = m,
					   .manifest = buf_str(&x->text),
					   .config = buf_str(&x->config),
					   .paths = paths,
				   });
	*out = steal(&x);
	return 0;
}

void export_free(struct export *x)
{
	if (!x)
		return;
	archive_free(x->tar);
	if (x->leased)
		store_release(x->store, x->leased, x->n_leased);
	free(x->leased);
	manifest_free(x->manifest);
	buf_fini(&x->text);
	buf_fini(&x->config);
	arena_fini(&x->arena);
	free(x);
}

uint64_t export_bytes(const struct export *x)
{
	return archive_bytes(x->tar);
}

int export_read(struct export *x, void *buf, size_t cap, size_t *n,
		struct err *e)
{
	return archive_read(x->tar, buf, cap, n, e);
}
