/* gguf.h - the header of a GGUF file (versions 2 and 3): its metadata as text
 * and the sum of its tensors, as Docker Model Runner puts them into a config.
 *
 * The file may be hostile: every length is checked against the file and
 * limits.h before it is believed, and memory follows the bytes really there.
 * Each tensor's size by its type and shape must lie in the file, at an aligned
 * place, behind the one before it. modeld-llama asks this of every file before
 * llama.cpp sees it.
 * Reads with pread(2), so a file cut meanwhile is an error and no SIGBUS.
 * Blocks: tens of milliseconds for the token list of a large vocabulary. */
#pragma once
#include "base/arena.h"
#include "oci/model_config.h"

struct gguf_file {
	struct arena arena; /* owns what the pointers below point to */
	uint64_t n_tensors;
	uint64_t elements;	  /* of all tensors: the parameters */
	uint64_t tensor_bytes;	  /* without padding */
	const char *architecture; /* "llama" if the file does not say */
	const char *quantization; /* "MOSTLY_Q4_K_M", ...; "Unknown" */
	int64_t context_size;	  /* 0: not said */
	bool has_positions;	  /* a table of them, of so many tokens */
	/* Numbers decimal, floats with six places, arrays up to 50 elements
	 * joined with ", "; longer ones are left out. Sorted by key. */
	struct model_config_pair *pairs;
	size_t n_pairs;
};

/* The caller frees *out. The offset of fd stays where it is. Fails with
 * ERR_INVALID if this is not a whole and valid GGUF file, ERR_UNSUPPORTED for
 * a version or tensor type that it does not know. */
must_use int gguf_read(int fd, struct gguf_file **out, struct err *e);
void gguf_file_free(struct gguf_file *g);
BASE_AUTO(gguf_file);
/* Of the metadata, by key; NULL: it is not there, or not kept. */
const char *gguf_find(const struct gguf_file *g, const char *key);

#define GGUF_TEXT_BYTES 32
/* "134.52M", "7B", "183"; base 1000. */
void gguf_parameters_text(uint64_t elements, char out[GGUF_TEXT_BYTES]);
/* "92.10MiB", "864B"; base 1024. */
void gguf_size_text(uint64_t bytes, char out[GGUF_TEXT_BYTES]);
