/* chunk.h - the chunked transfer coding (RFC 9112, section 7.1), both ways.
 *
 * Strict: hex digits only, at most 16, CRLF only, extensions skipped within
 * LIMIT_CHUNK_LINE_BYTES, trailer fields checked and dropped within
 * LIMIT_TRAILER_BYTES (one about the framing is refused). Pure; the body is not
 * copied. */
#pragma once
#include "base/err.h"
#include "base/str.h"

struct chunk_decoder {
	int state;     /* private */
	uint64_t left; /* of the chunk that is being read */
	size_t line;   /* bytes of the size line or of the trailer so far */
	int digits;
	int mark;      /* private */
	char name[20]; /* private: of a trailer field */
};

enum chunk_outcome {
	CHUNK_MORE = 1, /* all bytes used, the body goes on */
	CHUNK_DONE,	/* the body is over; what is left is not part of it */
};

void chunk_decoder_init(struct chunk_decoder *d);
/* Takes bytes from the front of *in. On CHUNK_MORE or CHUNK_DONE or 0, *data is
 * the next run of body bytes (may be empty) and points into the input; 0 means
 * that there is more input to look at: call again. -1: not chunked coding. */
must_use int chunk_decode(struct chunk_decoder *d, struct str *in,
			  struct str *data, struct err *e);

/* The line before a chunk of n bytes; out must hold CHUNK_HEAD_BYTES. */
#define CHUNK_HEAD_BYTES 20
struct str chunk_head(uint64_t n, char *out);
#define CHUNK_TAIL "\r\n"
#define CHUNK_LAST "0\r\n\r\n"
