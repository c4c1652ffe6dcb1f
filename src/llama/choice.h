/* choice.h - one answer of the n that a request asked for, as it grows.
 *
 * Tokens go in; text comes out in whole characters, cut before a stop string,
 * taken apart into content, reasoning and tool calls, together with the
 * logarithms of probabilities that belong to it. Belongs to the loop thread. */
#pragma once
#include "llama/batch.h"
#include "llama/stops.h"
#include "llama/writer.h"

struct generate;

#define CHOICE_LISTS 4

struct choice_call {
	char *id, *name; /* owned */
	struct writer arguments;
};

struct choice {
	struct generate *request;
	size_t index;
	struct batch_ask ask;	 /* owned; empty once it has started */
	struct batch_task *task; /* NULL before, and once it has ended */
	struct batch_times times;
	const char *finish;    /* "stop", "length", "tool_calls"; NULL before */
	bool is_told;	       /* its first chunk was sent */
	bool reasons, answers; /* of both something was told */
	size_t n_reasoning;    /* tokens before the answer, if it reasons */

	/* What came, as a whole; when streaming, what was not sent yet. */
	struct writer content;
	struct writer reasoning;
	struct choice_call *calls;
	size_t n_calls;
	bool called; /* a tool call was made */

	/* Entries for "logprobs", comma-separated, in the request's form; four
	 * lists for completions, the first of them for chats. */
	struct writer probs[CHOICE_LISTS];
	size_t text_chars; /* begun by all tokens so far, for text_offset */

	/* private */
	size_t probs_shown[CHOICE_LISTS];
	struct stops stops;
	struct common_shim_parser *parser; /* owned; NULL: content only */
	const struct common_shim_prompt *prompt;
	const struct llama_vocab *vocab;
	struct buf piece;
};

enum choice_outcome { CHOICE_STOPPED = 1 };

/* `words` are the stop strings, `prompt` the rendered chat or NULL; both must
 * outlive the choice. */
void choice_init(struct choice *c, const struct llama_vocab *vocab,
		 const struct str *words, size_t n_words,
		 const struct common_shim_prompt *prompt);
void choice_fini(struct choice *c);
/* Adds a token; on_delta gets what it adds to the answer, if anything yet.
 * CHOICE_STOPPED: a stop string is complete, nothing more is to be added. */
must_use int choice_add(struct choice *c, int32_t token,
			common_shim_delta_fn on_delta, void *ctx,
			struct err *e);
/* The answer is over: tells what was held back. */
must_use int choice_end(struct choice *c, enum batch_end why,
			common_shim_delta_fn on_delta, void *ctx,
			struct err *e);
/* All that was noted in probs belongs to text that was told by now. */
void choice_show_probs(struct choice *c);
/* Forgets what was noted since: its text was cut off by a stop string. */
void choice_cut_probs(struct choice *c);
/* Empties probs: they were sent. */
void choice_clear_probs(struct choice *c);
/* What it holds for the answer, or the next piece of it. */
size_t choice_bytes(const struct choice *c);
/* Keeps a delta, for an answer that is sent as a whole. */
void choice_keep(struct choice *c, const struct common_shim_delta *d);
/* Minus infinity, which JSON cannot say, as OpenAI stands in for it. */
void choice_put_logprob(struct writer *w, float logprob);
/* The text of one token, control tokens spelled; borrowed until the next. */
struct str choice_spell(struct choice *c, int32_t token);
