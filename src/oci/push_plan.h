/* push_plan.h - what a push needs of the store: the manifest as it is, the
 * blobs, and which other repositories of the registry may have them, as the
 * tags of the store's models tell. All for one job at a time. */
#pragma once
#include "oci/store.h"

struct push_item {
	struct digest digest;
	uint64_t bytes;
	const char *path;
	/* In push_plan.from, those that may have it. */
	bool is_in[LIMIT_PUSH_SOURCES];
};

struct push_plan {
	struct arena arena;	 /* owns the texts */
	struct buf text;	 /* the manifest */
	struct push_item *items; /* each digest once; the config is the last */
	size_t n;
	char *from[LIMIT_PUSH_SOURCES]; /* repositories */
	size_t n_from;
	struct digest *leased;
	size_t n_leased;
};

void push_plan_init(struct push_plan *p);
/* Leases the blobs before it looks for them, also if it fails then. -1:
 * ERR_NOT_FOUND, there is no such model; ERR_CORRUPT, some of it is missing. */
must_use int push_plan_make(struct push_plan *p, struct store *s,
			    const struct digest *id, const struct ref *to,
			    struct err *e);
/* Gives the leases back: from a job. */
void push_plan_release(struct push_plan *p, struct store *s);
void push_plan_fini(struct push_plan *p);
