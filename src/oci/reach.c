#include "oci/reach.h"

#include <string.h>

void reach_settle(struct reach *r, const struct netaddr *a)
{
	if (r->has_home)
		return;
	r->has_home = true;
	r->home = *a;
}

bool reach_allows(const struct reach *r, const char *host, bool is_named,
		  const struct netaddr *a)
{
	enum netaddr_kind kind = netaddr_kind(a);
	if (kind == NETADDR_PUBLIC)
		return true;
	if (!r->has_home)
		return is_named;
	if (netaddr_same(a, &r->home))
		return true;
	enum netaddr_kind home = netaddr_kind(&r->home);
	if (strcmp(host, r->host) == 0)
		return kind == home;
	return kind == NETADDR_PRIVATE && home == NETADDR_PRIVATE;
}

static bool is_inside_name(const char *host)
{
	static const char *const names[] = { "localhost",
					     "host.docker.internal",
					     "gateway.docker.internal",
					     "model-runner.docker.internal" };
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (strcmp(host, names[i]) == 0)
			return true;
	return str_ends(str_of(host), ".localhost");
}

/* Is the registry on this machine, by name or address? */
static bool is_local(const struct reach *r)
{
	struct netaddr a = r->home;
	if (is_inside_name(r->host))
		return true;
	return (r->has_home || netaddr_parse(r->host, &a)) &&
	       netaddr_kind(&a) == NETADDR_LOOPBACK;
}

int reach_check(const struct reach *r, const struct weburl *from,
		const struct weburl *to, struct err *e)
{
	struct netaddr a;
	char place[WEBURL_HOST_BYTES + 8], at[WEBURL_HOST_BYTES + 8];
	weburl_place(to, place);
	weburl_place(from, at);
	if (from->is_https && !to->is_https)
		return err_set(e, ERR_FORBIDDEN,
			       "%s sends us from https to http (%s), which is "
			       "not done",
			       at, place);
	bool is_own = strcmp(to->host, r->host) == 0;
	if (netaddr_parse(to->host, &a)
		    ? !reach_allows(r, to->host, is_own, &a)
		    : !is_own && is_inside_name(to->host) && !is_local(r))
		return err_set(e, ERR_FORBIDDEN,
			       "%s sends us to %s, an address inside, where a "
			       "registry may not send us",
			       at, place);
	return 0;
}
