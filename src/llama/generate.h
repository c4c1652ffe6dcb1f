/* generate.h - one request that makes text: its tasks, its answer, its end.
 *
 * Chats and completions differ in how they read their input (chat.c,
 * completion.c) and in the words of their answer (struct generate_kind); all
 * else is here. A request frees itself when its answer has ended or its client
 * has gone. Belongs to the loop thread, but while its job prepares it. */
#pragma once
#include "io/timer.h"
#include "llama/choice.h"
#include "llama/params.h"
#include "llama/prepare.h"
#include "llama/serve.h"

struct generate;
struct images;

/* How a kind of request words its answer; all but `read` are called on the loop
 * thread and append to `w`. */
struct generate_kind {
	enum params_where where;
	const char *id_prefix;
	const char *whole, *chunk; /* values of "object" */
	/* By its job: reads the body's own fields and fills g->prompts, but for
	 * the tokens of one with g->images. -1 refuses it. */
	int (*read)(struct generate *g, struct err *e);
	/* The member of a choice that holds the answer, with its name. */
	void (*put_whole)(struct writer *w, const struct choice *c);
	/* The same for a piece of it. d NULL is a piece without text: the
	 * answer's first, if has_start says that there is one, or its last
	 * (c->finish is set). */
	bool has_start;
	void (*put_delta)(struct writer *w, struct choice *c,
			  const struct common_shim_delta *d);
	/* Takes a token's logarithm of probability into c->probs. */
	void (*add_prob)(struct choice *c, const struct batch_token *t);
	/* The value of "logprobs" from c->probs. */
	void (*put_probs)(struct writer *w, const struct choice *c);
};

struct generate_prompt {
	struct tokens tokens;
	struct runs runs; /* images among them */
	struct str echo;  /* text that the answer begins with */
	char *own_echo;	  /* owned; that text, if it is not in the body */
};

struct generate {
	struct serve *serve;
	struct http_exchange *x; /* not the job's */
	const struct generate_kind *kind;
	struct prepare_job job;
	struct buf text; /* owned; the body, until it is read */
	json_t *body;	 /* owned; what the strings of params lie in */
	struct params params;
	bool wants_usage;  /* stream_options.include_usage */
	int n_top;	   /* as in struct batch_ask */
	struct str *stops; /* owned */
	size_t n_stops;
	struct sample_bias *biases; /* owned */
	size_t n_biases;
	struct common_shim_prompt *chat; /* owned; NULL for completions */
	struct images *images;		 /* owned; NULL: none */
	struct generate_prompt *prompts; /* owned */
	size_t n_prompts;
	struct choice *choices; /* owned; params.n for each prompt, in order */
	size_t n_choices;
	size_t n_running;
	struct batch_owner owner;
	bool is_full;	    /* the client reads slowly */
	struct writer head; /* `{"id":..., ` up to "choices" */
	struct writer out;
	struct timer silence;
};

/* Starts a request of this kind: reads its body and does the rest. */
void generate_start(struct serve *s, struct http_exchange *x,
		    const struct generate_kind *kind);
/* Room for n prompts, empty. */
void generate_prompts(struct generate *g, size_t n);
