#include "llama/sizing.h"

#include "base/limits.h"
#include "base/log.h"
#include "llama/cores.h"
#include "llama/weights.h"

#include <llama.h>

#define TEXT_SLOTS 4
#define TEXT_BATCH 512
/* Memory to compute with grows with this times the context, and more would be
 * no faster. */
#define MOST_BATCH 2048
#define VECTOR_SLOTS 64
#define VECTOR_CONTEXT 8192
/* Rows of logits beside one for each slot: enough for prompts whose own
 * probabilities are asked for, and little memory. */
#define SPARE_ROWS 32

/* No model has these; products of what a hostile file says stay in 64 bits. */
#define MOST_HEAD (1u << 20)
#define MOST_HEADS (1u << 16)

/* State of one token in all layers, as 16-bit numbers. */
static uint64_t bytes_per_token(const struct weights *w)
{
	struct llama_model *m = weights_model(w);
	char value[32];
	uint64_t head = (uint64_t)llama_model_n_embd(m) /
			(uint64_t)MAX(llama_model_n_head(m), 1);
	uint64_t given;
	if (weights_meta(w, "attention.key_length", value, sizeof value) &&
	    str_to_u64(str_of(value), &given))
		head = given;
	return 2 * 2 * MIN(head, (uint64_t)MOST_HEAD) *
	       (uint64_t)MIN(MAX(llama_model_n_head_kv(m), 1),
			     (int32_t)MOST_HEADS) *
	       (uint64_t)MAX(llama_model_n_layer(m), 1);
}

/* llama.cpp ends the process at the first token behind a table. */
static int given_context(const struct batch_options *o, int trained)
{
	if (o->context <= trained)
		return o->context;
	if (weights_has_positions(o->weights)) {
		log_warn("the model knows no position behind its training's "
			 "context=%d asked=%d",
			 trained, o->context);
		return trained;
	}
	log_warn("the context is larger than the model was trained for "
		 "context=%d trained=%d",
		 o->context, trained);
	return o->context;
}

static int choose_context(const struct batch_options *o, struct sizing *f,
			  struct err *e)
{
	uint64_t left = cores_memory_bytes(),
		 each = bytes_per_token(o->weights);
	int trained = llama_model_n_ctx_train(weights_model(o->weights));
	int most = f->is_embedding ? VECTOR_CONTEXT : LIMIT_DEFAULT_CONTEXT;
	uint64_t fits = left / 4 / MAX(each, (uint64_t)1);
	if (o->context) {
		f->context = given_context(o, trained);
	} else {
		f->context = trained > 0 ? MIN(trained, most) : most;
		if (fits < (uint64_t)f->context)
			f->context = (int)MAX(fits, (uint64_t)TEXT_BATCH);
		log_info("context chosen tokens=%d trained=%d memory_left=%llu",
			 f->context, trained, (unsigned long long)left);
	}
	uint64_t need;
	if (__builtin_mul_overflow(each, (uint64_t)f->context, &need))
		need = UINT64_MAX;
	if (need > left)
		return err_set(e, ERR_MEMORY,
			       "a context of %d tokens needs %llu bytes, and "
			       "%llu are left: ask for a smaller --ctx-size",
			       f->context, (unsigned long long)need,
			       (unsigned long long)left);
	return 0;
}

static int choose_pooling(const struct batch_options *o, const struct sizing *f,
			  struct llama_context_params *p, struct err *e)
{
	char value[32];
	if (!f->is_embedding)
		return 0;
	p->embeddings = true;
	p->pooling_type = o->pooling;
	bool has =
		weights_meta(o->weights, "pooling_type", value, sizeof value) &&
		strcmp(value, "0") != 0;
	bool can_rank = has && strcmp(value, "4") == 0;
	if (o->pooling < 0)
		p->pooling_type = can_rank ? LLAMA_POOLING_TYPE_RANK
				  : has	   ? LLAMA_POOLING_TYPE_UNSPECIFIED
					   : LLAMA_POOLING_TYPE_MEAN;
	/* llama.cpp would give numbers that mean nothing. */
	if (p->pooling_type == LLAMA_POOLING_TYPE_RANK && !can_rank)
		return err_set(e, ERR_UNSUPPORTED,
			       "this model has no head for ranking: leave out "
			       "--pooling rank");
	return 0;
}

int sizing_choose(const struct batch_options *o, struct sizing *f,
		  struct llama_context_params *p, struct err *e)
{
	int usable = cores_usable();
	*p = llama_context_default_params();
	f->is_embedding = o->pooling > 0 ||
			  (o->pooling < 0 && weights_is_embedding(o->weights));
	f->threads = o->threads ? MIN(o->threads, usable) : usable;
	f->slots = o->slots	     ? o->slots
		   : f->is_embedding ? VECTOR_SLOTS
				     : TEXT_SLOTS;
	if (choose_context(o, f, e) || choose_pooling(o, f, p, e))
		return -1;
	int batch =
		o->batch_tokens ? MIN(o->batch_tokens, MOST_BATCH) : TEXT_BATCH;
	/* A text is pooled in one piece; one of text also fits in pieces. */
	if (f->is_embedding)
		batch = MAX(batch, f->context);
	else
		batch = MIN(batch, f->context);
	batch = MAX(batch, f->slots);
	p->n_ctx = (uint32_t)(f->is_embedding ? batch : f->context);
	p->n_batch = p->n_ubatch = (uint32_t)batch;
	p->n_seq_max = (uint32_t)f->slots;
	p->n_threads = p->n_threads_batch = f->threads;
	p->kv_unified = true;
	/* Behind a sliding window nothing is kept but what stow.c keeps. */
	p->swa_full = false;
	p->no_perf = true;
	if (!f->is_embedding)
		p->n_outputs_max = (uint32_t)MIN(batch, f->slots + SPARE_ROWS);
	return 0;
}

/* ggml's CPU backend may be loaded at run time: its functions by name. */
static void *cpu_function(const char *name)
{
	ggml_backend_dev_t cpu =
		ggml_backend_dev_by_type(GGML_BACKEND_DEVICE_TYPE_CPU);
	return ggml_backend_reg_get_proc_address(
		ggml_backend_dev_backend_reg(cpu), name);
}

struct ggml_threadpool *sizing_attach_threads(struct llama_context *ctx,
					      int threads)
{
	struct ggml_threadpool *(*make)(struct ggml_threadpool_params *) =
		cpu_function("ggml_threadpool_new");
	if (!make || threads < 2)
		return NULL;
	struct ggml_threadpool_params p =
		ggml_threadpool_params_default(threads);
	/* Threads look for the next step for a millisecond or two and then
	 * sleep. By default they look for 80 to 200, which every answer's end
	 * costs a core, and no step comes sooner for it (measured). */
	p.poll = 1;
	struct ggml_threadpool *pool = make(&p);
	if (pool)
		llama_attach_threadpool(ctx, pool, pool);
	return pool;
}

void sizing_free_threads(struct ggml_threadpool *pool)
{
	void (*end)(struct ggml_threadpool *) =
		pool ? cpu_function("ggml_threadpool_free") : NULL;
	if (end)
		end(pool);
}
