/* attend_op.cpp - attention (attend.h) as an operation of ggml. It is shared
 * out by tokens; where these are few, also by parts of what each sees. */
#include "llama/attend.h"
#include "llama/cpu_own.h"

#include <algorithm>
#include <cstring>

namespace
{
/* From so many tokens on ggml takes them by tiles of the whole mask, which is
 * faster if they see much of it: if not, most of a tile is for nothing. */
const size_t TILED_TOKENS = 64, TILED_SHARE = 4;
/* Parts for each thread: one that is kept from its core leaves some to the
 * others. */
const size_t PARTS = 4;
/* Cells of a part are not fewer. */
const size_t PART_CELLS = 64;
const size_t MOST_PARTS = 64, MOST_HEADS = 64; /* that share keys */

struct attention {
	const ggml_tensor *q, *k, *v, *mask, *out;
	size_t n, n_cells, n_tokens, n_streams, n_heads, n_key_heads, n_group;
	float scale;

	explicit attention(const ggml_tensor *op)
	    : q(op->src[0]), k(op->src[1]), v(op->src[2]), mask(op->src[3]),
	      out(op), n((size_t)k->ne[0]), n_cells((size_t)k->ne[1]),
	      n_tokens((size_t)q->ne[1]), n_streams((size_t)q->ne[3]),
	      n_heads((size_t)q->ne[2]), n_key_heads((size_t)k->ne[2]),
	      n_group(n_heads / n_key_heads)
	{
		memcpy(&scale, op->op_params, sizeof scale);
	}

	const uint16_t *seen_by(size_t token, size_t stream) const
	{
		return (const uint16_t *)((const char *)mask->data +
					  token * mask->nb[1] +
					  stream % (size_t)mask->ne[3] *
						  mask->nb[3]);
	}

	const float *query(size_t head, size_t token, size_t stream) const
	{
		return (const float *)((const char *)q->data +
				       token * q->nb[1] + head * q->nb[2] +
				       stream * q->nb[3]);
	}

	float *answer(size_t head, size_t token, size_t stream) const
	{
		return (float *)((char *)out->data + head * out->nb[1] +
				 token * out->nb[2] + stream * out->nb[3]);
	}

	static attend_rows rows(const ggml_tensor *t, size_t head,
				size_t stream)
	{
		return { (const char *)t->data + head * t->nb[2] +
				 stream * t->nb[3],
			 t->nb[1] };
	}

	/* A few tokens stand for all. */
	bool sees_little(uint32_t *cells, float *bias) const
	{
		size_t seen = 0, step = std::max(n_tokens / 8, (size_t)1),
		       looked = 0;
		for (size_t i = 0; i < n_tokens; i += step, looked += n_cells)
			seen += attend_seen(seen_by(i, 0), 0, n_cells, cells,
					    bias);
		return seen * TILED_SHARE < looked;
	}
};

/* Where the parts' answers are until they are joined, and what each thread
 * works in. */
struct workspace {
	size_t n_parts; /* of one token */
	size_t each;	/* floats of a part: values, most and sum per head */
	size_t private_bytes;
	size_t bytes;

	workspace(const attention &a, size_t nth)
	{
		size_t tokens = a.n_tokens * a.n_streams;
		n_parts = std::min((nth * PARTS + tokens - 1) / tokens,
				   (a.n_cells + PART_CELLS - 1) / PART_CELLS);
		if (nth == 1 || tokens >= nth * PARTS || n_parts == 0)
			n_parts = 1;
		n_parts = std::min(n_parts, MOST_PARTS);
		each = a.n_heads * (a.n + 2);
		private_bytes = a.n_cells * (sizeof(uint32_t) + sizeof(float));
		if (n_parts == 1)
			private_bytes += each * sizeof(float);
		private_bytes = (private_bytes + 63) & ~(size_t)63;
		bytes = nth * private_bytes;
		if (n_parts > 1)
			bytes += tokens * n_parts * each * sizeof(float);
	}
};

/* What one thread does of one operation. */
struct work {
	const attention a;
	const workspace space;
	uint32_t *cells; /* this thread's */
	float *bias, *own, *shared;

	work(const ggml_tensor *op, const ggml_compute_params *params);
	bool is_fit(const ggml_compute_params *params) const;
	void run(const ggml_compute_params *params) const;
	void compute(size_t token, size_t stream, size_t i, float *at) const;
	void join(size_t token, size_t stream, float *at) const;

	attend_part part(float *at, size_t head) const
	{
		float *p = at + head * (a.n + 2);
		return { p, p[a.n], p[a.n + 1] };
	}
};

work::work(const ggml_tensor *op, const ggml_compute_params *params)
    : a(op), space(a, (size_t)params->nth)
{
	char *base = (char *)params->wdata +
		     (size_t)params->ith * space.private_bytes;
	cells = (uint32_t *)base;
	bias = (float *)(cells + a.n_cells);
	own = bias + a.n_cells;
	shared = (float *)((char *)params->wdata +
			   (size_t)params->nth * space.private_bytes);
}

bool work::is_fit(const ggml_compute_params *params) const
{
	return space.bytes <= params->wsize &&
	       (a.n_tokens < TILED_TOKENS || a.sees_little(cells, bias));
}

/* All heads of one token, and of what it sees one part. */
void work::compute(size_t token, size_t stream, size_t i, float *at) const
{
	const float *queries[MOST_HEADS];
	attend_part parts[MOST_HEADS];
	size_t seen = attend_seen(a.seen_by(token, stream), 0, a.n_cells, cells,
				  bias);
	size_t from = seen * i / space.n_parts,
	       to = seen * (i + 1) / space.n_parts;
	for (size_t h = 0; h < a.n_key_heads; h++) {
		attend_ask ask = { a.n,
				   a.n_group,
				   a.scale,
				   a.rows(a.k, h, stream),
				   a.rows(a.v, h, stream),
				   cells + from,
				   bias + from,
				   to - from };
		for (size_t j = 0; j < a.n_group; j++) {
			queries[j] = a.query(h * a.n_group + j, token, stream);
			parts[j] = part(at, h * a.n_group + j);
		}
		attend(&ask, queries, parts);
		for (size_t j = 0; j < a.n_group; j++) {
			parts[j].values[a.n] = parts[j].most;
			parts[j].values[a.n + 1] = parts[j].sum;
		}
	}
}

void work::join(size_t token, size_t stream, float *at) const
{
	attend_part parts[MOST_PARTS];
	for (size_t h = 0; h < a.n_heads; h++) {
		for (size_t i = 0; i < space.n_parts; i++)
			parts[i] = part(at + i * space.each, h);
		attend_join(parts, space.n_parts, a.n,
			    a.answer(h, token, stream));
	}
}

void work::run(const ggml_compute_params *params) const
{
	size_t tokens = a.n_tokens * a.n_streams;
	size_t n = tokens * space.n_parts;
	if (params->ith == 0)
		cpu_own_ggml.chunk_set(params->threadpool, params->nth);
	cpu_own_ggml.barrier(params->threadpool);
	for (size_t i = (size_t)params->ith; i < n;
	     i = (size_t)cpu_own_ggml.chunk_add(params->threadpool, 1)) {
		size_t token = i / space.n_parts;
		float *at = space.n_parts == 1 ? own : shared + i * space.each;
		compute(token % a.n_tokens, token / a.n_tokens,
			i % space.n_parts, at);
		if (space.n_parts == 1)
			join(token % a.n_tokens, token / a.n_tokens, at);
	}
	if (space.n_parts == 1)
		return;
	cpu_own_ggml.barrier(params->threadpool);
	for (size_t i = (size_t)params->ith; i < tokens;
	     i += (size_t)params->nth)
		join(i % a.n_tokens, i / a.n_tokens,
		     shared + i * space.n_parts * space.each);
}

class traits : public ggml::cpu::tensor_traits
{
	/* What ggml itself takes for tiles is enough for these. */
	bool work_size(int n_threads, const ggml_tensor *op,
		       size_t &size) override
	{
		attention a(op);
		if (a.n_tokens >= TILED_TOKENS)
			return false;
		size = workspace(a, (size_t)n_threads).bytes;
		return true;
	}

	bool compute_forward(ggml_compute_params *params,
			     ggml_tensor *op) override
	{
		work w(op, params);
		if (!w.is_fit(params))
			return false;
		w.run(params);
		return true;
	}
};

bool is_suited(const ggml_tensor *op)
{
	const ggml_tensor *q = op->src[0], *k = op->src[1], *v = op->src[2],
			  *mask = op->src[3];
	float params[3]; /* scale, and two that few models have */
	memcpy(params, op->op_params, sizeof params);
	return mask && !op->src[4] && params[1] == 0 && params[2] == 0 &&
	       q->type == GGML_TYPE_F32 && k->type == GGML_TYPE_F16 &&
	       v->type == GGML_TYPE_F16 && mask->type == GGML_TYPE_F16 &&
	       q->nb[0] == sizeof(float) && k->nb[0] == 2 && v->nb[0] == 2 &&
	       k->ne[0] == v->ne[0] && attend_suits((size_t)k->ne[0]) &&
	       mask->ne[2] == 1 && q->ne[3] == k->ne[3] &&
	       q->ne[3] == v->ne[3] && k->ne[2] == v->ne[2] &&
	       q->ne[2] % k->ne[2] == 0 &&
	       q->ne[2] / k->ne[2] <= (int64_t)MOST_HEADS;
}
} // namespace

ggml::cpu::tensor_traits *attend_op(const ggml_tensor *op)
{
	static traits the_traits;
	return is_suited(op) ? &the_traits : nullptr;
}
