/* panel_op.cpp - products by panels as an operation of ggml, and the buffers
 * that hold the packed weights. */
#include "llama/cpu_own.h"
#include "llama/panel.h"

#include <algorithm>

namespace
{
const struct kind {
	ggml_type theirs;
	panel_type ours;
} kinds[] = {
	{ GGML_TYPE_Q4_0, PANEL_Q4_0 }, { GGML_TYPE_Q4_1, PANEL_Q4_1 },
	{ GGML_TYPE_Q5_0, PANEL_Q5_0 }, { GGML_TYPE_Q5_1, PANEL_Q5_1 },
	{ GGML_TYPE_Q8_0, PANEL_Q8_0 }, { GGML_TYPE_Q4_K, PANEL_Q4_K },
	{ GGML_TYPE_Q5_K, PANEL_Q5_K }, { GGML_TYPE_Q6_K, PANEL_Q6_K },
	{ GGML_TYPE_F16, PANEL_F16 },
};

/* NULL: it is not packed. */
const kind *kind_of(const ggml_tensor *t)
{
	for (const kind &k : kinds)
		if (k.theirs == t->type)
			return &k;
	return nullptr;
}

/* ---- one product ---- */

struct product {
	panel_type type;
	size_t n;	 /* columns of the weights */
	size_t n_panels; /* and their rows, by 16 */
	size_t n_tokens;
	const ggml_tensor *weights, *x, *out;

	explicit product(const ggml_tensor *op)
	    : type(kind_of(op->src[0])->ours), n((size_t)op->src[0]->ne[0]),
	      n_panels((size_t)op->src[0]->ne[1] / PANEL_ROWS),
	      n_tokens((size_t)ggml_nrows(op->src[1])), weights(op->src[0]),
	      x(op->src[1]), out(op)
	{
	}

	const float *row(size_t i) const
	{
		auto n1 = (size_t)x->ne[1], n2 = (size_t)x->ne[2];
		return (const float *)((const char *)x->data +
				       i % n1 * x->nb[1] +
				       i / n1 % n2 * x->nb[2] +
				       i / n1 / n2 * x->nb[3]);
	}

	/* A share of the activations' blocks. */
	void quantize(char *tokens, size_t first, size_t end) const
	{
		size_t each = n / PANEL_BLOCK;
		while (first < end) {
			size_t i = first / each, from = first % each;
			size_t to = std::min(each, from + end - first);
			panel_quantize(type, row(i), n, from, to,
				       tokens + i * panel_token_bytes(type, n));
			first += to - from;
		}
	}

	/* Part i of n of the panels, with some of the tokens. */
	void multiply(const char *tokens, size_t first, size_t end, size_t i,
		      size_t n_parts) const
	{
		size_t from = n_panels * i / n_parts;
		size_t to = n_panels * (i + 1) / n_parts;
		panel_multiply(panel_way(), type, n,
			       (const char *)weights->data +
				       from * panel_bytes(type, n),
			       to - from,
			       tokens + first * panel_token_bytes(type, n),
			       end - first,
			       (float *)out->data +
				       (first * n_panels + from) * PANEL_ROWS,
			       n_panels * PANEL_ROWS);
	}
};

/* Parts for each thread: one that is kept from its core leaves some to the
 * others. And so many bytes of tokens at a time as a core's own cache holds
 * while the panels pass by. */
const size_t PARTS = 4, TOKEN_BYTES = 256 << 10;
/* A multiple of all numbers of tokens that are multiplied at once. */
const size_t TOKENS_STEP = 24;

class traits : public ggml::cpu::tensor_traits
{
	bool work_size(int, const ggml_tensor *op, size_t &size) override
	{
		product p(op);
		size = p.n_tokens * panel_token_bytes(p.type, p.n) + 64;
		return true;
	}

	bool compute_forward(ggml_compute_params *params,
			     ggml_tensor *op) override
	{
		product p(op);
		auto ith = (size_t)params->ith, nth = (size_t)params->nth;
		auto *tokens = (char *)(((uintptr_t)params->wdata + 63) &
					~(uintptr_t)63);
		size_t blocks = p.n_tokens * (p.n / PANEL_BLOCK);
		p.quantize(tokens, blocks * ith / nth,
			   blocks * (ith + 1) / nth);
		if (ith == 0)
			cpu_own_ggml.chunk_set(params->threadpool, (int)nth);
		cpu_own_ggml.barrier(params->threadpool);
		size_t step = TOKEN_BYTES / panel_token_bytes(p.type, p.n) /
			      TOKENS_STEP * TOKENS_STEP;
		step = std::max(step, TOKENS_STEP);
		size_t parts = std::min(p.n_panels, nth * PARTS);
		size_t n = (p.n_tokens + step - 1) / step * parts;
		for (size_t i = ith; i < n;
		     i = (size_t)cpu_own_ggml.chunk_add(params->threadpool, 1))
			p.multiply(tokens, i / parts * step,
				   std::min((i / parts + 1) * step, p.n_tokens),
				   i % parts, parts);
		return true;
	}
};

/* ---- the buffers ---- */

void set_tensor(ggml_backend_buffer_t, ggml_tensor *t, const void *data,
		size_t offset, size_t size)
{
	const kind *k = kind_of(t);
	GGML_ASSERT(offset == 0 && size == ggml_nbytes(t) && k);
	size_t each = PANEL_ROWS * t->nb[1];
	for (size_t at = 0; at < size; at += each)
		panel_pack(k->ours, (size_t)t->ne[0], (const char *)data + at,
			   (char *)t->data + at);
}

const char *get_name(ggml_backend_buffer_type_t)
{
	return "panels";
}

ggml_backend_buffer_t alloc_buffer(ggml_backend_buffer_type_t type, size_t size)
{
	ggml_backend_buffer_t b = ggml_backend_buft_alloc_buffer(
		ggml_backend_cpu_buffer_type(), size);
	if (!b)
		return nullptr;
	b->buft = type;
	b->iface.set_tensor = set_tensor;
	b->iface.get_tensor = nullptr;
	b->iface.cpy_tensor = nullptr;
	return b;
}

size_t get_alignment(ggml_backend_buffer_type_t)
{
	return 64;
}

} // namespace

ggml_backend_buffer_type_t panel_op_buffers()
{
	static ggml_backend_buffer_type type = {
		{ get_name, alloc_buffer, get_alignment, nullptr, nullptr,
		  nullptr },
		ggml_backend_dev_by_type(GGML_BACKEND_DEVICE_TYPE_CPU),
		nullptr,
	};
	return &type;
}

static bool is_ours(const ggml_tensor *op)
{
	return op->op == GGML_OP_MUL_MAT && op->src[0]->buffer &&
	       op->src[0]->buffer->buft == panel_op_buffers();
}

bool panel_op_suits(const ggml_tensor *op)
{
	if (!is_ours(op))
		return false;
	const ggml_tensor *w = op->src[0], *x = op->src[1];
	const kind *k = kind_of(w);
	return k && panel_suits(panel_way(), k->ours) && ggml_n_dims(w) == 2 &&
	       w->ne[1] % PANEL_ROWS == 0 && x->type == GGML_TYPE_F32 &&
	       x->nb[0] == sizeof(float) &&
	       (!x->buffer || ggml_backend_buft_is_host(x->buffer->buft));
}

ggml::cpu::tensor_traits *panel_op(const ggml_tensor *op)
{
	static traits the_traits;
	return is_ours(op) ? &the_traits : nullptr;
}
