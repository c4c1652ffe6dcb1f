/* tls_ca.h - a certificate for a server without one: signed by an authority of
 * this machine, in a folder of PEM files (as Docker Model Runner has them):
 *
 *   ca.crt      what clients are to trust     0644
 *   ca.key      the authority's key, 10 years 0600
 *   server.crt  365 days                      0644
 *   server.key                                0600
 */
#pragma once
#include "base/err.h"
#include <stdint.h>

/* Less than this before its end a certificate is made anew. */
#define TLS_CA_RENEW_S (30 * 86400)

enum tls_ca_outcome {
	TLS_CA_NEW_SERVER = 1, /* made anew: load it */
	TLS_CA_NEW = 2,	       /* the authority too: clients need it anew */
};

/* Sees to it that the folder, which must be there, holds a certificate for all
 * `names` (ended by NULL) that is good for a while after `now` (Unix time).
 * One process at a time; what was read before stays as it is. */
must_use int tls_ca_ensure(const char *folder, const char *const *names,
			   int64_t now, struct err *e);
