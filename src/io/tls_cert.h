/* tls_cert.h - certificates with their keys: made, read, written, judged.
 *
 * Keys are ECDSA P-256. An authority signs itself and can sign servers only,
 * and only for the names and addresses that it was made for (X.509 name
 * constraints), so that whoever steals its key cannot speak for the world. */
#pragma once
#include "base/err.h"
#include "base/str.h"

struct tls_cert;

/* Names are host names or numeric addresses; lists end with NULL. */
struct tls_cert_wish {
	const char *title; /* for people: the subject's common name */
	const struct tls_cert *authority; /* NULL: it is one */
	const char *const *names;	  /* of the server */
	/* Of an authority, beside private networks' addresses. */
	const char *const *may_sign;
	int64_t from, until; /* Unix time */
};

must_use int tls_cert_new(const struct tls_cert_wish *wish,
			  struct tls_cert **out, struct err *e);
/* PEM files; -1 also if the key is not the certificate's. */
must_use int tls_cert_read(const char *cert_file, const char *key_file,
			   struct tls_cert **out, struct err *e);
void tls_cert_free(struct tls_cert *c);
BASE_AUTO(tls_cert);

/* Writes both files in the folder `dir` (a descriptor), each at once or not at
 * all: the key for its owner only, the certificate for everybody. */
must_use int tls_cert_write(const struct tls_cert *c, int dir,
			    const char *cert_name, const char *key_name,
			    struct err *e);
/* Would a client that trusts `authority` believe all these names at `time`? */
bool tls_cert_is_good(const struct tls_cert *c,
		      const struct tls_cert *authority,
		      const char *const *names, int64_t time);
