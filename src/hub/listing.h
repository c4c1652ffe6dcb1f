/* listing.h - what a hub's API answers: a revision, and the files in it, page
 * by page. All of it may be hostile: sizes, names and hashes are checked, one
 * entry is parsed at a time, and only files that a model may be made of are
 * kept. Pure. */
#pragma once
#include "base/arena.h"
#include "base/limits.h"
#include "hub/githash.h"
#include "oci/digest.h"

struct listing_revision {
	struct githash commit;
	char repository[LIMIT_REFERENCE_BYTES]; /* as the hub spells it, or ""
						 */
	char changed[21]; /* "2026-01-02T03:04:05Z", or "" */
};

/* GET /api/models/REPOSITORY/revision/REVISION */
must_use int listing_parse_revision(struct str text,
				    struct listing_revision *out,
				    struct err *e);

struct listing_file {
	const char *path; /* relative, with '/', without "." and ".." */
	uint64_t bytes;
	struct digest sha256; /* "": the hub does not say */
	struct githash git;   /* then this is set */
};

struct listing {
	struct arena arena; /* owns the paths */
	struct listing_file *all;
	size_t n, cap;
	size_t n_seen; /* with those that are not kept */
};

void listing_init(struct listing *l);
void listing_fini(struct listing *l);
/* GET /api/models/REPOSITORY/tree/COMMIT?recursive=true, one page of it. */
must_use int listing_add(struct listing *l, struct str page, struct err *e);
/* After the last page: sorts by path. */
must_use int listing_end(struct listing *l, struct err *e);

/* From a Link field, the target with rel="next"; borrowed. False: none. */
bool listing_next(struct str link, struct str *out) must_use;

/* The path with what a URL cannot have written as %XX; the caller frees it. */
char *listing_escape(const char *path) must_use;
