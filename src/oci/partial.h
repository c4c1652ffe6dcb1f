/* partial.h - a blob that is being fetched, on disk: it survives whatever stops
 * the fetch, and is taken up again where it was.
 *
 *   HEX.incomplete          a plain prefix of the blob, as Docker Model Runner
 *                           has it: either program goes on with the other's
 *   HEX.ranges.incomplete   with holes, when several connections fill it
 *   HEX.map.incomplete      which bytes of that are there (ranges.h)
 *
 * A process that works on a partial holds its lock. After a kill, what was
 * written is there; after a power cut the map may promise what the disk lost,
 * which the digest finds out.
 *
 * All functions but partial_free() block: for jobs. Two may run at one time if
 * they are partial_write() for different chunks, or one partial_hash(). */
#pragma once
#include "oci/ranges.h"
#include "oci/store.h"

struct partial;

enum partial_outcome {
	PARTIAL_THERE = 1, /* the store has the blob */
	PARTIAL_BUSY,	   /* another process fetches it */
	PARTIAL_WRONG,	   /* the digest is another */
	PARTIAL_MORE,	   /* there is more to hash */
};

/* Opens what there is, or begins anew; *have is the caller's, made of what is
 * there. */
must_use int partial_open(struct store *s, const struct digest *want,
			  uint64_t bytes, uint64_t chunk_bytes,
			  struct partial **out, struct ranges *have,
			  struct err *e);
/* How much an earlier fetch has left of this blob, as a guess. */
uint64_t partial_bytes(struct store *s, const struct digest *d);
/* Whatever is not published stays for the next time. */
void partial_free(struct partial *p);
BASE_AUTO(partial);

/* From now on bytes may come in any order. */
must_use int partial_allow_ranges(struct partial *p, const struct ranges *have,
				  struct err *e);
bool partial_allows_ranges(const struct partial *p);
/* `at` is where they belong. Before partial_allow_ranges(): at the end. */
must_use int partial_write(struct partial *p, uint64_t at, struct str bytes,
			   struct err *e);
/* Hashes on, up to `end`, which must be there; PARTIAL_MORE after a piece. */
must_use int partial_hash(struct partial *p, uint64_t end, struct err *e);
uint64_t partial_hashed(const struct partial *p);
/* All is there and hashed: syncs it and gives it its name. PARTIAL_WRONG: then
 * only partial_restart() or partial_free() may follow. */
must_use int partial_publish(struct partial *p, struct err *e);
/* Throws all bytes away. */
must_use int partial_restart(struct partial *p, struct err *e);
/* Throws the files away; only partial_free() may follow. */
void partial_discard(struct partial *p);
