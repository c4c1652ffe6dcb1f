/* attend_op.cpp - attention (attend.h) as an operation of ggml. It is shared
 * out by tokens; where these are few, also by heads and by parts of what each
 * sees. The parts are the same whoever computes them: what comes of a token
 * depends neither on the number of threads nor on the tokens beside it. */
#include "llama/attend.h"
#include "llama/cpu_own.h"

#include <algorithm>
#include <cstring>

namespace
{
/* From so many tokens on ggml can take them by tiles of the mask. That is
 * faster if they see very many cells (at 2,000 a prompt takes a quarter less,
 * at 500 a tenth) and most of a tile is not for nothing; but it rounds
 * otherwise, and an answer should not depend on what of its prompt was cached.
 */
const size_t TILED_TOKENS = 64, TILED_CELLS = 4096, TILED_SHARE = 4;
/* The side of a tile, as ggml's plan of its work has it. */
const size_t TILE = 64;
/* Fewer tokens for each thread are shared out by parts. */
const size_t TOKENS_EACH = 4;
const size_t PART_CELLS = 256;
const size_t MOST_HEADS = 64; /* that share keys */

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
	bool sees_very_much(uint32_t *cells, float *bias) const;
};

bool attention::sees_very_much(uint32_t *cells, float *bias) const
{
	size_t most = 0, all = 0, looked = 0;
	size_t step = std::max(n_tokens / 8, (size_t)1);
	for (size_t i = n_tokens; i > 0; i -= std::min(i, step)) {
		size_t sees =
			attend_seen(seen_by(i - 1, 0), 0, n_cells, cells, bias);
		most = std::max(most, sees);
		all += sees;
		looked += n_cells;
	}
	return most > TILED_CELLS && all * TILED_SHARE >= looked;
}

/* Each thread's lists and room for two answers, then those of all parts. */
struct workspace {
	bool by_parts;
	size_t n_parts; /* of one token, at most */
	size_t each;	/* floats of an answer: values, most and sum per head */
	size_t private_bytes;
	size_t bytes;

	workspace(const attention &a, size_t nth)
	{
		size_t tokens = a.n_tokens * a.n_streams;
		by_parts = nth > 1 && tokens < nth * TOKENS_EACH;
		n_parts = (a.n_cells + PART_CELLS - 1) / PART_CELLS;
		each = a.n_heads * (a.n + 2);
		private_bytes = a.n_cells * (sizeof(uint32_t) + sizeof(float)) +
				2 * each * sizeof(float);
		private_bytes = (private_bytes + 63) & ~(size_t)63;
		bytes = nth * private_bytes;
		if (by_parts)
			bytes += tokens * n_parts * each * sizeof(float);
	}
};

/* What one thread does of one operation. */
struct work {
	const attention a;
	const workspace space;
	uint32_t *cells;
	float *bias;
	size_t seen, seen_by; /* how many are listed, and whose */
	float *total, *more, *shared;

	work(const ggml_tensor *op, const ggml_compute_params *params);
	bool is_fit(const ggml_compute_params *params) const;
	void run(const ggml_compute_params *params);
	void list(size_t token);
	void compute(size_t token, size_t head, size_t part, float *at) const;
	void whole(size_t token);
	void by_parts(size_t token);
	void join(size_t token);
	void tell(size_t token, float *at) const;

	size_t n_parts() const
	{
		return (seen + PART_CELLS - 1) / PART_CELLS;
	}

	attend_part part(float *at, size_t head) const
	{
		float *p = at + head * (a.n + 2);
		return { p, p[a.n], p[a.n + 1] };
	}

	void put(const attend_part &p) const
	{
		p.values[a.n] = p.most;
		p.values[a.n + 1] = p.sum;
	}

	void add(float *to, float *from, size_t head) const
	{
		attend_part sum = part(to, head), other = part(from, head);
		attend_add(&sum, &other, a.n);
		put(sum);
	}
};

work::work(const ggml_tensor *op, const ggml_compute_params *params)
    : a(op), space(a, (size_t)params->nth), seen(0), seen_by(SIZE_MAX)
{
	char *base = (char *)params->wdata +
		     (size_t)params->ith * space.private_bytes;
	cells = (uint32_t *)base;
	bias = (float *)(cells + a.n_cells);
	total = bias + a.n_cells;
	more = total + space.each;
	shared = (float *)((char *)params->wdata +
			   (size_t)params->nth * space.private_bytes);
}

bool work::is_fit(const ggml_compute_params *params) const
{
	return space.bytes <= params->wsize &&
	       (a.n_tokens < TILED_TOKENS || !a.sees_very_much(cells, bias));
}

/* Tokens are numbered through all streams. */
void work::list(size_t token)
{
	if (seen_by != token)
		seen = attend_seen(
			a.seen_by(token % a.n_tokens, token / a.n_tokens), 0,
			a.n_cells, cells, bias);
	seen_by = token;
}

/* The query heads that share one of keys, and one part of the listed cells. */
void work::compute(size_t token, size_t head, size_t i, float *at) const
{
	const float *queries[MOST_HEADS];
	attend_part parts[MOST_HEADS];
	size_t stream = token / a.n_tokens, from = i * PART_CELLS;
	attend_ask ask = { a.n,
			   a.n_group,
			   a.scale,
			   a.rows(a.k, head, stream),
			   a.rows(a.v, head, stream),
			   cells + from,
			   bias + from,
			   std::min(seen - from, PART_CELLS) };
	for (size_t j = 0; j < a.n_group; j++) {
		queries[j] = a.query(head * a.n_group + j, token % a.n_tokens,
				     stream);
		parts[j] = part(at, head * a.n_group + j);
	}
	attend(&ask, queries, parts);
	for (size_t j = 0; j < a.n_group; j++)
		put(parts[j]);
}

/* The listed token's answer. */
void work::tell(size_t token, float *at) const
{
	for (size_t h = 0; h < a.n_heads; h++) {
		attend_part p = part(at, h);
		if (!seen)
			p.sum = 0;
		attend_end(&p, a.n,
			   a.answer(h, token % a.n_tokens, token / a.n_tokens));
	}
}

void work::whole(size_t token)
{
	list(token);
	for (size_t i = 0; i < n_parts(); i++)
		for (size_t h = 0; h < a.n_key_heads; h++) {
			compute(token, h, i, i ? more : total);
			for (size_t j = 0; i && j < a.n_group; j++)
				add(total, more, h * a.n_group + j);
		}
	tell(token, total);
}

void work::join(size_t token)
{
	float *first = shared + token * space.n_parts * space.each;
	list(token);
	for (size_t h = 0; h < a.n_heads; h++)
		for (size_t i = 1; i < n_parts(); i++)
			add(first, first + i * space.each, h);
	tell(token, first);
}

void work::by_parts(size_t item)
{
	size_t head = item % a.n_key_heads,
	       i = item / a.n_key_heads % space.n_parts,
	       token = item / a.n_key_heads / space.n_parts;
	list(token);
	if (i < n_parts())
		compute(token, head, i,
			shared + (token * space.n_parts + i) * space.each);
}

void work::run(const ggml_compute_params *params)
{
	size_t tokens = a.n_tokens * a.n_streams, n = tokens;
	if (space.by_parts)
		n *= space.n_parts * a.n_key_heads;
	if (params->ith == 0)
		cpu_own_ggml.chunk_set(params->threadpool, params->nth);
	cpu_own_ggml.barrier(params->threadpool);
	for (size_t i = (size_t)params->ith; i < n;
	     i = (size_t)cpu_own_ggml.chunk_add(params->threadpool, 1))
		space.by_parts ? by_parts(i) : whole(i);
	if (!space.by_parts)
		return;
	cpu_own_ggml.barrier(params->threadpool);
	for (size_t i = (size_t)params->ith; i < tokens;
	     i += (size_t)params->nth)
		join(i);
}

class traits : public ggml::cpu::tensor_traits
{
	/* Enough for either way: which it is the mask will say. */
	bool work_size(int n_threads, const ggml_tensor *op,
		       size_t &size) override
	{
		attention a(op);
		size_t tiles = sizeof(float) * TILE * (4 * a.n + 2 * TILE);
		size = std::max(workspace(a, (size_t)n_threads).bytes,
				tiles * (size_t)n_threads);
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
