#include "oci/manifest.h"
#include "base/json.h"
#include "base/limits.h"
#include "oci/gojson.h"

#include <inttypes.h>

#define DOCKER_AI "application/vnd.docker.ai."
#define CNCF_MODEL "application/vnd.cncf.model."

/* ---- reading ---- */

static int read_annotations(struct manifest *m, const json_t *list,
			    struct manifest_blob *b, struct err *e)
{
	const char *key;
	json_t *value;
	if (!list)
		return 0;
	if (!json_is_object(list))
		return err_field(e, "annotations",
				 "'annotations' must be an object");
	b->annotations = arena_alloc(&m->arena, json_object_size(list) *
							sizeof *b->annotations);
	json_object_foreach((json_t *)list, key, value)
	{
		if (!json_is_string(value))
			return err_field(e, "annotations",
					 "annotation '%s' must be a string",
					 key);
		b->annotations[b->n_annotations++] =
			(struct manifest_annotation){
				arena_str(&m->arena, str_of(key)),
				arena_str(&m->arena,
					  str_of(json_string_value(value))),
			};
	}
	return 0;
}

static int read_blob(struct manifest *m, const json_t *j,
		     struct manifest_blob *b, struct err *e)
{
	struct str media_type = STR(""), digest = STR("");
	int64_t bytes = -1;
	if (!json_is_object(j))
		return err_set(e, ERR_INVALID, "a blob must be an object");
	if (json_get_str(j, "mediaType", &media_type, e) ||
	    json_get_str(j, "digest", &digest, e) ||
	    json_get_int(j, "size", 0, INT64_MAX, &bytes, e) ||
	    digest_parse(digest, &b->digest, e))
		return -1;
	if (!media_type.n || bytes < 0)
		return err_set(e, ERR_INVALID,
			       "blob %.12s has no media type or no size",
			       b->digest.hex);
	b->media_type = arena_str(&m->arena, media_type);
	b->bytes = (uint64_t)bytes;
	return read_annotations(m, json_object_get(j, "annotations"), b, e);
}

static int read_layers(struct manifest *m, const json_t *list, struct err *e)
{
	if (!json_is_array(list))
		return err_field(e, "layers", "'layers' must be an array");
	size_t n = json_array_size(list);
	if (n > LIMIT_LAYERS)
		return err_field(e, "layers",
				 "%zu layers are more than the %d allowed", n,
				 LIMIT_LAYERS);
	m->layers = arena_alloc(&m->arena, n * sizeof *m->layers);
	while (m->n_layers < n) {
		if (read_blob(m, json_array_get(list, m->n_layers),
			      &m->layers[m->n_layers], e))
			return err_wrap(e, "layer %zu", m->n_layers);
		m->n_layers++;
	}
	return 0;
}

static int check_config_type(const char *type, struct err *e)
{
	static const char *const known[] = { MANIFEST_CONFIG_V1,
					     MANIFEST_CONFIG_V2,
					     MANIFEST_CONFIG_CNCF };
	for (size_t i = 0; i < ARRAY_LEN(known); i++) {
		if (strcmp(type, known[i]) == 0)
			return 0;
	}
	return err_set(e, ERR_UNSUPPORTED,
		       "this is not a model: the config is of type %.100s",
		       type);
}

static int read_manifest(struct manifest *m, const json_t *j, struct err *e)
{
	struct str media_type = STR(MANIFEST_MEDIA_TYPE), artifact = STR("");
	int64_t version = 0;
	if (!json_is_object(j))
		return err_set(e, ERR_INVALID, "an object was expected");
	if (json_get_str(j, "mediaType", &media_type, e) ||
	    json_get_str(j, "artifactType", &artifact, e))
		return -1;
	if (json_object_get(j, "manifests"))
		return err_set(e, ERR_UNSUPPORTED,
			       "this is an image index, not a model: name the "
			       "manifest of one model by its digest");
	if (json_get_int(j, "schemaVersion", 2, 2, &version, e))
		return -1;
	if (version != 2)
		return err_field(e, "schemaVersion", "no schemaVersion");
	if (!str_eq(media_type, MANIFEST_MEDIA_TYPE))
		return err_set(e, ERR_UNSUPPORTED,
			       "this is not an OCI image manifest: %.*s",
			       STR_ARG(str_head(media_type, 100)));
	if (artifact.n)
		m->artifact_type = arena_str(&m->arena, artifact);
	if (read_blob(m, json_object_get(j, "config"), &m->config, e))
		return err_wrap(e, "config");
	if (check_config_type(m->config.media_type, e))
		return -1;
	return read_layers(m, json_object_get(j, "layers"), e);
}

int manifest_parse(struct str text, struct manifest **out, struct err *e)
{
	auto_json *j = NULL;
	if (text.n > LIMIT_MANIFEST_BYTES)
		return err_set(e, ERR_TOO_LARGE,
			       "a manifest of %zu bytes is more than the %u "
			       "allowed",
			       text.n, LIMIT_MANIFEST_BYTES);
	if (json_parse_bounded(text, LIMIT_MANIFEST_MARKS, &j, e))
		return err_wrap(e, "manifest");
	auto_(manifest) m = xcalloc(1, sizeof *m);
	arena_init(&m->arena);
	if (read_manifest(m, j, e))
		return err_wrap(e, "manifest");
	*out = steal(&m);
	return 0;
}

void manifest_free(struct manifest *m)
{
	if (m)
		arena_fini(&m->arena);
	free(m);
}

/* ---- writing ---- */

static int write_blob(const struct manifest_blob *b, struct buf *out)
{
	char digest[DIGEST_TEXT_BYTES];
	if (buf_puts(out, "{\"mediaType\":") ||
	    gojson_put(out, b->media_type) ||
	    buf_printf(out, ",\"size\":%" PRIu64 ",\"digest\":\"%s\"", b->bytes,
		       digest_text(&b->digest, digest)))
		return BUF_FULL;
	for (size_t i = 0; i < b->n_annotations; i++) {
		if (buf_puts(out, i ? "," : ",\"annotations\":{") ||
		    gojson_put(out, b->annotations[i].key) ||
		    buf_puts(out, ":") ||
		    gojson_put(out, b->annotations[i].value))
			return BUF_FULL;
	}
	return buf_puts(out, b->n_annotations ? "}}" : "}");
}

int manifest_write(const struct manifest *m, struct buf *out)
{
	if (buf_puts(out, "{\"schemaVersion\":2,\"mediaType\":\"" //
		     MANIFEST_MEDIA_TYPE "\""))
		return BUF_FULL;
	if (m->artifact_type && (buf_puts(out, ",\"artifactType\":") ||
				 gojson_put(out, m->artifact_type)))
		return BUF_FULL;
	if (buf_puts(out, ",\"config\":") || write_blob(&m->config, out) ||
	    buf_puts(out, ",\"layers\":["))
		return BUF_FULL;
	for (size_t i = 0; i < m->n_layers; i++) {
		if ((i && buf_puts(out, ",")) || write_blob(&m->layers[i], out))
			return BUF_FULL;
	}
	return buf_puts(out, "]}");
}

/* ---- what a layer is ---- */

const char *manifest_find(const struct manifest_blob *layer, const char *key)
{
	for (size_t i = 0; i < layer->n_annotations; i++) {
		if (strcmp(layer->annotations[i].key, key) == 0)
			return layer->annotations[i].value;
	}
	return NULL;
}

const char *manifest_path(const struct manifest_blob *layer)
{
	return manifest_find(layer, "org.cncf.model.filepath");
}

static bool ends_nocase(struct str s, const char *suffix)
{
	size_t n = strlen(suffix);
	return s.n >= n && str_eq_nocase(str_tail(s, s.n - n), suffix);
}

/* What a file is, its own name tells: a folder "license" does not make licences
 * of its files. */
static const char *last_part(const char *path)
{
	const char *slash = strrchr(path, '/');
	return slash ? slash + 1 : path;
}

static enum manifest_kind weights_by_name(const char *path)
{
	struct str s = str_of(path);
	if (strcasestr(path, "mmproj"))
		return MANIFEST_MMPROJ;
	if (ends_nocase(s, ".gguf"))
		return MANIFEST_GGUF;
	if (ends_nocase(s, ".safetensors"))
		return MANIFEST_SAFETENSORS;
	if (ends_nocase(s, ".dduf"))
		return MANIFEST_DDUF;
	return MANIFEST_WEIGHTS;
}

static bool is_template_name(const char *path)
{
	return ends_nocase(str_of(path), ".jinja") ||
	       strcasestr(path, "chat_template");
}

static bool is_licence_name(const char *path)
{
	return strcasestr(path, "license") || strcasestr(path, "licence") ||
	       strcasestr(path, "copying") || strcasestr(path, "notice");
}

bool manifest_is_packed(const struct manifest_blob *layer)
{
	return str_starts(str_of(layer->media_type), CNCF_MODEL) &&
	       strstr(layer->media_type, ".v1.tar");
}

enum manifest_kind manifest_name_kind(const char *path)
{
	const char *name = last_part(path);
	enum manifest_kind kind = weights_by_name(name);
	bool is_weights = ends_nocase(str_of(name), ".gguf") ||
			  ends_nocase(str_of(name), ".mmproj");
	if (kind == MANIFEST_MMPROJ && is_weights)
		return kind;
	if (kind != MANIFEST_MMPROJ && kind != MANIFEST_WEIGHTS)
		return kind;
	if (is_template_name(name))
		return MANIFEST_TEMPLATE;
	return is_licence_name(name) ? MANIFEST_LICENCE : MANIFEST_FILE;
}

/* The rows of a kind: what is written comes first. */
static const struct layer_type {
	const char *media_type;
	enum manifest_kind kind;
} layer_types[] = {
	{ DOCKER_AI "gguf.v3", MANIFEST_GGUF },
	{ DOCKER_AI "safetensors", MANIFEST_SAFETENSORS },
	{ DOCKER_AI "dduf", MANIFEST_DDUF },
	{ DOCKER_AI "license", MANIFEST_LICENCE },
	{ DOCKER_AI "mmproj", MANIFEST_MMPROJ },
	{ DOCKER_AI "chat.template.jinja", MANIFEST_TEMPLATE },
	{ DOCKER_AI "model.file", MANIFEST_FILE },
	{ CNCF_MODEL "weight.v1.gguf", MANIFEST_GGUF },
	{ CNCF_MODEL "weight.v1.safetensors", MANIFEST_SAFETENSORS },
};

const char *manifest_layer_type(enum manifest_kind kind, bool is_cncf)
{
	if (is_cncf && kind == MANIFEST_LICENCE)
		return CNCF_MODEL "doc.v1.raw";
	if (is_cncf && (kind == MANIFEST_TEMPLATE || kind == MANIFEST_FILE))
		return CNCF_MODEL "weight.config.v1.raw";
	if (is_cncf)
		return CNCF_MODEL "weight.v1.raw";
	for (size_t i = 0; i < ARRAY_LEN(layer_types); i++)
		if (layer_types[i].kind == kind)
			return layer_types[i].media_type;
	return NULL;
}

enum manifest_kind manifest_layer_kind(const struct manifest_blob *layer)
{
	const char *type = layer->media_type;
	const char *path = manifest_path(layer);
	path = path ? last_part(path) : "";
	for (size_t i = 0; i < ARRAY_LEN(layer_types); i++) {
		if (strcmp(type, layer_types[i].media_type) != 0)
			continue;
		/* A folder packaged whole has its projector as a GGUF. */
		bool is_mmproj = layer_types[i].kind == MANIFEST_GGUF &&
				 strcasestr(path, "mmproj");
		return is_mmproj ? MANIFEST_MMPROJ : layer_types[i].kind;
	}
	if (strcmp(type, CNCF_MODEL "weight.v1.raw") == 0)
		return weights_by_name(path);
	if (strcmp(type, CNCF_MODEL "weight.config.v1.raw") == 0 &&
	    is_template_name(path))
		return MANIFEST_TEMPLATE;
	if (strcmp(type, CNCF_MODEL "doc.v1.raw") == 0 && is_licence_name(path))
		return MANIFEST_LICENCE;
	return MANIFEST_FILE;
}
