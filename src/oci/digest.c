#include "oci/digest.h"

#include <openssl/evp.h>
#include <stdio.h>

enum { RAW_BYTES = 32 };

struct digest_ctx {
	EVP_MD_CTX *md; /* owned */
};

bool digest_parse_hex(struct str hex, struct digest *out)
{
	if (hex.n != sizeof out->hex - 1)
		return false;
	for (size_t i = 0; i < hex.n; i++) {
		char c = hex.p[i];
		if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f')))
			return false;
	}
	memcpy(out->hex, hex.p, hex.n);
	out->hex[hex.n] = '\0';
	return true;
}

int digest_parse(struct str text, struct digest *out, struct err *e)
{
	if (str_starts(text, DIGEST_PREFIX) &&
	    digest_parse_hex(str_tail(text, sizeof DIGEST_PREFIX - 1), out))
		return 0;
	struct str shown = str_head(text, DIGEST_TEXT_BYTES);
	return err_set(
		e, ERR_INVALID,
		"\"%.*s\" is not a digest: \"sha256:\" and 64 lower-case "
		"hex digits are needed",
		STR_ARG(shown));
}

const char *digest_text(const struct digest *d, char out[DIGEST_TEXT_BYTES])
{
	snprintf(out, DIGEST_TEXT_BYTES, DIGEST_PREFIX "%s", d->hex);
	return out;
}

struct digest_ctx *digest_ctx_new(void)
{
	struct digest_ctx *c = xcalloc(1, sizeof *c);
	c->md = EVP_MD_CTX_new();
	/* Fails only without memory or without SHA-256 in the library. */
	if (!c->md || !EVP_DigestInit_ex(c->md, EVP_sha256(), NULL))
		abort();
	return c;
}

void digest_ctx_free(struct digest_ctx *c)
{
	if (c)
		EVP_MD_CTX_free(c->md);
	free(c);
}

void digest_ctx_put(struct digest_ctx *c, const void *p, size_t n)
{
	if (n && !EVP_DigestUpdate(c->md, p, n))
		abort();
}

struct digest digest_ctx_end(struct digest_ctx *c)
{
	static const char digits[] = "0123456789abcdef";
	unsigned char raw[RAW_BYTES];
	struct digest d = { 0 };
	if (!EVP_DigestFinal_ex(c->md, raw, NULL))
		abort();
	for (size_t i = 0; i < sizeof raw; i++) {
		d.hex[2 * i] = digits[raw[i] >> 4];
		d.hex[2 * i + 1] = digits[raw[i] & 15];
	}
	return d;
}

struct digest digest_of(struct str bytes)
{
	auto_(digest_ctx) c = digest_ctx_new();
	digest_ctx_put(c, bytes.p, bytes.n);
	return digest_ctx_end(c);
}
