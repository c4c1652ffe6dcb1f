/* drafting.h - which model drafts for another one, and how: the member
 * "speculative" of POST /engines/_configure, and llama-server's flags for it.
 *
 * The draft model is one of the store, so nothing that a client sends names a
 * file. */
#pragma once
#include "base/arena.h"
#include "base/json.h"

struct catalog;
struct catalog_model;

struct drafting {
	char *model;  /* owned; NULL: none */
	int64_t most; /* tokens of a draft; 0: not set */
	double p_min; /* of a drafted token; 0: not set */
};

/* Reads the body's member into *out, over what is there, and shows it in
 * `config`. Pure; -1 is ERR_INVALID. */
must_use int drafting_read(const json_t *body, struct drafting *out,
			   json_t *config, struct err *e);
/* A flag's value: the model; sources of drafts as modeld-llama knows them.
 * Pure; -1 is ERR_INVALID. */
must_use int drafting_set_model(struct drafting *d, const char *value,
				struct err *e);
must_use int drafting_check_sources(const char *value, struct err *e);
void drafting_fini(struct drafting *d);

/* Can this model draft, as far as its metadata say? -1 is ERR_INVALID. */
must_use int drafting_check(const struct drafting *d,
			    const struct catalog_model *m, struct err *e);
/* The draft model in the arena, NULL if there is to be none. -1 is ERR_CONFLICT
 * if it is not in the store any more. */
must_use int drafting_find(const struct drafting *d, struct catalog *c,
			   struct arena *a, const struct catalog_model **out,
			   struct err *e);
