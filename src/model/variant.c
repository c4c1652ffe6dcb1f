#include "model/variant.h"
#include "base/json.h"
#include "base/limits.h"
#include "model/gguf.h"
#include "oci/model_config.h"

struct making {
	const struct variant_change *change;
	const struct manifest *base;
	struct str config; /* of the base */
	bool was_cncf, is_cncf;
	struct artifact *out;
};

/* ---- the layers ---- */

static bool is_replaced(const struct making *v, enum manifest_kind kind)
{
	const struct parts *added = v->change->added;
	if (kind != MANIFEST_TEMPLATE && kind != MANIFEST_MMPROJ)
		return false;
	for (size_t i = 0; added && i < added->n; i++)
		if (added->all[i].kind == kind)
			return true;
	return false;
}

static const char *text(struct making *v, const char *z)
{
	return z ? arena_str(&v->out->m.arena, str_of(z)) : NULL;
}

static void copy_layer(struct making *v, const struct manifest_blob *from,
		       struct manifest_blob *to)
{
	*to = *from;
	to->media_type = text(v, from->media_type);
	to->annotations =
		arena_alloc(&v->out->m.arena,
			    from->n_annotations * sizeof *to->annotations);
	for (size_t i = 0; i < from->n_annotations; i++)
		to->annotations[i] = (struct manifest_annotation){
			text(v, from->annotations[i].key),
			text(v, from->annotations[i].value),
		};
}

/* The name that the other form has for what this layer is. */
static int rename_layer(struct making *v, struct manifest_blob *layer,
			const char *format, struct err *e)
{
	enum manifest_kind kind = manifest_layer_kind(layer);
	if (kind == MANIFEST_WEIGHTS && strcmp(format, "gguf") == 0)
		kind = MANIFEST_GGUF;
	if (kind == MANIFEST_WEIGHTS && strcmp(format, "safetensors") == 0)
		kind = MANIFEST_SAFETENSORS;
	const char *type = manifest_layer_type(kind, v->is_cncf);
	if (!type || manifest_is_packed(layer))
		return err_set(e, ERR_UNSUPPORTED,
			       "its layer sha256:%.12s is of type %.100s, "
			       "which has no place in the other form; package "
			       "the model again from its files",
			       layer->digest.hex, layer->media_type);
	layer->media_type = type;
	return 0;
}

static int take_layers(struct making *v, struct err *e)
{
	const struct parts *added = v->change->added;
	struct manifest *m = &v->out->m;
	size_t n_added = added ? added->n : 0;
	if (v->base->n_layers + n_added > LIMIT_LAYERS)
		return err_set(e, ERR_INVALID,
			       "a model can have at most %d files",
			       LIMIT_LAYERS);
	m->layers = arena_alloc(&m->arena, (v->base->n_layers + n_added) *
						   sizeof *m->layers);
	for (size_t i = 0; i < v->base->n_layers; i++) {
		const struct manifest_blob *layer = &v->base->layers[i];
		if (!is_replaced(v, manifest_layer_kind(layer)))
			copy_layer(v, layer, &m->layers[m->n_layers++]);
	}
	for (size_t i = 0; i < n_added; i++)
		if (parts_layer(&added->all[i], v->is_cncf, &m->arena,
				&m->layers[m->n_layers++], e))
			return -1;
	return 0;
}

/* ---- the config ---- */

/* In the same form: every other member stays, also those we do not know. */
static int edit_config(struct making *v, struct err *e)
{
	const struct manifest *m = &v->out->m;
	char digest[DIGEST_TEXT_BYTES];
	auto_json *all = NULL;
	if (json_parse(v->config, &all, e))
		return err_wrap(e, "its config");
	const char *fs_name = v->is_cncf ? "modelfs" : "rootfs";
	json_t *config = json_object_get(all, "config");
	json_t *ids = json_array();
	for (size_t i = 0; i < m->n_layers; i++)
		json_array_append_new(
			ids,
			json_string(digest_text(&m->layers[i].digest, digest)));
	if (!json_is_object(json_object_get(all, fs_name)))
		json_object_set_new(
			all, fs_name,
			json_pack("{s:s}", "type",
				  v->is_cncf ? "layers" : "rootfs"));
	json_object_set_new(json_object_get(all, fs_name),
			    v->is_cncf ? "diffIds" : "diff_ids", ids);
	if (v->change->context_size)
		json_object_set_new(config, "context_size",
				    json_integer(v->change->context_size));
	auto_free char *out = json_text(all);
	if (buf_puts(&v->out->config, out))
		return err_set(e, ERR_TOO_LARGE, "the config is too large");
	return 0;
}

static uint64_t weight_bytes(const struct manifest *m)
{
	uint64_t sum = 0;
	for (size_t i = 0; i < m->n_layers; i++) {
		enum manifest_kind kind = manifest_layer_kind(&m->layers[i]);
		if (kind == MANIFEST_GGUF || kind == MANIFEST_SAFETENSORS ||
		    kind == MANIFEST_DDUF)
			sum += m->layers[i].bytes;
	}
	return sum;
}

static int convert(struct making *v, struct model_config *c, struct err *e)
{
	struct manifest *m = &v->out->m;
	char size[GGUF_TEXT_BYTES];
	for (size_t i = 0; i < m->n_layers; i++)
		if (rename_layer(v, &m->layers[i], c->format, e))
			return -1;
	if (!v->is_cncf) { /* CNCF's has no size of its own */
		gguf_size_text(weight_bytes(m), size);
		c->size = arena_str(&c->arena, str_of(size));
	}
	if (!c->created[0]) /* readers want a time */
		c->created = "1970-01-01T00:00:00Z";
	if (v->change->context_size)
		c->context_size = v->change->context_size;
	c->is_cncf = v->is_cncf;
	c->diff_ids = artifact_diff_ids(v->out);
	c->n_diff_ids = m->n_layers;
	if (model_config_write(c, &v->out->config))
		return err_set(e, ERR_TOO_LARGE, "the config is too large");
	return 0;
}

static int make_config(struct making *v, struct err *e)
{
	auto_(model_config) c = NULL;
	/* Also when it is only edited: it must be one. */
	if (model_config_parse(v->config, &c, e))
		return -1;
	return v->is_cncf == v->was_cncf ? edit_config(v, e) : convert(v, c, e);
}

/* ---- the whole ---- */

static int choose_form(struct making *v, struct err *e)
{
	const struct variant_change *c = v->change;
	v->was_cncf =
		strcmp(v->base->config.media_type, MANIFEST_CONFIG_CNCF) == 0;
	v->is_cncf = c->form == VARIANT_AS_IT_IS ? v->was_cncf
						 : c->form == VARIANT_CNCF;
	if (!v->is_cncf || !c->context_size)
		return 0;
	if (c->form == VARIANT_CNCF)
		return err_set(e, ERR_UNSUPPORTED,
			       "CNCF's form has no place for a context size");
	v->is_cncf = false;
	return 0;
}

static const char *config_type(const struct making *v)
{
	if (v->is_cncf)
		return MANIFEST_CONFIG_CNCF;
	return v->was_cncf || strcmp(v->base->config.media_type,
				     MANIFEST_CONFIG_V2) == 0
		       ? MANIFEST_CONFIG_V2
		       : MANIFEST_CONFIG_V1;
}

int variant_make(struct str manifest, struct str config,
		 const struct variant_change *c, struct artifact *out,
		 struct err *e)
{
	auto_(manifest) base = NULL;
	artifact_init(out);
	if (manifest_parse(manifest, &base, e))
		return -1;
	struct making v = {
		.change = c, .base = base, .config = config, .out = out
	};
	if (choose_form(&v, e) || take_layers(&v, e) || make_config(&v, e))
		return -1;
	return artifact_seal(out, config_type(&v), e);
}
