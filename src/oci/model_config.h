/* model_config.h - the config blob of a model: what the artifact says of the
 * model inside, in any of its three forms (Docker v0.1 and v0.2, which differ
 * only in their layers, and CNCF ModelPack). Pure; parsing is bounded
 * (LIMIT_CONFIG_BLOB_BYTES), and what a config does not say is "" or 0. */
#pragma once
#include "base/arena.h"
#include "base/buf.h"
#include "oci/digest.h"

struct model_config_pair {
	const char *key;
	const char *value;
};

struct model_config {
	struct arena arena; /* owns what the pointers below point to */
	bool is_cncf;
	int64_t created_s;   /* Unix time; 0: not known */
	const char *created; /* the same as written, RFC 3339 */
	const char *format;  /* "gguf", "safetensors", ... */
	const char *quantization;
	const char *parameters; /* "134.52M"; paramSize in CNCF's form */
	const char *architecture;
	const char *size;		/* "92.10MiB" */
	int64_t context_size;		/* 0: not said */
	struct model_config_pair *gguf; /* sorted by key */
	size_t n_gguf;
	/* The same of other formats; only written. */
	struct model_config_pair *safetensors, *diffusers;
	size_t n_safetensors, n_diffusers;
	struct digest *diff_ids; /* one for each layer */
	size_t n_diff_ids;
	/* The inner `config` object as compact JSON, keys as they came. */
	struct str json;
};

/* The caller frees *out. The form is told by the content, as Docker Model
 * Runner does. */
must_use int model_config_parse(struct str text, struct model_config **out,
				struct err *e);
void model_config_free(struct model_config *c);
BASE_AUTO(model_config);

/* A member of `gguf`, or NULL. */
const char *model_config_find(const struct model_config *c, const char *key);

/* Appends the form that `is_cncf` says, byte for byte as Docker Model Runner
 * writes it; CNCF's has no place for size, context and metadata. `created_s`
 * and `json` are not looked at. May give BUF_FULL. */
must_use int model_config_write(const struct model_config *c, struct buf *out);
