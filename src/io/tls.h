/* tls.h - streams that speak TLS (1.2 and 1.3, HTTP/1.1 by ALPN).
 *
 * tls_start() puts the layer between a stream and its owner, who goes on as
 * before: writes wait until the handshake is over, on_open of stream_connect()
 * comes then, stream_finish() says TLS's last word (close_notify) before FIN,
 * and a peer that sends FIN without it is on_fail, not on_end: somebody may
 * have cut what it wanted to say. A handshake that fails or takes longer than
 * LIMIT_TLS_HANDSHAKE_MS is on_fail too: ERR_TLS, its message "tls: " and one
 * sentence without a colon.
 *
 * OpenSSL is initialised by the first tls_server_new() or tls_client_new(). */
#pragma once
#include "io/stream.h"

/* One side's settings; what streams need of it they keep alive. */
struct tls;

/* PEM files: the certificate with what stands between it and its CA, and its
 * key without a passphrase. */
must_use int tls_server_new(const char *cert_file, const char *key_file,
			    struct tls **out, struct err *e);

struct tls_trust {
	/* PEM files of CAs that are believed; the list ends with NULL. NULL, or
	 * `and_system`: those that the system believes. */
	const char *const *ca_files;
	bool and_system;
	bool any; /* believes everybody */
};
must_use int tls_client_new(const struct tls_trust *trust, struct tls **out,
			    struct err *e);
void tls_free(struct tls *t);
BASE_AUTO(tls);
/* When the server's own certificate ends (Unix time). */
int64_t tls_server_ends(const struct tls *t);

/* `s` was just accepted, or stream_connect() has just returned it. A client
 * names the host (a name or a numeric address, without a port) that the
 * certificate must be for; a server gives NULL. */
void tls_start(const struct tls *t, struct stream *s, const char *host);
