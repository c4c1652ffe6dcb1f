/* panel_op.h - what the operations of ggml that multiply by panels (panel.h)
 * have in common. C++. */
#pragma once
#include "llama/cpu_own.h"
#include "llama/panel.h"

struct panel_kind {
	ggml_type theirs;
	panel_type ours;
};
/* NULL: its type is not packed. */
const panel_kind *panel_kind_of(const ggml_tensor *t);

/* Parts of the panels for each thread: one that is kept from its core leaves
 * some to the others. */
const size_t PANEL_PARTS = 4;
/* A multiple of all numbers of tokens that are multiplied at once. */
const size_t PANEL_TOKENS = 24;

/* One product: packed weights, of one matrix or several, and rows of floats,
 * each of which is a token. */
struct panel_product {
	panel_type type;
	size_t n;	 /* columns of the weights */
	size_t n_panels; /* and their rows, by 16 */
	size_t n_tokens, token_bytes;
	const ggml_tensor *weights, *x, *out;

	explicit panel_product(const ggml_tensor *op);

	/* Thread i of n makes its share of the tokens, one behind the other. */
	void quantize(char *tokens, size_t i, size_t n_threads) const;

	const char *panel(size_t i) const
	{
		return (const char *)weights->data + i * panel_bytes(type, n);
	}
};

/* The first address for them in a workspace, which has 63 bytes more. */
static inline char *panel_aligned(void *p)
{
	return (char *)(((uintptr_t)p + 63) & ~(uintptr_t)63);
}

/* panel_experts.cpp: GGML_OP_MUL_MAT_ID */
ggml::cpu::tensor_traits *panel_experts();
