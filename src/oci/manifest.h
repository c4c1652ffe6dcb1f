/* manifest.h - the OCI manifest of a model: which blobs make it up.
 *
 * The id of a model is the hash of its manifest's bytes, so manifest_write()
 * gives the very bytes, key by key, that Docker Model Runner would write. Pure;
 * parsing is strict and bounded (LIMIT_MANIFEST_BYTES, LIMIT_LAYERS). */
#pragma once
#include "base/arena.h"
#include "base/buf.h"
#include "oci/digest.h"

#define MANIFEST_MEDIA_TYPE "application/vnd.oci.image.manifest.v1+json"

#define MANIFEST_CONFIG_V1 "application/vnd.docker.ai.model.config.v0.1+json"
#define MANIFEST_CONFIG_V2 "application/vnd.docker.ai.model.config.v0.2+json"
#define MANIFEST_CONFIG_CNCF "application/vnd.cncf.model.config.v1+json"
#define MANIFEST_ARTIFACT_CNCF "application/vnd.cncf.model.manifest.v1+json"

/* What a layer is for, by its media type, and where that leaves it open (CNCF
 * artifacts), by its file name. */
enum manifest_kind {
	MANIFEST_WEIGHTS, /* of the config's format: only a CNCF layer */
	MANIFEST_GGUF,
	MANIFEST_SAFETENSORS,
	MANIFEST_DDUF,
	MANIFEST_MMPROJ,
	MANIFEST_TEMPLATE, /* a chat template in Jinja */
	MANIFEST_LICENCE,
	MANIFEST_FILE, /* anything else */
};

struct manifest_annotation {
	const char *key;
	const char *value;
};

struct manifest_blob {
	const char *media_type;
	uint64_t bytes;
	struct digest digest;
	struct manifest_annotation *annotations; /* in the order written */
	size_t n_annotations;
};

struct manifest {
	struct arena arena;	   /* owns what the pointers below point to */
	const char *artifact_type; /* NULL: none */
	struct manifest_blob config;
	struct manifest_blob *layers;
	size_t n_layers;
};

/* The caller frees *out. Fails with ERR_INVALID, or with ERR_UNSUPPORTED for
 * an image index and for a config media type that is not a model's. */
must_use int manifest_parse(struct str text, struct manifest **out,
			    struct err *e);
void manifest_free(struct manifest *m);
BASE_AUTO(manifest);

/* Appends the compact JSON. May give BUF_FULL. */
must_use int manifest_write(const struct manifest *m, struct buf *out);

/* A layer's annotation, or NULL. */
const char *manifest_find(const struct manifest_blob *layer, const char *key);
/* The path inside the model's folder that the layer is annotated with, or
 * NULL. Not checked: never join it to a folder without looking for "..". */
const char *manifest_path(const struct manifest_blob *layer);
enum manifest_kind manifest_layer_kind(const struct manifest_blob *layer);
/* Is it a tar, perhaps compressed, in CNCF's terms? Then its bytes are not the
 * file's. */
bool manifest_is_packed(const struct manifest_blob *layer);
/* What a layer of this kind is called in Docker's artifacts, or in CNCF's. NULL
 * for MANIFEST_WEIGHTS in Docker's, which names the format. */
const char *manifest_layer_type(enum manifest_kind kind, bool is_cncf);
/* What a file is for, by its name, as a folder is packaged. */
enum manifest_kind manifest_name_kind(const char *path);
