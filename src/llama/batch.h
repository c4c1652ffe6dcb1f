/* batch.h - the compute thread, seen from the loop thread.
 *
 * The compute thread owns the llama_context and does nothing but plan a batch
 * of tokens from all tasks, decode it, sample, and hand the tokens over. Work
 * and cancellations go to it through an inbox, tokens come back through an
 * outbox that wakes the loop; neither thread waits for the other. Everything
 * here is called on the loop thread, and calls back on it; batch_facts() is for
 * any thread. */
#pragma once
#include "base/err.h"
#include "base/limits.h"
#include "llama/common_shim.h"
#include "llama/lora.h"
#include "llama/runs.h"
#include "llama/sample.h"
#include "llama/tokens.h"

struct batch;
struct batch_task;
struct draft_options;
struct uv_loop_s;
struct weights;

struct batch_options {
	const struct weights *weights; /* must outlive the batch */
	const struct lora *lora;       /* likewise; NULL: no adapters */
	struct projector *projector;   /* likewise; NULL: no pictures */
	int context;		       /* tokens per request; 0: chosen */
	int slots;		       /* requests at once; 0: chosen */
	int threads;	    /* 0: all that may be used, at most that */
	int batch_tokens;   /* 0: chosen */
	int pooling;	    /* llama_pooling_type; -1: the model's */
	size_t cache_bytes; /* of states in host memory, at most; 0: none */
	const struct draft_options *draft; /* NULL: nothing is drafted */
};

/* What came of them. */
struct batch_facts {
	int context;
	int slots;
	int threads;
	int batch_tokens;  /* computed at once, at most */
	bool is_embedding; /* tasks make vectors, and never tokens */
	bool is_ranking;   /* and these are scores */
	int vector_length;
	struct common_shim_bytes memory;
	size_t cache_bytes; /* host memory for states, at most */
};

/* "text", "embedding" or "ranking". */
const char *batch_kind(const struct batch_facts *f);

must_use int batch_new(struct uv_loop_s *loop, const struct batch_options *o,
		       struct batch **out, struct err *e);
/* Ends the thread after the batch it is at; tasks go without a callback. */
void batch_free(struct batch *b);
BASE_AUTO(batch);
const struct batch_facts *batch_facts(const struct batch *b);

/* Whose request it is, and with which adapters: what one owner had computed no
 * other can use, nor learn of by how quickly an answer comes; and what was
 * computed with other adapters is something else. Without a name it is
 * everybody's who has none. */
struct batch_owner {
	char name[LIMIT_CACHE_ID_BYTES + 1];
	struct lora_scales lora;
};
bool batch_owner_same(const struct batch_owner *a, const struct batch_owner *b);

struct batch_ask {
	struct tokens tokens;  /* not empty; becomes the batch's */
	struct runs runs;      /* its pictures; becomes the batch's */
	struct sample *sample; /* becomes the batch's; NULL for a vector */
	int64_t max_tokens;    /* below 0: until the context is full */
	int n_top;	       /* likeliest tokens to tell; below 0: no
				* logarithms of probabilities at all */
	bool tells_prompt;     /* on_token for the prompt's tokens too */
	bool is_fresh;	       /* computes all of it, using no cache */
	struct batch_owner owner;
};

struct batch_token {
	int32_t id;
	bool is_prompt;
	bool has_logprob; /* asked for; and not the very first token */
	float logprob;
	const struct sample_prob *top; /* most likely first; borrowed */
	size_t n_top;
	uint64_t at_ns; /* when it was sampled */
};

enum batch_end {
	BATCH_STOP,   /* the model ended it; its end token was no on_token */
	BATCH_LENGTH, /* max_tokens or the context was reached */
	BATCH_FAILED,
};

struct batch_fns {
	void (*on_token)(void *ctx, const struct batch_token *t);
	/* Pooled, not scaled; borrowed, to be changed at will. */
	void (*on_vector)(void *ctx, float *v, size_t n);
	/* The last callback; *e is set with BATCH_FAILED. */
	void (*on_end)(void *ctx, enum batch_end why, const struct err *e);
};

/* Starts a task; a prompt longer than the context is a bug. */
struct batch_task *batch_start(struct batch *b, struct batch_ask *ask,
			       const struct batch_fns *fns, void *ctx);
/* Forgets a task: no callback comes any more, and its place is free after the
 * batch that is being computed. Not after on_end. */
void batch_cancel(struct batch_task *t);
/* Its reader is slow: no tokens for it until it is let go on. */
void batch_pause(struct batch_task *t, bool is_paused);

/* Numbers of a task, whole once on_end or the first on_token came. */
struct batch_times {
	size_t n_prompt;
	size_t n_cached;  /* of them, taken from the cache */
	size_t n_made;	  /* tokens sampled, with the model's end token */
	size_t n_drafted; /* tokens computed ahead; of them, taken */
	size_t n_accepted;
	uint64_t began_ns;	 /* when its prompt was begun */
	uint64_t prompt_done_ns; /* 0 before that */
	uint64_t last_ns;	 /* when the last token was sampled */
};
struct batch_times batch_times(const struct batch_task *t);

/* Tasks that were started and have not ended; those of a caller, by its name;
 * those that have a place. */
size_t batch_open(const struct batch *b);
size_t batch_open_of(const struct batch *b, const char *name);
size_t batch_running(const struct batch *b);
/* Slot i below batch_facts()->slots: has it a task, and how many tokens' state
 * does it hold? Not whose, nor which. */
bool batch_slot(const struct batch *b, int i, size_t *n_tokens);

/* States in host memory (keep.h), and how often one went there and back. */
struct batch_kept {
	size_t bytes, n;
	size_t n_kept, n_restored; /* since the start */
};
struct batch_kept batch_kept(const struct batch *b);
