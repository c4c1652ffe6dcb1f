/* safetensors.h - the header of a safetensors file: what its tensors are, and
 * its metadata, as Docker Model Runner puts them into a config.
 *
 * The file may be hostile: the header's length, and every shape and place in
 * it, are checked against the file and limits.h; tensors must lie one behind
 * the other and fill the file, as the format has it. Reads with pread(2).
 * Blocks: milliseconds a thousand tensors. */
#pragma once
#include "base/arena.h"
#include "oci/model_config.h"

struct safetensors {
	struct arena arena; /* owns what the pointers below point to */
	uint64_t n_tensors;
	uint64_t elements; /* of all tensors: the parameters */
	const char *dtype; /* "BF16", ...; "mixed"; "unknown" without tensors */
	/* `__metadata__`, sorted by key. */
	struct model_config_pair *pairs;
	size_t n_pairs;
};

/* The caller frees *out. ERR_INVALID: not a whole and valid file. */
must_use int safetensors_read(int fd, struct safetensors **out, struct err *e);
void safetensors_free(struct safetensors *s);
BASE_AUTO(safetensors);
