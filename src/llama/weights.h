/* weights.h - a model's files in memory.
 *
 * Nothing in it changes once it is loaded, so both threads may use it. What
 * llama.cpp logs on the way goes to our log (its chatter at debug level), and
 * its last complaint becomes the message of an error. */
#pragma once
#include "base/err.h"
#include "llama/tokens.h"

struct gguf_file;
struct llama_model;
struct llama_vocab;
struct weights;

struct weights_options {
	const char *const *paths; /* one file, or its shards in order */
	size_t n_paths;
	int gpu_layers;
	/* How far it is, from 0 to 1; often called. */
	void (*on_progress)(void *ctx, float fraction);
	void *ctx;
};

/* Finds the backends that lie beside llama.cpp's libraries and routes its log;
 * once, before anything else here. */
must_use int weights_init(struct err *e);
/* Is there a graphics card that llama.cpp could use? */
bool weights_have_gpu(void);
/* The head of a GGUF file, of weights or of what goes with them, by our own
 * reader: before llama.cpp reads it, whose trust in a file is large. */
must_use int weights_read_head(const char *path, struct gguf_file **out,
			       struct err *e);
/* -1: ERR_NOT_FOUND or ERR_CORRUPT (the file), ERR_UNSUPPORTED (a kind of model
 * this engine does not know), ERR_MEMORY. */
must_use int weights_load(const struct weights_options *o, struct weights **out,
			  struct err *e);
/* Leaves what use has brought back into memory of its files though it is there
 * packed. It comes back when it is used; on any thread. */
void weights_rest(const struct weights *w);
void weights_free(struct weights *w);
BASE_AUTO(weights);

struct llama_model *weights_model(const struct weights *w);
const struct llama_vocab *weights_vocab(const struct weights *w);
/* Tokens that end an answer. */
const struct tokens *weights_enders(const struct weights *w);
/* Bytes of the longest text that one token spells. */
size_t weights_longest(const struct weights *w);
/* Does it know positions by a table, which ends where its training did? */
bool weights_has_positions(const struct weights *w);
/* Does it make vectors rather than text, by its metadata? */
bool weights_is_embedding(const struct weights *w);
/* A metadata string of the model's own architecture ("context_length" finds
 * "llama.context_length"); false if it is not there. */
bool weights_meta(const struct weights *w, const char *key, char *out,
		  size_t cap);
/* Is it of this architecture, as GGUF names them? */
bool weights_is_a(const struct weights *w, const char *architecture);
/* llama.cpp's last complaint since the last call, as an error: the code from
 * its words, else `otherwise`. Returns -1. */
int weights_complaint(enum err_code otherwise, struct err *e);
