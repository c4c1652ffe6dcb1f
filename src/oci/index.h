/* index.h - models.json: which models a store holds and what their tags are.
 *
 * Pure: text in, text out; store.h reads and writes the file under its lock.
 * Look-ups here walk the whole list; catalog.h is the fast way to find one
 * model among many. */
#pragma once
#include "base/arena.h"
#include "base/buf.h"
#include "oci/ref.h"

struct index_model {
	struct digest id;  /* of the manifest */
	const char **tags; /* fully qualified, in the order of tagging */
	size_t n_tags;
	struct digest *files; /* layers in order, then the config */
	size_t n_files;
};

struct index {
	struct arena arena; /* owns what the pointers below point to */
	struct index_model *models;
	size_t n;
	size_t cap;
};

/* The caller frees *out. Takes what Docker Model Runner leaves behind: null
 * for "no models" and for "no tags". */
must_use int index_parse(struct str text, struct index **out, struct err *e);
void index_free(struct index *x);
BASE_AUTO(index);
/* Appends the text, byte for byte as Docker Model Runner writes it. May give
 * BUF_FULL. */
must_use int index_write(const struct index *x, struct buf *out);

/* The model that `r` names exactly, or NULL. Borrowed from the index. */
struct index_model *index_find(const struct index *x, const struct ref *r);
bool index_has_tag(const struct index_model *m, const char *tag);

/* Adds a model without tags; it must not be there yet. */
struct index_model *index_add(struct index *x, const struct digest *id,
			      const struct digest *files, size_t n_files);
/* Gives the tag to this model and takes it from any other. */
void index_tag(struct index *x, struct index_model *m, const char *tag);
void index_untag(struct index_model *m, const char *tag);
/* `m` is gone after it, and pointers to other models may point elsewhere. */
void index_remove(struct index *x, struct index_model *m);
