/* panel_experts.cpp - of several packed matrices, each token is multiplied with
 * some that it names: its experts. What falls to one is gathered, so that its
 * weights are read once for all of its tokens. */
#include "llama/panel_op.h"

#include <algorithm>
#include <cstring>

namespace
{
/* Panels at a time: what panel_multiply() takes together. */
const size_t PAIR = 2;

/* What a thread has of ggml's workspace; the arrays from `first` on are
 * everybody's, and thread 0 makes them. */
struct experts : panel_product {
	const ggml_tensor *ids;
	size_t n_used, n_ids, n_experts;
	char *tokens; /* as they are */
	char *gathered;
	float *sums;
	int32_t *first;	 /* of each expert in `list`, and the end */
	int32_t *list;	 /* where it was named, expert by expert */
	int32_t *active; /* the experts that somebody named, and their number */

	experts(const ggml_tensor *op, void *memory, size_t n_threads,
		size_t i);
	static size_t bytes(const ggml_tensor *op, size_t n_threads);
	void sort() const;
	/* Part i of n of an expert's panels. */
	void multiply(size_t e, size_t i, size_t n_parts) const;

      private:
	size_t expert(size_t i) const;
	const char *token(size_t i) const;
	float *answer(size_t i) const;
	const char *gather(const int32_t *who, size_t n_who) const;
	void multiply(const int32_t *who, size_t n_who, size_t e, size_t from,
		      size_t to) const;
};

experts::experts(const ggml_tensor *op, void *memory, size_t n_threads,
		 size_t i)
    : panel_product(op), ids(op->src[2]), n_used((size_t)ids->ne[0]),
      n_ids((size_t)ggml_nelements(ids)), n_experts((size_t)weights->ne[2])
{
	size_t own = PANEL_TOKENS *
		     (token_bytes + PAIR * PANEL_ROWS * sizeof(float));
	char *at = panel_aligned(memory);
	tokens = at;
	at += n_tokens * token_bytes;
	gathered = at + i * own;
	sums = (float *)(gathered + PANEL_TOKENS * token_bytes);
	first = (int32_t *)(at + n_threads * own);
	list = first + n_experts + 1;
	active = list + n_ids;
}

size_t experts::bytes(const ggml_tensor *op, size_t n_threads)
{
	auto *somewhere = (char *)64;
	experts e(op, somewhere, n_threads, 0);
	return (size_t)((char *)(e.active + e.n_experts + 1) - somewhere) + 64;
}

/* The i-th that was named, and for whom. */
size_t experts::expert(size_t i) const
{
	const char *at = (const char *)ids->data + i / n_used * ids->nb[1] +
			 i % n_used * ids->nb[0];
	auto e = (size_t) * (const int32_t *)at;
	GGML_ASSERT(e < n_experts);
	return e;
}

/* Each has its own activations, or all of a token's share them. */
const char *experts::token(size_t i) const
{
	auto each = (size_t)x->ne[1];
	return tokens + (i / n_used * each + i % n_used % each) * token_bytes;
}

float *experts::answer(size_t i) const
{
	return (float *)((char *)out->data + i / n_used * out->nb[2] +
			 i % n_used * out->nb[1]);
}

/* Who was named where. */
void experts::sort() const
{
	int32_t &n_active = active[n_experts] = 0;
	std::fill(first, first + n_experts + 1, 0);
	for (size_t i = 0; i < n_ids; i++)
		first[expert(i) + 1]++;
	for (size_t e = 0; e < n_experts; e++) {
		if (first[e + 1])
			active[n_active++] = (int32_t)e;
		first[e + 1] += first[e];
	}
	/* `first` moves on to the next one's, and back. */
	for (size_t i = 0; i < n_ids; i++)
		list[first[expert(i)]++] = (int32_t)i;
	for (size_t e = n_experts; e-- > 0;)
		first[e + 1] = first[e];
	first[0] = 0;
}

/* One behind the other. */
const char *experts::gather(const int32_t *who, size_t n_who) const
{
	if (n_who == 1)
		return token((size_t)who[0]);
	for (size_t i = 0; i < n_who; i++)
		std::memcpy(gathered + i * token_bytes, token((size_t)who[i]),
			    token_bytes);
	return gathered;
}

/* Some panels with up to PANEL_TOKENS of their tokens. */
void experts::multiply(const int32_t *who, size_t n_who, size_t e, size_t from,
		       size_t to) const
{
	const char *together = gather(who, n_who);
	for (size_t j = from; j < to; j += PAIR) {
		size_t n_some = std::min(PAIR, to - j);
		size_t rows = n_some * PANEL_ROWS;
		panel_multiply(panel_way(), type, n, panel(e * n_panels + j),
			       n_some, together, n_who, sums, rows);
		for (size_t i = 0; i < n_who; i++)
			std::memcpy(answer((size_t)who[i]) + j * PANEL_ROWS,
				    sums + i * rows, rows * sizeof *sums);
	}
}

void experts::multiply(size_t e, size_t i, size_t n_parts) const
{
	auto end = (size_t)first[e + 1];
	for (auto at = (size_t)first[e]; at < end; at += PANEL_TOKENS)
		multiply(list + at, std::min(PANEL_TOKENS, end - at), e,
			 n_panels * i / n_parts, n_panels * (i + 1) / n_parts);
}

class traits : public ggml::cpu::tensor_traits
{
	bool work_size(int n_threads, const ggml_tensor *op,
		       size_t &size) override
	{
		size = experts::bytes(op, (size_t)n_threads);
		return true;
	}

	bool compute_forward(ggml_compute_params *params,
			     ggml_tensor *op) override
	{
		auto ith = (size_t)params->ith, nth = (size_t)params->nth;
		experts e(op, params->wdata, nth, ith);
		e.quantize(e.tokens, ith, nth);
		if (ith == 0)
			e.sort();
		cpu_own_meet(params);
		auto n_active = (size_t)e.active[e.n_experts];
		size_t parts = std::min(e.n_panels, nth * PANEL_PARTS);
		cpu_own_share(params, n_active * parts, [&](size_t i) {
			e.multiply((size_t)e.active[i / parts], i % parts,
				   parts);
		});
		return true;
	}
};
} // namespace

ggml::cpu::tensor_traits *panel_experts()
{
	static traits the_traits;
	return &the_traits;
}
