/* certs.h - modeld's certificate: the one of the settings, or one that an
 * authority of this machine signs and that is made anew before it ends.
 *
 * The authority's own certificate, ca.crt, is what clients are to trust. It
 * lies in paths_certs(); a modeld of the system puts a copy beside its socket,
 * since nobody else can read the folder that systemd gives it. */
#pragma once
#include "io/timer.h"
#include "io/tls.h"
#include "modeld/options.h"

struct certs {
	struct tls *tls;	       /* owned; NULL: TLS was never on */
	const struct options *options; /* in force */
	struct timer renew;
};

/* `o` is read again whenever a certificate may be near its end. */
void certs_init(struct certs *c, struct uv_loop_s *loop,
		const struct options *o);
/* As these settings say, which may be others than those in force; reads the
 * files again. -1: all stays as it was. */
must_use int certs_load(struct certs *c, const struct options *o,
			struct err *e);
void certs_fini(struct certs *c);
