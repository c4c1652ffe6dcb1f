#include "modeld/certs.h"
#include "base/arena.h"
#include "base/limits.h"
#include "base/paths.h"
#include "io/tls_ca.h"
#include "modeld/rundir.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include <uv.h>

/* How often it is looked whether a certificate is near its end. */
#define LOOK_MS (12 * 3600 * 1000u)
#define WARN_S (14 * 86400)
/* Of one certificate: --names has up to LIMIT_NAMES; a machine with more
 * addresses than the rest names one by --bind. */
#define NAMES_MAX (LIMIT_NAMES + 64)
#define CA_BYTES 16384

/* The names of one certificate. */
struct names {
	const char *list[NAMES_MAX + 1]; /* ends with NULL */
	size_t n;
	struct arena arena; /* owns them */
};

static void add(struct names *to, struct str name)
{
	if (name.n && to->n < NAMES_MAX)
		to->list[to->n++] = arena_str(&to->arena, name);
}

/* Public addresses come and go, and our authority is not to vouch for them. */
static bool is_private(const uv_interface_address_t *a)
{
	if (a->address.address4.sin_family != AF_INET)
		return (a->address.address6.sin6_addr.s6_addr[0] & 0xfe) ==
		       0xfc;
	uint32_t ip = ntohl(a->address.address4.sin_addr.s_addr);
	return ip >> 24 == 10 || ip >> 20 == 0xac1 || ip >> 16 == 0xc0a8;
}

static void add_addresses(struct names *to)
{
	uv_interface_address_t *all;
	char text[INET6_ADDRSTRLEN];
	int n;
	if (uv_interface_addresses(&all, &n) != 0)
		return;
	for (int i = 0; i < n; i++) {
		bool is_v4 = all[i].address.address4.sin_family == AF_INET;
		if (all[i].is_internal || !is_private(&all[i]))
			continue;
		if (is_v4)
			uv_ip4_name(&all[i].address.address4, text,
				    sizeof text);
		else
			uv_ip6_name(&all[i].address.address6, text,
				    sizeof text);
		add(to, str_of(text));
	}
	uv_free_interface_addresses(all, n);
}

static void name_all(struct names *to, const struct options *o)
{
	static const char *const always[] = { "localhost",
					      "model-runner.docker.internal",
					      "host.docker.internal",
					      "127.0.0.1", "::1" };
	for (size_t i = 0; i < ARRAY_LEN(always); i++)
		add(to, str_of(always[i]));
	struct str more = str_of(o->names), name;
	while (str_split(&more, ',', &name))
		add(to, str_trim(name));
	if (!strcmp(o->bind, "0.0.0.0") || !strcmp(o->bind, "::"))
		add_addresses(to);
	else if (strcmp(o->bind, "localhost") && !strchr(o->bind, '%'))
		add(to,
		    str_of(o->bind)); /* a zone is no part of a certificate */
}

/* ---- the authority of this machine ---- */

/* For those who cannot look into the folder, which are most. Not where anybody
 * may put files: what lies there is not believed either. */
static int publish(const char *folder, const char *socket, struct err *e)
{
	char text[CA_BYTES];
	auto_free char *from = xasprintf("%s/ca.crt", folder);
	auto_free char *to = xstrdup(socket);
	char *slash = strrchr(to, '/');
	struct stat st;
	if (!slash)
		return 0;
	*slash = '\0';
	rundir_make_parents(socket);
	if (stat(to, &st) < 0 || st.st_mode & S_IWOTH)
		return 0;
	auto_free char *path = xasprintf("%s/ca.crt", to);
	auto_free char *other = xasprintf("%s/.ca.crt.new", to);
	auto_close int in = open(from, O_RDONLY | O_CLOEXEC);
	ssize_t n = in < 0 ? -1 : read(in, text, sizeof text);
	if (n < 0)
		return err_sys(e, "read %s", from);
	unlink(other);
	auto_close int out = open(
		other, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
		0644);
	if (out < 0 || fchmod(out, 0644) < 0 ||
	    write(out, text, (size_t)n) != n || rename(other, path) < 0)
		return err_sys(e, "write %s", path);
	return 0;
}

/* Makes what is missing; the files' names are the caller's. */
static int use_own_authority(const struct options *o, char **cert, char **key,
			     struct err *e)
{
	auto_free char *folder = paths_certs();
	auto_free char *ca = xasprintf("%s/ca.crt", folder);
	struct names names = { .n = 0 };
	arena_init(&names.arena);
	name_all(&names, o);
	rundir_make_parents(ca);
	int r = tls_ca_ensure(folder, names.list, time(NULL), e);
	arena_fini(&names.arena);
	if (r < 0)
		return -1;
	if (r == TLS_CA_NEW)
		log_info("made a certificate authority: clients are to trust "
			 "file=%s",
			 ca);
	if (r == TLS_CA_NEW_SERVER)
		log_info("made a new certificate folder=%s", folder);
	*cert = xasprintf("%s/server.crt", folder);
	*key = xasprintf("%s/server.key", folder);
	if (strcmp(o->socket, "off") == 0 || !paths_is_system())
		return 0;
	if (publish(folder, o->socket, e))
		log_warn("clients do not find the authority's certificate "
			 "error=\"%s\"",
			 e->msg);
	return 0;
}

/* ---- loading ---- */

static void warn(const struct options *o, const struct tls *t)
{
	struct stat st;
	int64_t left = tls_server_ends(t) - time(NULL);
	if (!o->tls_cert)
		return;
	if (left < 0)
		log_warn("the certificate has expired file=%s", o->tls_cert);
	else if (left < WARN_S)
		log_warn("the certificate expires soon file=%s days=%lld",
			 o->tls_cert, (long long)(left / 86400));
	if (stat(o->tls_key, &st) == 0 && st.st_mode & 077)
		log_warn("others than its owner may read or change the key "
			 "file=%s mode=%03o",
			 o->tls_key, (unsigned)st.st_mode & 0777);
}

int certs_load(struct certs *c, const struct options *o, struct err *e)
{
	auto_free char *cert = NULL;
	auto_free char *key = NULL;
	struct tls *fresh = NULL;
	if (o->tls_port == OPTIONS_PORT_OFF)
		return 0;
	timer_start(&c->renew, LOOK_MS);
	if (!o->tls_cert != !o->tls_key)
		return err_set(e, ERR_USAGE,
			       "tls-cert and tls-key belong together");
	if (!o->tls_cert && !o->tls_auto)
		return err_set(e, ERR_USAGE,
			       "TLS needs tls-cert and tls-key, since "
			       "MODEL_RUNNER_TLS_AUTO_CERT is off");
	if (!o->tls_cert && use_own_authority(o, &cert, &key, e))
		return err_wrap(e, "TLS");
	if (tls_server_new(cert ? cert : o->tls_cert, key ? key : o->tls_key,
			   &fresh, e))
		return err_wrap(e, "TLS");
	warn(o, fresh);
	tls_free(c->tls);
	c->tls = fresh;
	return 0;
}

static void on_renew(void *ctx)
{
	struct certs *c = ctx;
	struct err e;
	if (certs_load(c, c->options, &e))
		log_error("%s", e.msg);
}

void certs_init(struct certs *c, struct uv_loop_s *loop,
		const struct options *o)
{
	*c = (struct certs){ .options = o };
	timer_init(&c->renew, loop, on_renew, c);
}

void certs_fini(struct certs *c)
{
	tls_free(steal(&c->tls));
	timer_fini(&c->renew);
}
