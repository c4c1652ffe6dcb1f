#include "model/card.h"
#include "base/limits.h"
#include "oci/model_config.h"

#include <stdio.h>

static bool is_embedding(const struct model_config *c)
{
	static const char *const architectures[] = { "gemma-embedding",
						     "t5encoder" };
	char key[128];
	snprintf(key, sizeof key, "%s.pooling_type", c->architecture);
	const char *pooling = model_config_find(c, key);
	if (pooling && strcmp(pooling, "0") != 0)
		return true;
	for (size_t i = 0; i < ARRAY_LEN(architectures); i++) {
		if (strcmp(c->architecture, architectures[i]) == 0)
			return true;
	}
	return strstr(c->architecture, "bert") != NULL;
}

static void take_config(const struct model_config *c, struct arena *a,
			struct catalog_model *m)
{
	const char *template = model_config_find(c, "tokenizer.chat_template");
	m->created_s = c->created_s;
	m->format = arena_str(a, str_of(c->format));
	m->architecture = arena_str(a, str_of(c->architecture));
	m->parameters = arena_str(a, str_of(c->parameters));
	m->quantization = arena_str(a, str_of(c->quantization));
	m->size = arena_str(a, str_of(c->size));
	m->context_size = c->context_size;
	m->config = (struct str){ arena_str(a, c->json), c->json.n };
	m->is_embedding = is_embedding(c);
	m->has_template = template && template[0];
}

/* What the config leaves out, the layers may tell. */
static const char *format_of(const char *said,
			     const struct manifest_blob *layer)
{
	switch (manifest_layer_kind(layer)) {
	case MANIFEST_GGUF:
		return said[0] ? said : "gguf";
	case MANIFEST_SAFETENSORS:
		return said[0] ? said : "safetensors";
	case MANIFEST_DDUF:
		return said[0] ? said : "diffusers";
	case MANIFEST_WEIGHTS:
	case MANIFEST_MMPROJ:
	case MANIFEST_TEMPLATE:
	case MANIFEST_LICENCE:
	case MANIFEST_FILE:
		break;
	}
	return said;
}

static void take_layers(const struct manifest *m, struct store *s,
			struct arena *a, struct catalog_model *out)
{
	size_t room = m->n_layers * sizeof(char *);
	const char **weights = arena_alloc(a, room);
	const char **licences = arena_alloc(a, room);
	for (size_t i = 0; i < m->n_layers; i++) {
		const struct manifest_blob *layer = &m->layers[i];
		const char *path = store_blob_path(s, &layer->digest, a);
		switch (manifest_layer_kind(layer)) {
		case MANIFEST_WEIGHTS:
		case MANIFEST_GGUF:
		case MANIFEST_SAFETENSORS:
		case MANIFEST_DDUF:
			weights[out->n_weights++] = path;
			out->format = format_of(out->format, layer);
			out->weight_bytes += layer->bytes;
			break;
		case MANIFEST_LICENCE:
			licences[out->n_licences++] = path;
			break;
		case MANIFEST_MMPROJ:
			out->mmproj_bytes =
				out->mmproj ? out->mmproj_bytes : layer->bytes;
			out->mmproj = out->mmproj ? out->mmproj : path;
			break;
		case MANIFEST_TEMPLATE:
			out->chat_template =
				out->chat_template ? out->chat_template : path;
			out->has_template = true;
			break;
		case MANIFEST_FILE:
			break;
		}
	}
	out->weights = weights;
	out->licences = licences;
}

static int read_manifest(struct store *s, const struct digest *id,
			 struct manifest **out, struct err *e)
{
	auto_buf struct buf text;
	buf_init(&text, LIMIT_MANIFEST_BYTES);
	int outcome = store_read_manifest(s, id, &text, e);
	if (outcome == STORE_ABSENT)
		return err_set(e, ERR_CORRUPT, "its manifest is missing");
	return outcome ? -1 : manifest_parse(buf_str(&text), out, e);
}

static int read_config(struct store *s, const struct manifest *m,
		       struct model_config **out, struct err *e)
{
	auto_buf struct buf text;
	buf_init(&text, LIMIT_CONFIG_BLOB_BYTES);
	int outcome = store_read_blob(s, &m->config.digest, &text, e);
	if (outcome == STORE_ABSENT)
		return err_set(e, ERR_CORRUPT, "its config is missing");
	return outcome ? -1 : model_config_parse(buf_str(&text), out, e);
}

int card_read(struct store *s, const struct digest *id, struct arena *a,
	      struct catalog_model *out, struct err *e)
{
	auto_(manifest) m = NULL;
	auto_(model_config) c = NULL;
	if (read_manifest(s, id, &m, e) || read_config(s, m, &c, e))
		return err_wrap(e, "model %.12s", id->hex);
	*out = (struct catalog_model){ .id = *id };
	take_config(c, a, out);
	take_layers(m, s, a, out);
	if (!out->created_s)
		out->created_s = store_since(s, id);
	return 0;
}
