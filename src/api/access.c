#include "api/access.h"
#include "api/caller.h"
#include "api/keys.h"
#include "base/limits.h"

#define EVERYTHING (ACCESS_OPEN | ACCESS_INFER | ACCESS_MANAGE | ACCESS_INSPECT)

_Static_assert((int)ACCESS_INFER == (int)KEYFILE_INFER &&
		       (int)ACCESS_MANAGE == (int)KEYFILE_MANAGE &&
		       (int)ACCESS_INSPECT == (int)KEYFILE_INSPECT,
	       "a key's classes are those of the table");

/* Without keys, where the mode for containers does not decide. */
static const unsigned allowed[] = {
	[ACCESS_HOST] = EVERYTHING,   [ACCESS_SOCKET] = EVERYTHING,
	[ACCESS_DOCKER] = EVERYTHING, [ACCESS_CONTAINERS] = 0,
	[ACCESS_GATEWAY] = 0,	      [ACCESS_OTHER] = ACCESS_OPEN,
};

static const unsigned for_containers[] = {
	[ACCESS_MODE_OFF] = 0,
	[ACCESS_MODE_INFERENCE] = ACCESS_OPEN | ACCESS_INFER,
	[ACCESS_MODE_FULL] = EVERYTHING,
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

static void free_list(char ***list)
{
	for (char **o = *list; o && *o; o++)
		free(*o);
	free(*list);
	*list = NULL;
}

static void set_list(char ***list, const char *text)
{
	struct str rest = str_of(text), piece;
	size_t n = 0;
	free_list(list);
	while (text && str_split(&rest, ',', &piece)) {
		piece = str_trim(piece);
		if (!piece.n)
			continue;
		*list = xrealloc(*list, (n + 2) * sizeof **list);
		(*list)[n++] = str_dup(piece);
		(*list)[n] = NULL;
	}
}

void access_set_origins(struct access *a, const char *list)
{
	set_list(&a->origins, list);
}

void access_set_names(struct access *a, const char *list)
{
	set_list(&a->names, list);
}

void access_fini(struct access *a)
{
	free_list(&a->origins);
	free_list(&a->names);
}

static bool is_port(struct str s)
{
	uint64_t port;
	return str_to_u64(s, &port) && port <= 65535;
}

/* Takes a port off; false if what stands there is none. */
static bool drop_port(struct str *host)
{
	ptrdiff_t colon = str_find_last(*host, ':');
	if (colon < 0 || host->p[host->n - 1] == ']')
		return true;
	struct str port = str_tail(*host, (size_t)colon + 1);
	*host = str_head(*host, (size_t)colon);
	return is_port(port);
}

static bool is_one_of(struct str host, const char *const *names, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (str_eq_nocase(host, names[i]))
			return true;
	return false;
}

/* The address that the connection came to, as one writes it in a URL. */
static bool is_literal(struct str host, const char *local)
{
	struct str ours = str_of(local);
	if (!host.n || !drop_port(&ours))
		return false;
	/* IPv4 on a socket for both. */
	if (str_starts(ours, "[::ffff:"))
		ours = str_head(str_tail(ours, 8), ours.n - 9);
	auto_free char *text = str_dup(ours);
	return str_eq_nocase(host, text);
}

static bool host_is_ours(const struct access *a, const struct caller *c,
			 struct str host)
{
	if (!drop_port(&host))
		return false;
	if (is_one_of(host, host_names, ARRAY_LEN(host_names)) ||
	    is_literal(host, c->local))
		return true;
	for (char **n = a->keys ? a->names : NULL; n && *n; n++)
		if (str_eq_nocase(host, *n))
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
	return drop_port(&origin) &&
	       is_one_of(origin, page_hosts, ARRAY_LEN(page_hosts));
}

static bool is_tcp(enum access_way way)
{
	return way != ACCESS_SOCKET && way != ACCESS_DOCKER;
}

static bool is_for_containers(enum access_way way)
{
	return way == ACCESS_CONTAINERS || way == ACCESS_GATEWAY;
}

int access_check(const struct access *a, const struct caller *c,
		 const struct http_head *h, struct err *e)
{
	/* HTTP/1.0 may leave Host out; no browser speaks it. */
	if (is_tcp(c->way) && (h->has_host || h->minor > 0) &&
	    !host_is_ours(a, c, h->host))
		return err_set(e, ERR_FORBIDDEN,
			       "the Host '%.*s' is not a name of this server; "
			       "use %s",
			       STR_ARG(str_head(h->host, 100)),
			       is_for_containers(c->way)
				       ? "model-runner.docker.internal"
				       : "localhost");
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

bool access_needs_key(const struct access *a, enum access_way way)
{
	return a->keys && is_tcp(way);
}

unsigned access_classes(const struct access *a, enum access_way way,
			const struct key *key)
{
	if (is_for_containers(way) && a->containers == ACCESS_MODE_OFF)
		return 0;
	if (access_needs_key(a, way))
		return ACCESS_OPEN | (key ? keys_what(key)->classes : 0);
	return is_for_containers(way) ? for_containers[a->containers]
				      : allowed[way];
}

const char *access_class_name(enum access_class c)
{
	switch (c) {
	case ACCESS_OPEN:
		return "open";
	case ACCESS_INFER:
		return "infer";
	case ACCESS_MANAGE:
		return "manage";
	case ACCESS_INSPECT:
		return "inspect";
	}
	return "";
}

int access_refuse(const struct access *a, enum access_way way,
		  const struct key *key, enum access_class c, struct err *e)
{
	char has[KEYFILE_CLASSES_BYTES];
	if (is_for_containers(way) && a->containers == ACCESS_MODE_OFF)
		return err_set(e, ERR_FORBIDDEN,
			       "containers may not use this server; modeld "
			       "--containers inference lets them");
	if (key)
		return err_set(
			e, ERR_FORBIDDEN,
			"the API key '%s' may not do this: it is for "
			"'%s', and this needs '%s'",
			keys_what(key)->name,
			keyfile_classes_text(keys_what(key)->classes, has),
			access_class_name(c));
	if (is_for_containers(way))
		return err_set(e, ERR_FORBIDDEN,
			       "containers may ask models and list them, and "
			       "this needs '%s': do it on the host, or start "
			       "modeld with --containers full",
			       access_class_name(c));
	return err_set(e, ERR_FORBIDDEN,
		       "this address may be used with an API key only, and "
		       "modeld has none; 'docker model key add NAME' makes "
		       "one");
}
