/* attend_op.cpp - attention (attend.h) as an operation of ggml. Tokens are
 * taken by blocks, so that those in a row that see nearly the same share the
 * work on it. Where tokens are few, threads share them out also by heads and by
 * parts of what each sees. The parts are the same whoever computes them: what
 * comes of a token depends neither on the number of threads nor on the tokens
 * beside it. */
#include "llama/attend.h"
#include "llama/attend_run.h"
#include "llama/cpu_own.h"

#include <algorithm>
#include <cstring>

namespace
{
/* Fewer tokens for each thread are shared out by parts, as long as these take
 * no more bytes: of many tokens and many cells they would be gigabytes. */
const size_t TOKENS_EACH = 4, PARTS_BYTES = 128 << 20;
/* Blocks for each thread, as some take longer; and, of parts, heads. */
const size_t BLOCKS_EACH = 4, HEADS_EACH = 2;
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

	/* The rows of a mask from a token on. */
	attend_masks masks(size_t token, size_t stream) const
	{
		return { (const char *)mask->data + token * mask->nb[1] +
				 stream % (size_t)mask->ne[3] * mask->nb[3],
			 mask->nb[1], n_cells };
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
};

/* What each thread has of its own: a run, room for scores, and two answers of
 * each query. Then the answers of all parts. */
struct workspace {
	bool by_parts;
	size_t block;	/* tokens, at most */
	size_t n_parts; /* of one token, at most */
	size_t each;	/* floats of a part: values, most and sum per head */
	size_t run_bytes, private_bytes, bytes;

	workspace(const attention &a, size_t nth)
	{
		size_t tokens = a.n_tokens * a.n_streams, queries;
		block = std::max(
			std::min(ATTEND_QUERIES / a.n_group, a.n_tokens),
			(size_t)1);
		queries = block * a.n_group;
		n_parts = (a.n_cells + ATTEND_PART - 1) / ATTEND_PART;
		each = a.n_heads * (a.n + 2);
		size_t parts_bytes = tokens * n_parts * each * sizeof(float);
		by_parts = nth > 1 && tokens < nth * TOKENS_EACH &&
			   parts_bytes <= PARTS_BYTES;
		run_bytes = attend_run_room(block, a.n_cells);
		private_bytes = run_bytes + queries *
						    (ATTEND_WINDOW + 2 * a.n) *
						    sizeof(float);
		bytes = nth * private_bytes + (by_parts ? parts_bytes : 0);
	}
};

/* What one thread does of one operation. Blocks are numbered through all
 * streams. */
struct work {
	const attention a;
	const workspace space;
	size_t block, n_blocks; /* tokens of one, and blocks of a stream */
	void *run_room;
	attend_run run;
	size_t listed; /* the block whose run it is, by parts */
	float *room, *total, *more, *shared;

	work(const ggml_tensor *op, const ggml_compute_params *params);
	void go(const ggml_compute_params *params);
	size_t tokens_for(size_t nth);
	void list(size_t token, size_t stream, size_t most);
	void compute(size_t token, size_t stream, size_t head, size_t part,
		     attend_part *out);
	void answers(size_t token, size_t stream, size_t head);
	void whole(size_t item);
	void list_block(size_t item);
	void by_parts(size_t item);
	void join(size_t item);
	void share(size_t n_items, void (work::*one)(size_t),
		   const ggml_compute_params *params);

	size_t first_of(size_t item) const
	{
		return item % n_blocks * block;
	}

	size_t tokens_of(size_t item) const
	{
		return std::min(a.n_tokens - first_of(item), block);
	}

	/* The query heads that share keys, of all tokens of the run. */
	size_t n_queries() const
	{
		return run.n_tokens * a.n_group;
	}

	float *shared_part(size_t token, size_t stream, size_t part,
			   size_t head) const
	{
		return shared +
		       ((stream * a.n_tokens + token) * space.n_parts + part) *
			       space.each +
		       head * (a.n + 2);
	}
};

work::work(const ggml_tensor *op, const ggml_compute_params *params)
    : a(op), space(a, (size_t)params->nth), listed(SIZE_MAX)
{
	char *base = (char *)params->wdata +
		     (size_t)params->ith * space.private_bytes;
	size_t queries = space.block * a.n_group;
	run_room = base;
	room = (float *)(base + space.run_bytes);
	total = room + queries * ATTEND_WINDOW;
	more = total + queries * a.n;
	shared = (float *)((char *)params->wdata +
			   (size_t)params->nth * space.private_bytes);
	block = std::clamp(tokens_for((size_t)params->nth), (size_t)1,
			   space.block);
	n_blocks = (a.n_tokens + block - 1) / block;
}

/* Tokens of a block. By parts, each has one run, which is listed once for many
 * parts: of one token, if not all make one. */
size_t work::tokens_for(size_t nth)
{
	size_t tokens = a.n_tokens * a.n_streams;
	if (nth == 1)
		return space.block;
	if (!space.by_parts)
		return tokens / (nth * BLOCKS_EACH);
	list(0, 0, space.block);
	return run.n_tokens == tokens
		       ? tokens * a.n_key_heads / (nth * HEADS_EACH)
		       : 1;
}

void work::list(size_t token, size_t stream, size_t most)
{
	attend_masks masks = a.masks(token, stream);
	attend_run_make(&run, &masks, most, run_room);
}

/* A part of what the run sees, for the query heads that share one of keys. Its
 * first token is given. */
void work::compute(size_t token, size_t stream, size_t head, size_t part,
		   attend_part *out)
{
	attend_query queries[ATTEND_QUERIES];
	uint32_t seen[ATTEND_QUERIES][ATTEND_WORDS];
	size_t from = part * ATTEND_PART, n = 0;
	attend_ask ask = { a.n,
			   a.scale,
			   a.rows(a.k, head, stream),
			   a.rows(a.v, head, stream),
			   run.cells + from,
			   run.bias ? run.bias + from : nullptr,
			   std::min(run.n_cells - from,
				    (size_t)ATTEND_WINDOW) };
	for (size_t i = 0; i < run.n_tokens; i++) {
		attend_run_part(&run, i, part, seen[i]);
		for (size_t j = 0; j < a.n_group; j++, n++)
			queries[n] = { a.query(head * a.n_group + j, token + i,
					       stream),
				       seen[i], &out[n] };
	}
	attend(&ask, queries, n, room);
}

/* Of the run, for the query heads that share one of keys. */
void work::answers(size_t token, size_t stream, size_t head)
{
	attend_part sums[ATTEND_QUERIES], parts[ATTEND_QUERIES];
	for (size_t i = 0; i < n_queries(); i++) {
		sums[i].values = total + i * a.n;
		parts[i].values = more + i * a.n;
	}
	compute(token, stream, head, 0, sums);
	for (size_t part = 1; part < attend_run_parts(&run); part++) {
		compute(token, stream, head, part, parts);
		for (size_t i = 0; i < n_queries(); i++)
			attend_add(&sums[i], &parts[i], a.n);
	}
	for (size_t i = 0; i < n_queries(); i++)
		attend_end(&sums[i], a.n,
			   a.answer(head * a.n_group + i % a.n_group,
				    token + i / a.n_group, stream));
}

void work::whole(size_t item)
{
	size_t token = first_of(item), stream = item / n_blocks,
	       end = token + tokens_of(item);
	for (; token < end; token += run.n_tokens) {
		list(token, stream, end - token);
		for (size_t h = 0; h < a.n_key_heads; h++)
			answers(token, stream, h);
	}
}

void work::list_block(size_t item)
{
	if (listed != item)
		list(first_of(item), item / n_blocks, tokens_of(item));
	listed = item;
}

void work::by_parts(size_t item)
{
	attend_part parts[ATTEND_QUERIES];
	size_t head = item % a.n_key_heads,
	       part = item / a.n_key_heads % space.n_parts,
	       of = item / a.n_key_heads / space.n_parts;
	list_block(of);
	if (part >= attend_run_parts(&run))
		return;
	for (size_t i = 0; i < n_queries(); i++)
		parts[i].values =
			shared_part(first_of(of) + i / a.n_group, of / n_blocks,
				    part, head * a.n_group + i % a.n_group);
	compute(first_of(of), of / n_blocks, head, part, parts);
	for (size_t i = 0; i < n_queries(); i++) {
		parts[i].values[a.n] = parts[i].most;
		parts[i].values[a.n + 1] = parts[i].sum;
	}
}

void work::join(size_t item)
{
	size_t stream = item / n_blocks;
	list_block(item);
	for (size_t i = 0; i < run.n_tokens * a.n_heads; i++) {
		size_t token = first_of(item) + i / a.n_heads,
		       head = i % a.n_heads;
		attend_part sum = { nullptr, 0, 0 };
		for (size_t k = 0; k < attend_run_parts(&run); k++) {
			float *p = shared_part(token, stream, k, head);
			attend_part part = { p, p[a.n], p[a.n + 1] };
			if (k)
				attend_add(&sum, &part, a.n);
			else
				sum = part;
		}
		attend_end(&sum, a.n, a.answer(head, token, stream));
	}
}

/* Among the threads, from the last on: tokens at the end see the most. */
void work::share(size_t n_items, void (work::*one)(size_t),
		 const ggml_compute_params *params)
{
	cpu_own_meet(params);
	cpu_own_share(params, n_items,
		      [&](size_t i) { (this->*one)(n_items - 1 - i); });
}

void work::go(const ggml_compute_params *params)
{
	size_t blocks = n_blocks * a.n_streams;
	if (!space.by_parts) {
		share(blocks, &work::whole, params);
		return;
	}
	share(blocks * space.n_parts * a.n_key_heads, &work::by_parts, params);
	cpu_own_ggml.barrier(params->threadpool);
	for (size_t i = (size_t)params->ith; i < blocks;
	     i += (size_t)params->nth)
		join(i);
}

class traits : public ggml::cpu::tensor_traits
{
	bool work_size(int n_threads, const ggml_tensor *op,
		       size_t &size) override
	{
		size = attend_op_bytes(op, n_threads);
		return true;
	}

	bool compute_forward(ggml_compute_params *params,
			     ggml_tensor *op) override
	{
		work w(op, params);
		GGML_ASSERT(w.space.bytes <= params->wsize);
		w.go(params);
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

size_t attend_op_bytes(const ggml_tensor *op, int n_threads)
{
	return workspace(attention(op), (size_t)n_threads).bytes;
}

ggml::cpu::tensor_traits *attend_op(const ggml_tensor *op)
{
	static traits the_traits;
	return is_suited(op) ? &the_traits : nullptr;
}
