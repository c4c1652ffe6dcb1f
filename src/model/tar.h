/* tar.h - reads a tar archive that comes in pieces: ustar, with the pax and
 * GNU extensions for long names and large sizes. Pure: no file is made, no path
 * is followed; what an entry means is the caller's. Keeps at most one header
 * (LIMIT_TAR_HEADER_BYTES). */
#pragma once
#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"

struct tar;

struct tar_entry {
	const char *name; /* as written, not checked */
	uint64_t bytes;
	bool is_file; /* else a folder or link, which has no bytes */
};

enum tar_outcome { TAR_MORE = 1, TAR_ENTRY, TAR_DATA, TAR_END };

struct tar *tar_new(void) must_use;
void tar_free(struct tar *t);
BASE_AUTO(tar);

/* Takes bytes off the front of *in until there is something to say:
 * TAR_ENTRY  an entry begins; tar_entry() describes it until the next call
 * TAR_DATA   *data is the next piece of its contents, borrowed from `in`
 * TAR_MORE   all is taken and more is needed
 * TAR_END    the archive is over; what follows is ignored */
must_use int tar_next(struct tar *t, struct str *in, struct str *data,
		      struct err *e);
const struct tar_entry *tar_entry(const struct tar *t);
/* May the archive end here, between two entries? */
bool tar_is_whole(const struct tar *t);

/* The 512 bytes that go before a file or folder ("name/") of this size. The
 * name must be under 100 bytes. */
#define TAR_BLOCK_BYTES 512
void tar_header(char out[TAR_BLOCK_BYTES], const char *name, unsigned mode,
		uint64_t bytes);
