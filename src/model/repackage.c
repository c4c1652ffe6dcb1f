#include "model/repackage.h"
#include "base/limits.h"
#include "model/variant.h"
#include "oci/blob.h"

static int put(struct store *s, const struct artifact *a, struct digest *out,
	       struct err *e)
{
	if (blob_put(s, &a->m.config.digest, buf_str(&a->config), e))
		return -1;
	return store_add(s, buf_str(&a->text), out, e);
}

/* The layers are this variant's too, should their model go meanwhile; its
 * config is nobody's until the end. */
static int put_leased(struct store *s, const struct artifact *a,
		      struct digest *out, struct err *e)
{
	size_t n = a->m.n_layers;
	auto_free struct digest *blobs = xcalloc(n + 1, sizeof *blobs);
	for (size_t i = 0; i < n; i++)
		blobs[i] = a->m.layers[i].digest;
	blobs[n] = a->m.config.digest;
	store_lease(s, blobs, n + 1);
	int outcome = store_settle(s, e);
	if (outcome == 0)
		outcome = put(s, a, out, e);
	store_release(s, blobs, n + 1);
	return outcome;
}

static int read_base(struct store *s, const struct digest *id,
		     struct buf *manifest, struct buf *config, struct err *e)
{
	auto_(manifest) m = NULL;
	int outcome = store_read_manifest(s, id, manifest, e);
	if (outcome)
		return outcome;
	if (manifest_parse(buf_str(manifest), &m, e))
		return -1;
	return store_read_blob(s, &m->config.digest, config, e);
}

int repackage_run(struct store *s, const struct digest *id,
		  int64_t context_size, struct digest *out, struct err *e)
{
	auto_buf struct buf manifest, config;
	struct artifact a;
	const struct variant_change change = { .context_size = context_size };
	buf_init(&manifest, LIMIT_MANIFEST_BYTES);
	buf_init(&config, LIMIT_CONFIG_BLOB_BYTES);
	int outcome = read_base(s, id, &manifest, &config, e);
	if (outcome)
		return outcome;
	outcome = variant_make(buf_str(&manifest), buf_str(&config), &change,
			       &a, e);
	if (outcome == 0)
		outcome = put_leased(s, &a, out, e);
	artifact_fini(&a);
	return outcome;
}
