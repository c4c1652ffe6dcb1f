/* generate.h - one request that makes text: its tasks, its answer, its end.
 *
 * Chats and completions differ in how they read their input (chat.c,
 * completion.c) and in the words of their answer (struct generate_kind); all
 * else is here. A request frees itself when its answer has ended or its client
 * has gone. Belongs to the loop thread. */
#pragma once
#include "io/timer.h"
#include "llama/choice.h"
#include "llama/params.h"
#include "llama/serve.h"

struct generate;
struct images;

/* How a kind of request words its answer; all are called on the loop thread
 * and append to `w`. */
struct generate_kind {
	enum params_where where;
	const char *id_prefix;
	const char *whole, *chunk; /* values of "object" */
	/* Reads the body's own fields and fills g->prompts; -1 refuses it,
	 * GENERATE_LATER calls generate_go_on() when it has. */
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

enum generate_outcome { GENERATE_LATER = 1 };

struct generate_prompt {
	struct tokens tokens;
	struct runs runs; /* images among them */
	struct str echo;  /* text that the answer begins with; in the arena */
};

struct generate {
	struct serve *serve;
	struct http_exchange *x;
	const struct generate_kind *kind;
	json_t *body; /* owned; what the strings of params lie in */
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
/* The prompts are read, or *failure says why they cannot be. */
void generate_go_on(struct generate *g, const struct err *failure);
/* Room for n prompts, empty. */
void generate_prompts(struct generate *g, size_t n);
