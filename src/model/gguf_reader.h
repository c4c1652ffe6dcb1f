/* gguf_reader.h - the pieces that GGUF files are made of: numbers, strings and
 * values, read front to back through a window of the file.
 *
 * A length is believed only once the file is known to be long enough for it,
 * and what is skipped is not read. Reads with pread(2). */
#pragma once
#include "base/buf.h"
#include "base/err.h"

enum { GGUF_READER_WINDOW_BYTES = 65536 };

/* The type numbers of values that the header itself looks at. */
enum { GGUF_READER_STRING = 8, GGUF_READER_ARRAY = 9 };

struct gguf_reader {
	int fd; /* borrowed */
	uint64_t file_bytes;
	uint64_t at; /* of the next byte to be taken */
	uint64_t window_at;
	size_t window_n;
	unsigned char window[GGUF_READER_WINDOW_BYTES];
	struct err *e; /* what went wrong: all calls give 0 or -1 */
};

/* -1, and words that name the place in the file. */
int gguf_reader_invalid(struct gguf_reader *r, const char *what);

must_use int gguf_reader_bytes(struct gguf_reader *r, void *out, size_t n);
/* Little-endian, of 1 to 8 bytes. */
must_use int gguf_reader_uint(struct gguf_reader *r, size_t n, uint64_t *out);
must_use int gguf_reader_string(struct gguf_reader *r, struct buf *out);
must_use int gguf_reader_skip_string(struct gguf_reader *r);
/* A value of this type as text; *is_shown is false for a long array, which is
 * only skipped. */
must_use int gguf_reader_value(struct gguf_reader *r, uint64_t type,
			       struct buf *out, bool *is_shown);
