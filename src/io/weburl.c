#include "io/weburl.h"

#include <stdio.h>

static bool is_host_char(unsigned char c)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' ||
	       c == '-' || c == '_';
}

static char lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c + 32) : c;
}

static bool take_host(struct str host, char out[WEBURL_HOST_BYTES])
{
	bool is_v6 =
		host.n > 2 && host.p[0] == '[' && host.p[host.n - 1] == ']';
	if (host.n == 0 || host.n >= WEBURL_HOST_BYTES || host.p[0] == '-')
		return false;
	for (size_t i = 0; i < host.n; i++) {
		char c = lower(host.p[i]);
		bool is_edge = is_v6 && (i == 0 || i == host.n - 1);
		bool is_hex = (c >= '0' && c <= '9') ||
			      (c >= 'a' && c <= 'f') || c == ':' || c == '.';
		if (!is_edge &&
		    !(is_v6 ? is_hex : is_host_char((unsigned char)c)))
			return false;
		out[i] = c;
	}
	out[host.n] = '\0';
	return true;
}

/* "host", "host:port", "[::1]:port" */
static bool take_authority(struct str text, struct weburl *out)
{
	uint64_t port = out->is_https ? 443 : 80;
	ptrdiff_t colon = str_find_last(text, ':');
	ptrdiff_t bracket = str_find_last(text, ']');
	if (colon >= 0 && colon > bracket) {
		struct str digits = str_tail(text, (size_t)colon + 1);
		if (!str_to_u64(digits, &port) || port == 0 || port > 65535)
			return false;
		text = str_head(text, (size_t)colon);
	}
	out->port = (unsigned)port;
	return take_host(text, out->host);
}

/* RFC 3986 lets only these stand in a URL as they are. */
static bool is_target(struct str text)
{
	for (size_t i = 0; i < text.n; i++) {
		unsigned char c = (unsigned char)text.p[i];
		if (c <= ' ' || c >= 127 || strchr("\"<>\\^`{|}#", c))
			return false;
	}
	return true;
}

static bool put_target(struct weburl *out, struct str head, struct str tail)
{
	size_t fragment = 0;
	while (fragment < tail.n && tail.p[fragment] != '#')
		fragment++;
	tail = str_head(tail, fragment);
	if (!is_target(head) || !is_target(tail) ||
	    head.n + tail.n + 2 > sizeof out->target)
		return false;
	bool needs_slash = !head.n && (!tail.n || tail.p[0] != '/');
	snprintf(out->target, sizeof out->target, "%s%.*s%.*s",
		 needs_slash ? "/" : "", STR_ARG(head), STR_ARG(tail));
	return true;
}

static int refuse(struct str text, struct err *e)
{
	return err_set(e, ERR_INVALID, "'%.*s' is no http or https URL",
		       STR_ARG(str_head(text, 100)));
}

static bool starts_nocase(struct str s, const char *prefix)
{
	return str_eq_nocase(str_head(s, strlen(prefix)), prefix);
}

/* What follows "http:" or "https:". */
static bool take_rest(struct str text, struct weburl *out)
{
	size_t end = 2;
	if (!str_starts(text, "//"))
		return false;
	while (end < text.n && !strchr("/?#", text.p[end]))
		end++;
	return take_authority(str_tail(str_head(text, end), 2), out) &&
	       put_target(out, STR(""), str_tail(text, end));
}

int weburl_parse(struct str text, struct weburl *out, struct err *e)
{
	/* A NUL would be found by strchr() as its end. */
	if (memchr(text.p, '\0', text.n))
		return refuse(text, e);
	out->is_https = starts_nocase(text, "https:");
	if (!out->is_https && !starts_nocase(text, "http:"))
		return refuse(text, e);
	if (!take_rest(str_tail(text, out->is_https ? 6 : 5), out))
		return refuse(text, e);
	return 0;
}

/* Has it a scheme of its own (RFC 3986, section 3.1)? */
static bool has_scheme(struct str text)
{
	for (size_t i = 0; i < text.n; i++) {
		char c = lower(text.p[i]);
		if (c == ':')
			return i > 0;
		if (!((c >= 'a' && c <= 'z') ||
		      (i && ((c >= '0' && c <= '9') || strchr("+-.", c)))))
			return false;
	}
	return false;
}

int weburl_resolve(const struct weburl *base, struct str text,
		   struct weburl *out, struct err *e)
{
	text = str_trim(text);
	if (memchr(text.p, '\0', text.n) || !text.n)
		return refuse(text, e);
	if (has_scheme(text))
		return weburl_parse(text, out, e);
	struct weburl from = *base; /* `out` may be `base` */
	*out = from;
	if (str_starts(text, "//"))
		return take_rest(text, out) ? 0 : refuse(text, e);
	struct str head = str_of(from.target);
	if (text.p[0] == '/')
		head = STR("");
	else {
		ptrdiff_t query = str_find(head, '?');
		if (query >= 0)
			head = str_head(head, (size_t)query);
		if (text.p[0] != '?')
			head = str_head(head,
					(size_t)str_find_last(head, '/') + 1);
	}
	return put_target(out, head, text) ? 0 : refuse(text, e);
}

const char *weburl_text(const struct weburl *u, char out[WEBURL_TEXT_BYTES])
{
	snprintf(out, WEBURL_TEXT_BYTES, "%s://%s:%u%s",
		 u->is_https ? "https" : "http", u->host, u->port, u->target);
	return out;
}

bool weburl_same_origin(const struct weburl *a, const struct weburl *b)
{
	return a->is_https == b->is_https && a->port == b->port &&
	       strcmp(a->host, b->host) == 0;
}

const char *weburl_place(const struct weburl *u,
			 char out[WEBURL_HOST_BYTES + 8])
{
	if (u->port == (u->is_https ? 443 : 80))
		snprintf(out, WEBURL_HOST_BYTES + 8, "%s", u->host);
	else
		snprintf(out, WEBURL_HOST_BYTES + 8, "%s:%u", u->host, u->port);
	return out;
}
