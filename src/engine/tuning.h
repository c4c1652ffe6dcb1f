/* tuning.h - what a person set for one model: how its process is started and
 * how long it stays, as POST /engines/_configure takes it.
 *
 * Runtime flags are llama-server's, and only those of tuning_flags.h: nothing
 * that a client sends names a file, an address or a program (adapters and
 * draft models are named as models of the store). Pure. */
#pragma once
#include "base/json.h"
#include "engine/adapters.h"
#include "engine/drafting.h"
#include "engine/engine.h"

#define TUNING_CONTEXT_TRAINED (-1)

struct tuning {
	json_t *config;	 /* owned; the settings as they are shown */
	int64_t context; /* tokens; 0: not set, or TUNING_CONTEXT_TRAINED */
	bool has_keep_alive;
	int64_t keep_alive_ms; /* below 0: for ever */
	const char *pooling;   /* a constant, or NULL */
	bool has_cache;
	int64_t cache_mib; /* of prompts that lost their place */
	/* Options of modeld-llama, with their values; owned, NULL-ended. */
	char **args;
	size_t n_args;
	struct adapters_flag *adapters; /* owned */
	size_t n_adapters;
	struct drafting drafting;
};

enum tuning_outcome { TUNING_NO_MODE = 1 };

/* Reads the settings of a request's body; fini *out in any case. *mode is the
 * one that it names, or that its flags mean; TUNING_NO_MODE: neither. */
must_use int tuning_parse(const json_t *body, struct tuning *out,
			  enum engine_mode *mode, struct err *e);
void tuning_fini(struct tuning *t);
/* Do they say the same? */
bool tuning_same(const struct tuning *a, const struct tuning *b);
