#include "io/proxyenv.h"
#include "io/netaddr.h"

#include <stdio.h>

static bool is_in_block(const struct netaddr *a, struct str block)
{
	char text[64];
	uint64_t bits;
	struct netaddr net;
	ptrdiff_t slash = str_find(block, '/');
	if (slash < 0 || slash >= (ptrdiff_t)sizeof text ||
	    !str_to_u64(str_tail(block, (size_t)slash + 1), &bits))
		return false;
	snprintf(text, sizeof text, "%.*s", (int)slash, block.p);
	if (!netaddr_parse(text, &net) || net.is_v6 != a->is_v6 ||
	    bits > (a->is_v6 ? 128 : 32))
		return false;
	for (size_t i = 0; i < bits; i++) {
		unsigned mask = 0x80u >> (i % 8);
		if ((net.bytes[i / 8] ^ a->bytes[i / 8]) & mask)
			return false;
	}
	return true;
}

static bool matches_name(struct str pattern, const char *host)
{
	size_t n = strlen(host);
	if (str_starts(pattern, "*."))
		pattern = str_tail(pattern, 1);
	if (str_starts(pattern, "."))
		pattern = str_tail(pattern, 1);
	if (!pattern.n || n < pattern.n)
		return false;
	struct str end = { host + n - pattern.n, pattern.n };
	char text[WEBURL_HOST_BYTES];
	if (pattern.n >= sizeof text)
		return false;
	snprintf(text, sizeof text, "%.*s", STR_ARG(pattern));
	return str_eq_nocase(end, text) && (n == pattern.n || end.p[-1] == '.');
}

static bool matches(struct str item, const struct weburl *u)
{
	struct netaddr host, named;
	char text[WEBURL_HOST_BYTES];
	uint64_t port;
	bool is_address = netaddr_parse(u->host, &host);
	if (str_eq(item, "*"))
		return true;
	if (is_address && is_in_block(&host, item))
		return true;
	ptrdiff_t colon = str_find_last(item, ':');
	/* Several colons and no brackets: an IPv6 address. */
	if (colon >= 0 && (str_find(item, ':') == colon || item.p[0] == '[') &&
	    str_to_u64(str_tail(item, (size_t)colon + 1), &port)) {
		if (port != u->port)
			return false;
		item = str_head(item, (size_t)colon);
	}
	if (!is_address)
		return matches_name(item, u->host);
	if (item.n >= sizeof text)
		return false;
	snprintf(text, sizeof text, "%.*s", STR_ARG(item));
	return netaddr_parse(text, &named) && named.is_v6 == host.is_v6 &&
	       memcmp(named.bytes, host.bytes, sizeof host.bytes) == 0;
}

bool proxyenv_excludes(struct str no_proxy, const struct weburl *u)
{
	struct str item;
	while (str_split(&no_proxy, ',', &item)) {
		item = str_trim(item);
		if (item.n && matches(item, u))
			return true;
	}
	return false;
}

static const char *either(const char *lower, const char *upper)
{
	const char *v = getenv(lower);
	if (!v || !v[0])
		v = getenv(upper);
	return v ? v : "";
}

const char *proxyenv_find(const struct weburl *u)
{
	struct netaddr a;
	bool is_here = strcmp(u->host, "localhost") == 0 ||
		       (netaddr_parse(u->host, &a) &&
			netaddr_kind(&a) == NETADDR_LOOPBACK);
	if (is_here ||
	    proxyenv_excludes(str_of(either("no_proxy", "NO_PROXY")), u))
		return "";
	const char *proxy = u->is_https ? either("https_proxy", "HTTPS_PROXY")
					: either("http_proxy", "HTTP_PROXY");
	return proxy[0] ? proxy : either("all_proxy", "ALL_PROXY");
}
