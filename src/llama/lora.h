/* lora.h - LoRA adapters: small files, each of which changes how the model
 * answers. They are named at the start; a request chooses how much of which.
 *
 * An adapter's number is its place among those given, from 0. All of it is the
 * loop thread's, but lora_apply(). */
#pragma once
#include "base/err.h"
#include "base/json.h"
#include "base/limits.h"

struct llama_context;
struct lora;
struct weights;
struct writer;

/* How much of each adapter, by number; all zero is the model alone. A plain
 * value: two are the same when their bytes are. */
struct lora_scales {
	float of[LIMIT_LORA_ADAPTERS];
};
bool lora_same(const struct lora_scales *a, const struct lora_scales *b);

/* None yet. */
struct lora *lora_new(void);
void lora_free(struct lora *l);
BASE_AUTO(lora);

/* Adds what an option says: "[NAME=]PATH", or "[NAME=]PATH:SCALE" if it
 * `has_scale` (else it is 1). The scale holds for requests that do not say.
 * Without a name, the file's without ".gguf". Reads no file. -1 is ERR_USAGE.
 */
must_use int lora_add(struct lora *l, const char *text, bool has_scale,
		      struct err *e);
size_t lora_count(const struct lora *l);
const char *lora_path(const struct lora *l, size_t i);

/* Reads the files, each by model/gguf.c first; before a context is made, which
 * counts them. They become the model's and go with it. -1 names the adapter:
 * ERR_UNSUPPORTED (not one, or for another model), ERR_CORRUPT, ERR_NOT_FOUND,
 * ERR_MEMORY. */
must_use int lora_load(struct lora *l, const struct weights *w, struct err *e);

/* Reads a request's field "lora" (NULL: those of the start):
 * [{"id":0,"scale":0.5}] as llama-server takes it, or by "name". What is not in
 * it is not used. -1 says what is wrong with which of them. */
must_use int lora_read(const struct lora *l, const json_t *given,
		       struct lora_scales *out, struct err *e);
/* The list, as GET /lora-adapters shows it. */
void lora_put(const struct lora *l, struct writer *w);

/* What the context computes from now on is with these. Costs as much as a few
 * tokens if they are others than before. */
void lora_apply(const struct lora *l, struct llama_context *ctx,
		const struct lora_scales *s);
