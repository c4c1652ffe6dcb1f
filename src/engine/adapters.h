/* adapters.h - the LoRA adapters that a model is set up with: runtime flags
 * "--lora [NAME=]MODEL" and "--lora-scaled [NAME=]MODEL:SCALE".
 *
 * MODEL is a model of the store that is an adapter, so nothing that a client
 * sends names a file. Requests choose by NAME: the last part of the model's
 * name, without its tag, if none is given. */
#pragma once
#include "base/arena.h"
#include "base/err.h"

struct catalog;
struct catalog_model;

struct adapters_flag {
	char *name, *model; /* owned */
	double scale;	    /* of requests that do not say */
};

/* A flag's value; pure. -1 is ERR_INVALID. */
must_use int adapters_parse(const char *text, bool has_scale,
			    struct adapters_flag *out, struct err *e);
void adapters_fini(struct adapters_flag *f);

/* Is `m` an adapter, and for models like `base`, as far as their metadata say?
 * -1 is ERR_INVALID. */
must_use int adapters_check(const struct adapters_flag *f,
			    const struct catalog_model *base,
			    const struct catalog_model *m, struct err *e);
/* modeld-llama's options for these flags, two strings each, in the arena; adds
 * the files' sizes to *bytes. -1 is ERR_CONFLICT if one is not in the store any
 * more. */
must_use int adapters_find(struct catalog *c, const struct adapters_flag *flags,
			   size_t n, struct arena *a, const char ***options,
			   uint64_t *bytes, struct err *e);
