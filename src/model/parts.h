/* parts.h - the files that a package is made of, in the order of its layers.
 *
 * What a flag names stands in place of the folder's file of the same name, and
 * of its chat template or projector: a model has one of each. */
#pragma once
#include "oci/manifest.h"

struct part {
	const char *path; /* here */
	const char *name; /* in the artifact, with '/' */
	enum manifest_kind kind;
	bool is_of_folder;
};

struct parts {
	struct arena arena; /* owns the texts */
	struct part *all;   /* owned */
	size_t n, cap;
};

void parts_init(struct parts *p);
void parts_fini(struct parts *p);

/* One file, under its own name. */
must_use int parts_add(struct parts *p, enum manifest_kind kind,
		       const char *path, struct err *e);
/* The file, or all shards of the model that it is one of. */
must_use int parts_add_gguf(struct parts *p, const char *path, struct err *e);
/* All files of the folder (tree.h), of which one must be weights. */
must_use int parts_add_folder(struct parts *p, const char *dir, struct err *e);

/* Opens a file that must be a regular one; the caller closes it. */
must_use int parts_open(const char *path, int *out, struct err *e);
/* Reads and hashes the file (blocks for its size): the layer that it makes,
 * its texts in the arena. Nothing of this machine goes in: modes are 0644,
 * owners 0, times 1970. */
must_use int parts_layer(const struct part *part, bool is_cncf, struct arena *a,
			 struct manifest_blob *out, struct err *e);
/* The annotations of a layer that has its size, for this file in the artifact:
 * what parts_layer() does without reading one. */
must_use int parts_annotate(struct manifest_blob *layer, const char *name,
			    struct arena *a, struct err *e);
