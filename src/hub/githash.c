#include "hub/githash.h"

#include <openssl/evp.h>
#include <stdio.h>

struct githash githash_of(struct str bytes)
{
	struct githash h;
	unsigned char sum[EVP_MAX_MD_SIZE];
	unsigned n = 0;
	char head[40];
	int head_n = snprintf(head, sizeof head, "blob %zu", bytes.n) + 1;
	EVP_MD_CTX *c = EVP_MD_CTX_new();
	if (!c || EVP_DigestInit_ex(c, EVP_sha1(), NULL) != 1 ||
	    EVP_DigestUpdate(c, head, (size_t)head_n) != 1 ||
	    EVP_DigestUpdate(c, bytes.p, bytes.n) != 1 ||
	    EVP_DigestFinal_ex(c, sum, &n) != 1)
		abort();
	EVP_MD_CTX_free(c);
	for (unsigned i = 0; i < 20; i++)
		snprintf(h.hex + 2 * i, 3, "%02x", sum[i]);
	return h;
}

bool githash_parse(struct str hex, struct githash *out)
{
	if (hex.n != 40)
		return false;
	for (size_t i = 0; i < hex.n; i++) {
		char c = hex.p[i];
		if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f')))
			return false;
	}
	memcpy(out->hex, hex.p, 40);
	out->hex[40] = '\0';
	return true;
}
