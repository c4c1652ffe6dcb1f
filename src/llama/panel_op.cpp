/* panel_op.cpp - products by panels as an operation of ggml, and the buffers
 * that hold the packed weights. */
#include "llama/panel_op.h"

#include <algorithm>
#include <system_error>
#include <thread>
#include <vector>

extern "C" {
#include "llama/cores.h"
}

static const panel_kind kinds[] = {
	{ GGML_TYPE_Q4_0, PANEL_Q4_0 }, { GGML_TYPE_Q4_1, PANEL_Q4_1 },
	{ GGML_TYPE_Q5_0, PANEL_Q5_0 }, { GGML_TYPE_Q5_1, PANEL_Q5_1 },
	{ GGML_TYPE_Q8_0, PANEL_Q8_0 }, { GGML_TYPE_Q4_K, PANEL_Q4_K },
	{ GGML_TYPE_Q5_K, PANEL_Q5_K }, { GGML_TYPE_Q6_K, PANEL_Q6_K },
	{ GGML_TYPE_F16, PANEL_F16 },
};

const panel_kind *panel_kind_of(const ggml_tensor *t)
{
	for (const panel_kind &k : kinds)
		if (k.theirs == t->type)
			return &k;
	return nullptr;
}

/* ---- one product ---- */

panel_product::panel_product(const ggml_tensor *op)
    : type(panel_kind_of(op->src[0])->ours), n((size_t)op->src[0]->ne[0]),
      n_panels((size_t)op->src[0]->ne[1] / PANEL_ROWS),
      n_tokens((size_t)ggml_nrows(op->src[1])),
      token_bytes(panel_token_bytes(type, n)), weights(op->src[0]),
      x(op->src[1]), out(op)
{
}

static const float *row(const ggml_tensor *x, size_t i)
{
	auto n1 = (size_t)x->ne[1], n2 = (size_t)x->ne[2];
	return (const float *)((const char *)x->data + i % n1 * x->nb[1] +
			       i / n1 % n2 * x->nb[2] + i / n1 / n2 * x->nb[3]);
}

void panel_product::quantize(char *tokens, size_t i, size_t n_threads) const
{
	size_t each = (n + PANEL_BLOCK - 1) / PANEL_BLOCK;
	size_t blocks = n_tokens * each;
	size_t first = blocks * i / n_threads;
	size_t end = blocks * (i + 1) / n_threads;
	while (first < end) {
		size_t token = first / each, from = first % each;
		size_t to = std::min(each, from + end - first);
		panel_quantize(type, row(x, token), n, from, to,
			       tokens + token * token_bytes);
		first += to - from;
	}
}

namespace
{
/* Part i of n of the panels, with some of the tokens. */
void multiply(const panel_product &p, const char *tokens, size_t first,
	      size_t end, size_t i, size_t n_parts)
{
	size_t from = p.n_panels * i / n_parts;
	size_t to = p.n_panels * (i + 1) / n_parts;
	panel_multiply(panel_way(), p.type, p.n, p.panel(from), to - from,
		       tokens + first * p.token_bytes, end - first,
		       (float *)p.out->data +
			       (first * p.n_panels + from) * PANEL_ROWS,
		       p.n_panels * PANEL_ROWS);
}

/* So many bytes of tokens at a time as a core's own cache holds while the
 * panels pass by. */
const size_t TOKEN_BYTES = 256 << 10;

class traits : public ggml::cpu::tensor_traits
{
	bool work_size(int, const ggml_tensor *op, size_t &size) override
	{
		panel_product p(op);
		size = p.n_tokens * p.token_bytes + 64;
		return true;
	}

	bool compute_forward(ggml_compute_params *params,
			     ggml_tensor *op) override
	{
		panel_product p(op);
		auto ith = (size_t)params->ith, nth = (size_t)params->nth;
		char *tokens = panel_aligned(params->wdata);
		p.quantize(tokens, ith, nth);
		cpu_own_meet(params);
		size_t step = TOKEN_BYTES / p.token_bytes / PANEL_TOKENS *
			      PANEL_TOKENS;
		step = std::max(step, PANEL_TOKENS);
		size_t parts = std::min(p.n_panels, nth * PANEL_PARTS);
		size_t n = (p.n_tokens + step - 1) / step * parts;
		cpu_own_share(params, n, [&](size_t i) {
			size_t first = i / parts * step;
			multiply(p, tokens, first,
				 std::min(first + step, p.n_tokens), i % parts,
				 parts);
		});
		return true;
	}
};

/* ---- the buffers ---- */

/* Bytes that a thread packs in about the time that it takes to start one. */
const size_t WORTH_A_THREAD = 512 << 10;
const int MOST_THREADS = 16;

void pack(const ggml_tensor *t, const void *data, size_t from, size_t to)
{
	for (size_t each = PANEL_ROWS * t->nb[1]; from < to; from += each)
		panel_pack(panel_kind_of(t)->ours, (size_t)t->ne[0],
			   (const char *)data + from, (char *)t->data + from);
}

/* A start waits for it, and as long for the kernel, which clears the memory:
 * each core does a part. */
void set_tensor(ggml_backend_buffer_t, ggml_tensor *t, const void *data,
		size_t offset, size_t size)
{
	GGML_ASSERT(offset == 0 && size == ggml_nbytes(t) && panel_kind_of(t));
	size_t each = PANEL_ROWS * t->nb[1], n = size / each;
	size_t n_parts =
		std::min({ n, size / WORTH_A_THREAD + 1,
			   (size_t)std::min(cores_usable(), MOST_THREADS) });
	std::vector<std::thread> others;
	auto part = [&](size_t i) {
		pack(t, data, n * i / n_parts * each,
		     n * (i + 1) / n_parts * each);
	};
	for (size_t i = 1; i < n_parts; i++) {
		try {
			others.emplace_back(part, i);
		} catch (const std::system_error &) {
			part(i); /* no thread can be had */
		}
	}
	part(0);
	for (std::thread &other : others)
		other.join();
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
	return (op->op == GGML_OP_MUL_MAT || op->op == GGML_OP_MUL_MAT_ID) &&
	       op->src[0]->buffer &&
	       op->src[0]->buffer->buft == panel_op_buffers();
}

bool panel_op_suits(const ggml_tensor *op)
{
	if (!is_ours(op))
		return false;
	const ggml_tensor *w = op->src[0], *x = op->src[1];
	const panel_kind *k = panel_kind_of(w);
	return k && panel_suits(panel_way(), k->ours) &&
	       (op->op == GGML_OP_MUL_MAT_ID || ggml_n_dims(w) == 2) &&
	       w->ne[1] % PANEL_ROWS == 0 && x->type == GGML_TYPE_F32 &&
	       x->nb[0] == sizeof(float) &&
	       (!x->buffer || ggml_backend_buft_is_host(x->buffer->buft));
}

ggml::cpu::tensor_traits *panel_op(const ggml_tensor *op)
{
	static traits the_traits;
	return !is_ours(op)		      ? nullptr
	       : op->op == GGML_OP_MUL_MAT_ID ? panel_experts()
					      : &the_traits;
}
