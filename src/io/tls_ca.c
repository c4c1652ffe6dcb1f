#include "io/tls_ca.h"
#include "io/tls_cert.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <unistd.h>

#define DAY_S 86400
#define SERVER_S (365 * DAY_S)
#define CA_S (3652LL * DAY_S)
/* Other machines' clocks are behind ours, a little. */
#define EARLY_S 3600

/* NULL: none that can be used. */
static struct tls_cert *load(const char *folder, const char *name)
{
	auto_free char *cert = xasprintf("%s/%s.crt", folder, name);
	auto_free char *key = xasprintf("%s/%s.key", folder, name);
	struct tls_cert *c = NULL;
	struct err unused;
	return tls_cert_read(cert, key, &c, &unused) ? NULL : c;
}

static int make_server(const struct tls_cert *ca, const char *const *names,
		       int64_t now, struct tls_cert **out, struct err *e)
{
	const struct tls_cert_wish wish = { .title = "modeld",
					    .authority = ca,
					    .names = names,
					    .from = now - EARLY_S,
					    .until = now + SERVER_S };
	return tls_cert_new(&wish, out, e);
}

static int make_ca(const char *const *names, int64_t now, struct tls_cert **out,
		   struct err *e)
{
	char machine[64] = "";
	gethostname(machine, sizeof machine - 1);
	auto_free char *title = xasprintf("modeld on %.40s, made %lld", machine,
					  (long long)now);
	const struct tls_cert_wish wish = { .title = title,
					    .may_sign = names,
					    .from = now - EARLY_S,
					    .until = now + CA_S };
	return tls_cert_new(&wish, out, e);
}

static int renew(int dir, struct tls_cert *ca, const char *const *names,
		 int64_t now, struct err *e)
{
	auto_(tls_cert) server = NULL;
	auto_(tls_cert) fresh = NULL;
	if (ca && make_server(ca, names, now, &server, e))
		return -1;
	if (ca && tls_cert_is_good(server, ca, names, now + TLS_CA_RENEW_S))
		return tls_cert_write(server, dir, "server.crt", "server.key",
				      e)
			       ? -1
			       : TLS_CA_NEW_SERVER;
	/* None, near its end, or it may not sign these names. */
	tls_cert_free(steal(&server));
	if (make_ca(names, now, &fresh, e) ||
	    make_server(fresh, names, now, &server, e))
		return -1;
	if (!tls_cert_is_good(server, fresh, names, now + TLS_CA_RENEW_S))
		return err_set(e, ERR_INTERNAL,
			       "the certificate just made is not good");
	if (tls_cert_write(fresh, dir, "ca.crt", "ca.key", e) ||
	    tls_cert_write(server, dir, "server.crt", "server.key", e))
		return -1;
	return TLS_CA_NEW;
}

int tls_ca_ensure(const char *folder, const char *const *names, int64_t now,
		  struct err *e)
{
	/* The lock goes with the descriptor. */
	auto_close int dir = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0 || flock(dir, LOCK_EX) < 0)
		return err_sys(e, "use the folder %s", folder);
	auto_(tls_cert) ca = load(folder, "ca");
	auto_(tls_cert) server = load(folder, "server");
	if (ca && server &&
	    tls_cert_is_good(server, ca, names, now + TLS_CA_RENEW_S))
		return 0;
	int r = renew(dir, ca, names, now, e);
	return r < 0 ? err_wrap(e, "certificates in %s", folder) : r;
}
