/* export.h - a model of the store as a tar, to be carried elsewhere.
 *
 * One thread at a time; all functions block on the disk. A model that this
 * process deletes meanwhile is exported to its end, and its layers go with
 * export_free(). */
#pragma once
#include "model/archive.h"
#include "oci/store.h"

struct export;

/* Borrows the store. Without layers it is for who has them, or makes another
 * model of this one. May give STORE_ABSENT. */
must_use int export_new(struct store *s, const struct digest *id,
			enum archive_form form, bool has_layers,
			struct export **out, struct err *e);
void export_free(struct export *x);
BASE_AUTO(export);

/* As archive.h has them. */
uint64_t export_bytes(const struct export *x);
must_use int export_read(struct export *x, void *buf, size_t cap, size_t *n,
			 struct err *e);
