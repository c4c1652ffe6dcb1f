#include "model/repackage.h"
#include "base/json.h"
#include "base/limits.h"
#include "oci/blob.h"

/* The Docker form's config with another context size; every other member stays
 * as it is, also those that we do not know. */
static int change_config(struct str text, int64_t context_size, char **out,
			 struct err *e)
{
	auto_json *all = NULL;
	if (json_parse(text, &all, e))
		return err_wrap(e, "its config");
	json_t *config = json_object_get(all, "config");
	if (!json_is_object(config) || json_object_get(config, "paramSize"))
		return err_set(e, ERR_UNSUPPORTED,
			       "it is a CNCF ModelPack, which has no context "
			       "size; package it again from its files");
	json_object_set_new(config, "context_size", json_integer(context_size));
	*out = json_text(all);
	return 0;
}

static int add(struct store *s, struct manifest *m, struct str config,
	       struct digest *out, struct err *e)
{
	auto_buf struct buf text;
	buf_init(&text, LIMIT_MANIFEST_BYTES);
	if (blob_put(s, &m->config.digest, config, e))
		return -1;
	if (manifest_write(m, &text))
		return err_set(e, ERR_TOO_LARGE, "the manifest is too large");
	return store_add(s, buf_str(&text), out, e);
}

int repackage_run(struct store *s, const struct digest *id,
		  int64_t context_size, struct digest *out, struct err *e)
{
	auto_(manifest) m = NULL;
	auto_free char *config = NULL;
	auto_buf struct buf text;
	auto_buf struct buf old;
	buf_init(&text, LIMIT_MANIFEST_BYTES);
	buf_init(&old, LIMIT_CONFIG_BLOB_BYTES);
	int outcome = store_read_manifest(s, id, &text, e);
	if (outcome)
		return outcome;
	if (manifest_parse(buf_str(&text), &m, e))
		return -1;
	outcome = store_read_blob(s, &m->config.digest, &old, e);
	if (outcome)
		return outcome;
	if (change_config(buf_str(&old), context_size, &config, e))
		return -1;
	m->config.digest = digest_of(str_of(config));
	m->config.bytes = strlen(config);
	/* The layers are this variant's too, should their model go meanwhile;
	 * its config is nobody's until the end. */
	auto_free struct digest *blobs =
		xcalloc(m->n_layers + 1, sizeof *blobs);
	for (size_t i = 0; i < m->n_layers; i++)
		blobs[i] = m->layers[i].digest;
	blobs[m->n_layers] = m->config.digest;
	store_lease(s, blobs, m->n_layers + 1);
	outcome = store_settle(s, e);
	if (outcome == 0)
		outcome = add(s, m, str_of(config), out, e);
	store_release(s, blobs, m->n_layers + 1);
	return outcome;
}
