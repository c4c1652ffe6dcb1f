/* selection.h - which files of a repository make up the model that was asked
 * for. A tag names a quantization ("Q4_K_M", in any case), a file, or a folder;
 * "latest" is Q4_K_M where there is one, else the first by name. All shards of
 * a split file come, one projector if there is one, and one chat template that
 * is a file of its own. Without GGUF files it is the safetensors model, with
 * all of its files. Pure. */
#pragma once
#include "hub/listing.h"
#include "oci/manifest.h"

struct selection_file {
	const struct listing_file *file;
	enum manifest_kind kind;
};

/* Borrows from the listing. */
struct selection {
	struct selection_file *all; /* owned; in the order of the layers */
	size_t n;
	bool is_gguf; /* else safetensors */
	uint64_t bytes;
	char what[120]; /* was selected out of several; "" when there is one */
};

/* ERR_NOT_FOUND lists what there is, or says which file is missing;
 * ERR_UNSUPPORTED: no model in it. */
must_use int selection_make(const struct listing *l, const char *tag,
			    struct selection *out, struct err *e);
void selection_fini(struct selection *s);
