/* settings.h - what chats and completions have in common in their bodies:
 * stop strings, biases, sampling, probabilities, streaming. */
#pragma once
#include "llama/generate.h"

/* Fills the request from g->params; -1 names the field at fault. */
must_use int settings_read(struct generate *g, struct err *e);
/* Adds a stop string, which must outlive the request. */
void settings_stop_at(struct generate *g, struct str word);
/* How the request's choice `index` is to be sampled. */
struct sample_spec settings_sampling(const struct generate *g, size_t index);
