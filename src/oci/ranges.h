/* ranges.h - which bytes of a blob are there, while several connections fetch
 * it: the blob is cut into chunks that are handed out in order, and each chunk
 * fills from its beginning. So what is missing lies close together, and what is
 * whole at the front can be hashed at once.
 *
 * Pure. The text form, which lies beside the data on disk, survives a kill at
 * any moment: each chunk has a slot of its own, written after its data. */
#pragma once
#include "base/err.h"
#include "base/str.h"

struct ranges_chunk {
	uint32_t done; /* bytes at its front that are there */
	bool is_taken; /* somebody fetches it */
};

struct ranges {
	uint64_t bytes; /* of the blob */
	uint64_t chunk_bytes;
	struct ranges_chunk *chunks; /* owned */
	size_t n;
	size_t first; /* all chunks before it are whole */
};

/* A chunk has at most UINT32_MAX bytes, and a blob at most LIMIT_RANGES_CHUNKS
 * chunks: they grow with it. */
void ranges_init(struct ranges *r, uint64_t bytes, uint64_t chunk_bytes);
void ranges_fini(struct ranges *r);

uint64_t ranges_chunk_size(const struct ranges *r, size_t i);
/* Takes the first chunk that is neither whole nor taken; false: none. */
bool ranges_take(struct ranges *r, size_t *out);
void ranges_give_back(struct ranges *r, size_t i);
/* So many bytes more of a chunk are on disk. */
void ranges_add(struct ranges *r, size_t i, uint64_t n);
/* A plain prefix of the blob is there. */
void ranges_set_prefix(struct ranges *r, uint64_t n);
/* How much is whole at the front; and in all. */
uint64_t ranges_prefix(const struct ranges *r);
uint64_t ranges_total(const struct ranges *r);
bool ranges_is_whole(const struct ranges *r);

/* On disk: a header, then a slot of four bytes for each chunk. */
#define RANGES_HEADER_BYTES 32
#define RANGES_SLOT_BYTES 4
void ranges_put_header(const struct ranges *r, char out[RANGES_HEADER_BYTES]);
void ranges_put_slot(uint32_t done, char out[RANGES_SLOT_BYTES]);
/* Reads all of it for a blob of this size; *out is the caller's to fini. False:
 * it is none, or of another blob. */
must_use bool ranges_read(struct str text, uint64_t bytes, struct ranges *out);
size_t ranges_text_bytes(const struct ranges *r);
