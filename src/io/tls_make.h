/* tls_make.h - for tests: certificates in a folder that goes with the test. */
#pragma once
#include "io/tls.h"
#include "io/tls_cert.h"

#include <fcntl.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#define TLS_MAKE_DAY 86400

static char tls_make_folder[64];

static inline void tls_make_open(void)
{
	snprintf(tls_make_folder, sizeof tls_make_folder,
		 "/tmp/tls-test-XXXXXX");
	if (!mkdtemp(tls_make_folder))
		abort();
}

static inline void tls_make_close(void)
{
	auto_free char *command = xasprintf("rm -r %s", tls_make_folder);
	if (system(command))
		abort();
}

/* NAME.crt and NAME.key, with the end so many days from now. */
static inline struct tls_cert *tls_make(const char *name,
					const struct tls_cert *authority,
					const char *host, int days)
{
	const char *names[] = { host, NULL };
	struct tls_cert_wish wish = { .title = name,
				      .authority = authority,
				      .names = names,
				      .may_sign = names,
				      .from = time(NULL) - 90 * TLS_MAKE_DAY,
				      .until = time(NULL) +
					       days * TLS_MAKE_DAY };
	struct tls_cert *c;
	struct err e;
	auto_free char *cert = xasprintf("%s.crt", name);
	auto_free char *key = xasprintf("%s.key", name);
	auto_close int dir = open(tls_make_folder, O_RDONLY | O_CLOEXEC);
	if (tls_cert_new(&wish, &c, &e) ||
	    tls_cert_write(c, dir, cert, key, &e)) {
		fprintf(stderr, "%s\n", e.msg);
		abort();
	}
	return c;
}

static inline char *tls_make_path(const char *name)
{
	return xasprintf("%s/%s", tls_make_folder, name);
}

static inline struct tls *tls_make_server(const char *name)
{
	auto_free char *cert = xasprintf("%s/%s.crt", tls_make_folder, name);
	auto_free char *key = xasprintf("%s/%s.key", tls_make_folder, name);
	struct tls *t;
	struct err e;
	if (tls_server_new(cert, key, &t, &e)) {
		fprintf(stderr, "%s\n", e.msg);
		abort();
	}
	return t;
}

/* `name` of a CA; NULL: believes everybody. */
static inline struct tls *tls_make_client(const char *name)
{
	auto_free char *ca =
		xasprintf("%s/%s.crt", tls_make_folder, name ? name : "");
	const char *files[] = { ca, NULL };
	const struct tls_trust trust = { .ca_files = name ? files : NULL,
					 .any = !name };
	struct tls *t;
	struct err e;
	if (tls_client_new(&trust, &t, &e)) {
		fprintf(stderr, "%s\n", e.msg);
		abort();
	}
	return t;
}
