#include "llama/lora_file.h"

#include "llama/weights.h"
#include "model/gguf.h"

#include <gguf.h>
#include <llama.h>
#include <stdlib.h>
#include <string.h>

/* ---- what it is ---- */

static int check_kind(const struct gguf_file *g, const struct weights *w,
		      struct err *e)
{
	char arch[64] = "";
	const char *type = gguf_find(g, "general.type");
	const char *kind = gguf_find(g, "adapter.type");
	llama_model_meta_val_str(weights_model(w), "general.architecture", arch,
				 sizeof arch);
	if (!type || strcmp(type, "adapter") != 0)
		return err_set(e, ERR_UNSUPPORTED,
			       "this is a model and not an adapter");
	if (!kind || strcmp(kind, "lora") != 0)
		return err_set(e, ERR_UNSUPPORTED,
			       "this adapter is of the kind '%.40s', and "
			       "only 'lora' is known",
			       kind ? kind : "");
	if (strcmp(g->architecture, arch) != 0)
		return err_set(e, ERR_UNSUPPORTED,
			       "it is for models of the architecture '%.60s', "
			       "and this one's is '%s'",
			       g->architecture, arch);
	return 0;
}

/* ---- its metadata ---- */

static int check_types(const struct gguf_context *g, struct err *e)
{
	static const struct {
		const char *key;
		enum gguf_type type;
	} rows[] = {
		{ "general.type", GGUF_TYPE_STRING },
		{ "general.architecture", GGUF_TYPE_STRING },
		{ "adapter.type", GGUF_TYPE_STRING },
		{ "adapter.lora.alpha", GGUF_TYPE_FLOAT32 },
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		int64_t at = gguf_find_key(g, rows[i].key);
		enum gguf_type is =
			at < 0 ? rows[i].type : gguf_get_kv_type(g, at);
		if (is != rows[i].type)
			return err_set(e, ERR_CORRUPT,
				       "its %s must be of the type %s, not %s",
				       rows[i].key,
				       gguf_type_name(rows[i].type),
				       gguf_type_name(is));
	}
	return 0;
}

/* ---- its tensors ---- */

/* ggml multiplies with these; Q8_1 and Q8_K are for sums on the way. */
static bool is_known(enum ggml_type t)
{
	if (t == GGML_TYPE_Q8_1 || t == GGML_TYPE_Q8_K)
		return false;
	return t == GGML_TYPE_F32 || t == GGML_TYPE_F16 ||
	       t == GGML_TYPE_BF16 || ggml_is_quantized(t);
}

/* A matrix, or one for each expert, whose numbers llama.cpp then believes. It
 * adapts nothing else that has three dimensions (attn_k_b, ffn_up_chexps). */
static bool has_right_depth(const struct ggml_tensor *t, long experts)
{
	static const char *const deep[] = { "_b.weight", "_chexps." };
	if (strstr(t->name, "_exps."))
		return t->ne[2] == experts && t->ne[3] == 1;
	for (size_t i = 0; i < ARRAY_LEN(deep); i++)
		if (strstr(t->name, deep[i]))
			return true;
	return t->ne[2] == 1 && t->ne[3] == 1;
}

/* Of a layer's pair llama.cpp checks it; a and b of the words stand across. */
static bool has_one_rank(struct ggml_context *tensors)
{
	const struct ggml_tensor *a =
		ggml_get_tensor(tensors, "token_embd.weight.lora_a");
	const struct ggml_tensor *b =
		ggml_get_tensor(tensors, "token_embd.weight.lora_b");
	return !a || !b || a->ne[0] == b->ne[0];
}

static int check_tensors(struct ggml_context *tensors, const struct weights *w,
			 struct err *e)
{
	char value[32] = "";
	long experts = weights_meta(w, "expert_count", value, sizeof value)
			       ? strtol(value, NULL, 10)
			       : 0;
	for (struct ggml_tensor *t = ggml_get_first_tensor(tensors); t;
	     t = ggml_get_next_tensor(tensors, t)) {
		if (!is_known(t->type))
			return err_set(e, ERR_UNSUPPORTED,
				       "its tensor '%s' is of the type %s, "
				       "which is not for weights",
				       t->name, ggml_type_name(t->type));
		if (!has_right_depth(t, experts))
			return err_set(e, ERR_CORRUPT,
				       "its tensor '%s' has an incorrect shape",
				       t->name);
	}
	if (!has_one_rank(tensors))
		return err_set(e, ERR_CORRUPT,
			       "the two tensors of its token_embd.weight do "
			       "not fit each other");
	return 0;
}

int lora_file_check(const char *path, const struct weights *w, struct err *e)
{
	auto_(gguf_file) head = NULL;
	struct ggml_context *tensors = NULL;
	struct gguf_init_params p = { .no_alloc = true, .ctx = &tensors };
	if (weights_read_head(path, &head, e) || check_kind(head, w, e))
		return -1;
	struct gguf_context *g = gguf_init_from_file(path, p);
	if (!g)
		return weights_complaint(ERR_CORRUPT, e);
	int rc = check_types(g, e) || check_tensors(tensors, w, e) ? -1 : 0;
	ggml_free(tensors);
	gguf_free(g);
	return rc;
}
