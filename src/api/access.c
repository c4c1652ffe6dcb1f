#include "api/access.h"
#include "base/limits.h"

static const unsigned allowed[] = {
	[ACCESS_HOST] =
		ACCESS_OPEN | ACCESS_INFER | ACCESS_MANAGE | ACCESS_INSPECT,
	[ACCESS_SOCKET] =
		ACCESS_OPEN | ACCESS_INFER | ACCESS_MANAGE | ACCESS_INSPECT,
	[ACCESS_DOCKER] =
		ACCESS_OPEN | ACCESS_INFER | ACCESS_MANAGE | ACCESS_INSPECT,
	[ACCESS_CONTAINERS] = ACCESS_OPEN | ACCESS_INFER,
	[ACCESS_GATEWAY] = ACCESS_OPEN | ACCESS_INFER,
	[ACCESS_OTHER] = 0,
};

static const char *const way_names[] = {
	[ACCESS_HOST] = "host",	      [ACCESS_SOCKET] = "socket",
	[ACCESS_DOCKER] = "docker",   [ACCESS_CONTAINERS] = "containers",
	[ACCESS_GATEWAY] = "gateway", [ACCESS_OTHER] = "other",
};

const char *access_way_name(enum access_way way)
{
	return way_names[way];
}

bool access_way_parse(struct str name, enum access_way *out)
{
	for (size_t i = 0; i < ARRAY_LEN(way_names); i++)
		if (str_eq(name, way_names[i])) {
			*out = (enum access_way)i;
			return true;
		}
	return false;
}

/* Names under which this host's own programs reach us. */
static const char *const host_names[] = {
	"localhost",
	"127.0.0.1",
	"[::1]",
	"model-runner.docker.internal",
	"host.docker.internal",
};

/* Pages of these hosts may call us, on any port. */
static const char *const page_hosts[] = { "localhost", "127.0.0.1", "[::1]",
					  "0.0.0.0" };

static void free_origins(struct access *a)
{
	for (char **o = a->origins; o && *o; o++)
		free(*o);
	free(a->origins);
	a->origins = NULL;
}

void access_set_origins(struct access *a, const char *list)
{
	struct str rest = str_of(list), piece;
	size_t n = 0;
	free_origins(a);
	while (list && str_split(&rest, ',', &piece)) {
		piece = str_trim(piece);
		if (!piece.n)
			continue;
		a->origins = xrealloc(a->origins, (n + 2) * sizeof *a->origins);
		a->origins[n++] = str_dup(piece);
		a->origins[n] = NULL;
	}
}

void access_fini(struct access *a)
{
	free_origins(a);
}

static bool is_port(struct str s)
{
	uint64_t port;
	return str_to_u64(s, &port) && port <= 65535;
}

/* host or host:port, with the host one of the names. */
static bool host_is_one_of(struct str host, const char *const *names, size_t n)
{
	ptrdiff_t colon = str_find_last(host, ':');
	if (colon >= 0 && host.p[host.n - 1] != ']') {
		if (!is_port(str_tail(host, (size_t)colon + 1)))
			return false;
		host = str_head(host, (size_t)colon);
	}
	for (size_t i = 0; i < n; i++)
		if (str_eq_nocase(host, names[i]))
			return true;
	return false;
}

static bool origin_is_allowed(const struct access *a, struct str origin)
{
	for (char **o = a->origins; o && *o; o++)
		if (strcmp(*o, "*") == 0 || str_eq_nocase(origin, *o))
			return true;
	if (str_starts(origin, "http://"))
		origin = str_tail(origin, 7);
	else if (str_starts(origin, "https://"))
		origin = str_tail(origin, 8);
	else
		return false;
	return host_is_one_of(origin, page_hosts, ARRAY_LEN(page_hosts));
}

int access_check(const struct access *a, enum access_way way,
		 const struct http_head *h, struct err *e)
{
	/* HTTP/1.0 may leave Host out; no browser speaks it. */
	bool is_tcp = way != ACCESS_SOCKET && way != ACCESS_DOCKER;
	if (is_tcp && (h->has_host || h->minor > 0) &&
	    !host_is_one_of(h->host, host_names, ARRAY_LEN(host_names)))
		return err_set(e, ERR_FORBIDDEN,
			       "the Host '%.*s' is not a name of this server; "
			       "use localhost",
			       STR_ARG(h->host));
	/* It is echoed, into an answer that has a ceiling. */
	const struct http_field *origin = head_find(h, "Origin");
	if (origin && (origin->value.n > LIMIT_ORIGIN_BYTES ||
		       !origin_is_allowed(a, origin->value)))
		return err_set(e, ERR_FORBIDDEN,
			       "Origin not allowed: '%.*s'; pages of localhost "
			       "are, others when DMR_ORIGINS lists them",
			       STR_ARG(origin->value));
	return 0;
}

int access_check_class(enum access_way way, enum access_class c, struct err *e)
{
	if (allowed[way] & (unsigned)c)
		return 0;
	return err_set(e, ERR_FORBIDDEN,
		       "this address may not be used for that");
}
