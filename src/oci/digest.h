/* digest.h - the SHA-256 name of some bytes: "sha256:" and 64 lower-case hex
 * digits. A plain value; other algorithms are refused, as by every registry
 * that holds models. Pure, no I/O; a hash costs about 1 ms per MB where the
 * CPU has no SHA instructions. */
#pragma once
#include "base/err.h"
#include "base/str.h"

struct digest {
	char hex[65]; /* with its NUL; "" is no digest */
};

#define DIGEST_PREFIX "sha256:"
#define DIGEST_TEXT_BYTES 72 /* of the text with its NUL */

/* "sha256:<hex>", and the hex digits alone. */
must_use int digest_parse(struct str text, struct digest *out, struct err *e);
must_use bool digest_parse_hex(struct str hex, struct digest *out);
/* Writes "sha256:<hex>" and gives `out` back, for use in a printf. */
const char *digest_text(const struct digest *d, char out[DIGEST_TEXT_BYTES]);

static inline bool digest_eq(const struct digest *a, const struct digest *b)
{
	return memcmp(a->hex, b->hex, sizeof a->hex) == 0;
}

struct digest digest_of(struct str bytes);

/* The same for bytes that come in pieces. */
struct digest_ctx;
struct digest_ctx *digest_ctx_new(void) must_use;
void digest_ctx_free(struct digest_ctx *c);
BASE_AUTO(digest_ctx);
void digest_ctx_put(struct digest_ctx *c, const void *p, size_t n);
/* Ends the hash; only digest_ctx_free() may follow. */
struct digest digest_ctx_end(struct digest_ctx *c);
