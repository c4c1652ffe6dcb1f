/* batch_priv.h - what batch.c (the thread and its queues), decode.c (text),
 * sight.c (pictures), embed.c (vectors), prefix.c (which cells to keep) and
 * draft.c (speculation) share. */
#pragma once
#include "base/list.h"
#include "llama/batch.h"
#include "llama/fair.h"
#include "llama/keep.h"
#include "llama/lora_turn.h"
#include "llama/pace.h"
#include "llama/slot.h"

#include <llama.h>
#include <pthread.h>
#include <stdatomic.h>

#define BATCH_MARKS 4 /* points where other prompts leave one (prefix.c) */

struct batch_task {
	/* Set before it starts. */
	struct batch *batch;
	struct batch_ask ask; /* ask.tokens grows by what is sampled */
	size_t n_prompt;

	/* The loop thread's. */
	struct list open_link; /* in batch.open */
	const struct batch_fns *fns;
	void *ctx;
	bool is_silent;
	struct batch_times told; /* as of the last event delivered */

	/* Between the threads. */
	atomic_bool cancelled, paused;

	/* The compute thread's. */
	struct list link; /* in inbox, queue or active */
	struct slot *slot;
	size_t caller;		   /* fair.c: whose it is */
	bool is_passed, has_left;  /* fair.c: was asked; had no room */
	size_t n_told;		   /* prompt tokens handed over */
	size_t marks[BATCH_MARKS]; /* so many tokens computed: keep a part */
	size_t n_marks, last_mark;
	struct batch_times times;
	enum batch_end why;
	struct err err;
};

struct out {
	struct batch_task *task;
	enum { OUT_TOKEN, OUT_VECTOR, OUT_END } kind;
	struct batch_token token;
	struct sample_prob *top; /* owned */
	float *vector;		 /* owned */
	struct batch_times times;
};

struct outbox {
	struct out *p;
	size_t n, cap;
};

struct batch {
	struct batch_facts facts;
	const struct weights *weights, *drafts; /* no draft model: NULL */
	const struct lora *lora;		/* NULL: no adapters */
	struct projector *projector;		/* NULL: it takes no pictures */
	const struct llama_vocab *vocab;
	size_t n_vocab;

	/* The loop thread's. */
	struct uv_async_s *bell; /* closes itself */
	struct outbox delivering;
	struct list open; /* batch_task.open_link; neither owned nor ordered */
	size_t n_open;

	/* Between the threads; the mutex guards what is not atomic. */
	pthread_mutex_t mutex;
	pthread_cond_t cond;
	struct list inbox; /* batch_task.link */
	struct outbox outbox;
	bool is_woken;
	atomic_bool is_stopping;
	atomic_size_t n_running;
	struct slot_view *views; /* owned; one for each slot */

	/* The compute thread's. */
	pthread_t thread;
	bool has_worked; /* since it last rested */
	struct llama_context *ctx;
	struct llama_memory_i *memory; /* NULL: the model keeps no state */
	ggml_threadpool_t pool;
	struct list queue;  /* batch_task.link; waiting, oldest first */
	struct list active; /* batch_task.link; with a slot, oldest first */
	struct fair fair;   /* who of the queue is next */
	struct slot *slots;
	struct llama_batch batch;
	struct pace pace;
	bool is_paced;	/* all is computed by this machine's cores */
	int max_tokens; /* of one batch */
	int max_rows;	/* rows of logits in one batch */
	enum batch_cut cut;
	size_t window;	      /* of BATCH_CUT_IN_WINDOW, tokens */
	bool is_recurrent;    /* a slot takes one cell, whatever it holds */
	bool parts_are_whole; /* what cannot be cut is all there is */
	struct keep keep;
	atomic_size_t n_kept, n_restored; /* states, since the start */
	double copy_ns;	  /* measured: one byte to or from there, smoothed */
	bool is_full;	  /* a task had to leave: none enters until one ends */
	uint64_t clock;	  /* counts uses, for slot.used */
	double prompt_ns; /* measured: one prompt token, smoothed */
	struct lora_turn turn;
	struct draft *draft; /* NULL: nothing is drafted */
};

static inline struct batch_task *batch_task_of(struct list *link)
{
	return container_of(link, struct batch_task, link);
}

/* Of measurements, the last one counting so much. */
static inline double batch_smooth(double was, double now, double weight)
{
	return was > 0 ? was + (now - was) * weight : now;
}

/* ---- batch.c, on the compute thread ---- */
void batch_tell_token(struct batch_task *t, const struct batch_token *token,
		      const struct sample_prob *top);
void batch_tell_vector(struct batch_task *t, float *vector); /* the loop's */
/* Ends a task that is in no list; it is the loop's after. */
void batch_tell_end(struct batch_task *t, enum batch_end why);
void batch_add(struct batch *b, llama_token token, size_t pos, llama_seq_id seq,
	       bool has_row);

/* Computes the batch; what llama_decode() gives, and that as an error. */
int batch_compute(struct batch *b);
void batch_complaint(int rc, struct err *e);
/* llama.cpp's abort_callback of contexts that the batch computes with. */
bool batch_is_stopping(void *batch);

/* ---- for tests: without its thread; each step takes what is new ---- */
must_use int batch_new_still(struct uv_loop_s *loop,
			     const struct batch_options *o, struct batch **out,
			     struct err *e);
bool batch_step(struct batch *b);

/* ---- one step of work; false: there was nothing to do ---- */
bool sight_step(struct batch *b); /* pictures: encodes, computes a piece */
bool embed_step(struct batch *b);
bool sight_waits(const struct batch_task *t); /* for a picture: has it made */
