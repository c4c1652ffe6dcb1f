#include "http/url.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <sys/un.h>

/* Decodes into `out`, which has room for in.n bytes. False unless the outcome
 * is text: UTF-8 without control characters. */
static bool decode(struct str in, bool is_query, char *out, size_t *n)
{
	size_t o = 0;
	for (size_t i = 0; i < in.n; i++) {
		char c = in.p[i];
		if (c == '%') {
			if (in.n - i < 3)
				return false;
			int hi = str_hex(in.p[i + 1]);
			int lo = str_hex(in.p[i + 2]);
			if (hi < 0 || lo < 0)
				return false;
			c = (char)(hi << 4 | lo);
			i += 2;
		} else if (c == '+' && is_query) {
			c = ' ';
		}
		if ((unsigned char)c < 0x20 || c == 0x7f)
			return false;
		out[o++] = c;
	}
	*n = o;
	return str_is_utf8((struct str){ out, o });
}

/* ---- request targets ---- */

/* RFC 3986, section 5.2.4, in place, and "//" becomes "/". Works on decoded
 * bytes, so that "%2e%2e" is no way around it. */
static size_t clean(char *path, size_t n)
{
	struct str rest = { path + 1, n - 1 }, segment;
	size_t o = 0;
	while (str_split(&rest, '/', &segment)) {
		if (!segment.n || str_eq(segment, "."))
			continue;
		if (str_eq(segment, "..")) {
			while (o && path[--o] != '/')
				;
			continue;
		}
		path[o++] = '/';
		memmove(path + o, segment.p, segment.n);
		o += segment.n;
	}
	if (!o)
		path[o++] = '/';
	path[o] = '\0';
	return o;
}

static struct str until(struct str s, const char *stops)
{
	size_t n = 0;
	while (n < s.n && !(s.p[n] && strchr(stops, s.p[n])))
		n++;
	return str_head(s, n);
}

static size_t scheme_bytes(struct str target)
{
	return str_eq_nocase(str_head(target, 7), "http://")	? 7
	       : str_eq_nocase(str_head(target, 8), "https://") ? 8
								: 0;
}

int url_parse_target(struct str target, struct arena *a, struct url_target *out,
		     struct err *e)
{
	*out = (struct url_target){ STR("*"), STR("") };
	if (str_eq(target, "*"))
		return 0;
	size_t scheme = scheme_bytes(target);
	struct str rest = str_tail(target, scheme);
	if (scheme) {
		struct str authority = until(rest, "/?");
		if (!url_is_authority(authority))
			return err_set(e, ERR_INVALID,
				       "the host in the request target is no "
				       "host");
		rest = str_tail(rest, authority.n);
	}
	struct str path = until(rest, "?");
	out->query = str_tail(rest, path.n + 1);
	if (scheme && !path.n)
		path = STR("/");
	if (!str_starts(path, "/") || str_find(rest, '#') >= 0)
		return err_set(e, ERR_INVALID,
			       "the request target must be a path that starts "
			       "with '/' and has no '#'");
	char *text = arena_alloc(a, path.n + 1);
	size_t n;
	if (!decode(path, false, text, &n))
		return err_set(e, ERR_INVALID,
			       "the request path is not percent-encoded UTF-8 "
			       "text");
	out->path = (struct str){ text, clean(text, n) };
	return 0;
}

/* ---- queries ---- */

bool url_query_get(struct str query, const char *name, struct arena *a,
		   struct str *out)
{
	struct str pair;
	char *text = arena_alloc(a, query.n + 1);
	while (str_split(&query, '&', &pair)) {
		ptrdiff_t eq = str_find(pair, '=');
		size_t key_n = eq < 0 ? pair.n : (size_t)eq;
		size_t n;
		if (!decode(str_head(pair, key_n), true, text, &n) ||
		    !str_eq((struct str){ text, n }, name))
			continue;
		if (!decode(str_tail(pair, key_n + 1), true, text, &n))
			continue;
		text[n] = '\0';
		*out = (struct str){ text, n };
		return true;
	}
	return false;
}

int url_query_bool(struct str query, const char *name, bool absent,
		   struct arena *a, bool *out, struct err *e)
{
	static const char *const yes[] = { "",	   "1",	   "t",	  "T",
					   "true", "True", "TRUE" };
	static const char *const no[] = { "0",	   "f",	    "F",
					  "false", "False", "FALSE" };
	struct str value;
	*out = absent;
	if (!url_query_get(query, name, a, &value))
		return 0;
	for (size_t i = 0; i < ARRAY_LEN(yes); i++) {
		*out = true;
		if (str_eq(value, yes[i]))
			return 0;
	}
	for (size_t i = 0; i < ARRAY_LEN(no); i++) {
		*out = false;
		if (str_eq(value, no[i]))
			return 0;
	}
	return err_field(e, name, "'%s' must be true or false", name);
}

/* ---- hosts and base URLs ---- */

static bool is_name(struct str s)
{
	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i], letter = c | 0x20;
		if (!(letter >= 'a' && letter <= 'z') &&
		    !(c >= '0' && c <= '9') && c != '-' && c != '.' && c != '_')
			return false;
	}
	return s.n > 0 && s.n <= 253;
}

static bool is_ipv6(struct str s)
{
	char text[INET6_ADDRSTRLEN];
	struct in6_addr address;
	if (s.n >= sizeof text || memchr(s.p, '\0', s.n))
		return false;
	memcpy(text, s.p, s.n);
	text[s.n] = '\0';
	return inet_pton(AF_INET6, text, &address) == 1;
}

/* `host` keeps its brackets; *port is `otherwise` if there is none. */
static bool split_authority(struct str s, uint64_t otherwise, struct str *host,
			    uint64_t *port)
{
	bool bracket = str_starts(s, "[");
	ptrdiff_t end = str_find(s, bracket ? ']' : ':');
	if (bracket && end < 0)
		return false;
	*host = end < 0 ? s : str_head(s, (size_t)end + (bracket ? 1 : 0));
	s = str_tail(s, host->n);
	*port = otherwise;
	/* RFC 3986 allows a colon without a number. */
	if (s.n > 1 && (!str_to_u64(str_tail(s, 1), port) || *port > 65535))
		return false;
	if (s.n && s.p[0] != ':')
		return false;
	return bracket ? is_ipv6((struct str){ host->p + 1, host->n - 2 })
		       : is_name(*host);
}

bool url_is_authority(struct str s)
{
	struct str host;
	uint64_t port;
	return split_authority(s, 0, &host, &port);
}

static int set_prefix(struct str prefix, struct url_base *out, struct err *e)
{
	while (str_ends(prefix, "/"))
		prefix.n--;
	for (size_t i = 0; i < prefix.n; i++)
		if (prefix.p[i] <= ' ' || prefix.p[i] > '~' ||
		    prefix.p[i] == '?' || prefix.p[i] == '#')
			return err_set(e, ERR_INVALID,
				       "a base URL ends in a path of visible "
				       "ASCII, without '?' or '#'");
	if (prefix.n >= sizeof out->prefix)
		return err_set(e, ERR_INVALID,
			       "the path of a base URL must be shorter than "
			       "%zu bytes",
			       sizeof out->prefix);
	snprintf(out->prefix, sizeof out->prefix, "%.*s", STR_ARG(prefix));
	return 0;
}

static int parse_unix(struct str path, struct url_base *out, struct err *e)
{
	const char *colon = memmem(path.p, path.n, ":/", 2);
	struct str prefix = { "", 0 };
	if (colon) {
		prefix = str_tail(path, (size_t)(colon - path.p) + 1);
		path.n = (size_t)(colon - path.p);
	}
	/* The form with an empty authority, unix:///path, is in wide use. */
	if (str_starts(path, "//"))
		path = str_tail(path, 2);
	if (!str_starts(path, "/"))
		return err_set(e, ERR_INVALID,
			       "unix: needs an absolute path, "
			       "as in unix:/run/x.sock");
	if (path.n >= sizeof((struct sockaddr_un *)0)->sun_path)
		return err_set(e, ERR_INVALID,
			       "the path of a Unix socket must be shorter than "
			       "%zu bytes",
			       sizeof((struct sockaddr_un *)0)->sun_path);
	snprintf(out->address, sizeof out->address, "unix:%.*s", STR_ARG(path));
	snprintf(out->host, sizeof out->host, "localhost");
	return set_prefix(prefix, out, e);
}

static int parse_tcp(struct str rest, struct url_base *out, struct err *e)
{
	const uint64_t usual = out->is_tls ? 443 : 80;
	struct str host;
	uint64_t port;
	ptrdiff_t slash = str_find(rest, '/');
	struct str authority = slash < 0 ? rest : str_head(rest, (size_t)slash);
	if (str_find(authority, '@') >= 0)
		return err_set(e, ERR_INVALID,
			       "a base URL must not carry a "
			       "user or password");
	if (!split_authority(authority, usual, &host, &port) || port == 0)
		return err_set(e, ERR_INVALID,
			       "'%.*s' is not HOST or HOST:PORT",
			       STR_ARG(str_head(authority, 100)));
	snprintf(out->address, sizeof out->address, "%.*s:%u", STR_ARG(host),
		 (unsigned)port);
	if (port == usual)
		snprintf(out->host, sizeof out->host, "%.*s", STR_ARG(host));
	else
		snprintf(out->host, sizeof out->host, "%s", out->address);
	return set_prefix(str_tail(rest, authority.n), out, e);
}

int url_parse_base(const char *text, struct url_base *out, struct err *e)
{
	struct str s = str_of(text);
	*out = (struct url_base){ .address = "" };
	if (str_starts(s, "unix:"))
		return parse_unix(str_tail(s, 5), out, e);
	const char *scheme = strstr(text, "://");
	if (!scheme)
		return parse_tcp(s, out, e);
	size_t n = (size_t)(scheme - text);
	out->is_tls = str_eq_nocase(str_head(s, n), "https");
	if (!out->is_tls && !str_eq_nocase(str_head(s, n), "http"))
		return err_set(e, ERR_INVALID,
			       "'%.*s' is not a scheme of a base URL: use "
			       "http://, https:// or unix:",
			       STR_ARG(str_head(s, MIN(n, (size_t)100))));
	return parse_tcp(str_tail(s, n + 3), out, e);
}
