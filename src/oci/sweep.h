/* sweep.h - what a store holds beyond its models: found, and removed.
 *
 * All of it blocks: for jobs. Safe beside pulls, loads and other processes:
 * what anybody leases stays, and so does what another is working on. */
#pragma once
#include "oci/store.h"

struct sweep_report {
	struct digest *models; /* that were removed, in the caller's arena */
	size_t n_models;
	uint64_t n_files; /* blobs, manifests, bundles, remains of pulls */
	uint64_t bytes;	  /* that they took on the disk */
};

/* Afterwards the store holds exactly what its tags reach: models without tags
 * go, blobs and manifests that no model has, and what pulls and crashes left
 * unfinished more than an hour ago. */
must_use int sweep_prune(struct store *s, struct arena *a,
			 struct sweep_report *out, struct err *e);
/* Every model, blob and remain goes; foreign files in the folder stay. */
must_use int sweep_purge(struct store *s, struct arena *a,
			 struct sweep_report *out, struct err *e);
