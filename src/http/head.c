#include "http/head.h"
#include "http/head_priv.h"
#include "http/url.h"

#include <assert.h>
#include <strings.h>

/* The end of the head is looked for first, by hopping from line feed to line
 * feed, so that a head that trickles in costs little each time. The parser
 * proper then runs on a whole head, where CR is a sentinel: no class of
 * characters has it in it, and one always lies ahead, followed by another
 * byte. That is why no loop below checks for the end of the input. */

enum {
	T = HEAD_TOKEN | HEAD_TARGET | HEAD_VALUE,
	G = HEAD_TARGET | HEAD_VALUE,
	V = HEAD_VALUE,
};

/* clang-format off */
const unsigned char head_class[256] = {
	0, 0, 0, 0, 0, 0, 0, 0, 0, V, 0, 0, 0, 0, 0, 0,
	0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
	V, T, G, T, T, T, T, T, G, G, T, T, G, T, T, G, /*  !"#$%&'()*+,-./ */
	T, T, T, T, T, T, T, T, T, T, G, G, G, G, G, G, /* 0123456789:;<=>? */
	G, T, T, T, T, T, T, T, T, T, T, T, T, T, T, T, /* @ABCDEFGHIJKLMNO */
	T, T, T, T, T, T, T, T, T, T, T, G, G, G, T, T, /* PQRSTUVWXYZ[\]^_ */
	T, T, T, T, T, T, T, T, T, T, T, T, T, T, T, T, /* `abcdefghijklmno */
	T, T, T, T, T, T, T, T, T, T, T, G, T, G, T, 0, /* pqrstuvwxyz{|}~  */
	V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V,
	V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V,
	V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V,
	V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V,
	V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V,
	V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V,
	V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V,
	V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V,
};
/* clang-format on */

static const struct {
	const char *text;
	enum http_method method;
} methods[] = {
	{ "GET", HTTP_GET },	     { "POST", HTTP_POST },
	{ "HEAD", HTTP_HEAD },	     { "DELETE", HTTP_DELETE },
	{ "PUT", HTTP_PUT },	     { "PATCH", HTTP_PATCH },
	{ "OPTIONS", HTTP_OPTIONS },
};

/* What the fields that frame the message said, until all of them are in. */
struct seen {
	struct str transfer;
	unsigned transfers;
	unsigned lengths;
	unsigned hosts;
	bool upgrade_field;
	bool expect_other;
	bool close, keep_alive, upgrade; /* tokens of Connection */
};

struct parse {
	const unsigned char *at;
	struct http_head *h;
	struct seen seen;
	struct err *e;
};

static int bad(struct err *e, const char *why)
{
	return err_set(e, ERR_INVALID, "not a valid HTTP message: %s", why);
}

/* ---- where does the head end? ---- */

static int find_end(struct str bytes, size_t from, size_t *end, struct err *e)
{
	size_t n = MIN(bytes.n, (size_t)LIMIT_HEAD_BYTES);
	size_t line = from;
	for (unsigned lines = 0; line < n; lines++) {
		const char *lf = memchr(bytes.p + line, '\n', n - line);
		if (!lf)
			break;
		size_t at = (size_t)(lf - bytes.p);
		if (at == line || lf[-1] != '\r')
			return bad(e, "a line must end in CR LF");
		if (at == line + 1) {
			*end = at + 1;
			return 0;
		}
		if (lines > LIMIT_HEAD_FIELDS)
			return err_set(e, ERR_HEAD_LARGE,
				       "the head has more than %d fields",
				       LIMIT_HEAD_FIELDS);
		line = at + 1;
	}
	if (bytes.n >= LIMIT_HEAD_BYTES)
		return err_set(e, ERR_HEAD_LARGE,
			       "the head is larger than %d bytes",
			       LIMIT_HEAD_BYTES);
	return HEAD_MORE;
}

/* ---- fields ---- */

static void connection_tokens(struct seen *seen, struct str list)
{
	struct str piece;
	while (str_split(&list, ',', &piece)) {
		piece = str_trim(piece);
		seen->close |= str_eq_nocase(piece, "close");
		seen->keep_alive |= str_eq_nocase(piece, "keep-alive");
		seen->upgrade |= str_eq_nocase(piece, "upgrade");
	}
}

/* White space may follow any value (OWS), but parsers differ on a tab after the
 * two that frame the message, so those must end in none. */
static bool ends_in_tab(struct str value)
{
	const char *end = value.p + value.n;
	while (*end == ' ')
		end++;
	return *end == '\t';
}

static int content_length(struct parse *p, struct str value)
{
	if (p->seen.lengths++)
		return bad(p->e, "Content-Length is given twice");
	if (ends_in_tab(value) || !str_to_u64(value, &p->h->length))
		return bad(p->e, "Content-Length is not one decimal number");
	return 0;
}

static int transfer_encoding(struct parse *p, struct str value)
{
	if (ends_in_tab(value))
		return bad(p->e, "a tab after Transfer-Encoding");
	p->seen.transfers++;
	p->seen.transfer = value;
	return 0;
}

/* The few fields that this layer acts on; by length first, since most fields
 * are none of them. */
static int note(struct parse *p, struct str name, struct str value)
{
	struct seen *seen = &p->seen;
	switch (name.n) {
	case 4:
		if (str_eq_nocase(name, "Host")) {
			seen->hosts++;
			p->h->has_host = true;
			p->h->host = value;
		}
		return 0;
	case 6:
		if (!str_eq_nocase(name, "Expect"))
			return 0;
		if (str_eq_nocase(value, "100-continue"))
			p->h->expect_continue = true;
		else
			seen->expect_other = true;
		return 0;
	case 7:
		seen->upgrade_field |= str_eq_nocase(name, "Upgrade");
		return 0;
	case 10:
		if (str_eq_nocase(name, "Connection"))
			connection_tokens(seen, value);
		return 0;
	case 14:
		if (str_eq_nocase(name, "Content-Length"))
			return content_length(p, value);
		return 0;
	case 17:
		if (str_eq_nocase(name, "Transfer-Encoding"))
			return transfer_encoding(p, value);
		return 0;
	default:
		return 0;
	}
}

static int crlf(struct parse *p, const char *why)
{
	if (p->at[0] != '\r' || p->at[1] != '\n')
		return bad(p->e, why);
	p->at += 2;
	return 0;
}

static struct str run_of(struct parse *p, unsigned class)
{
	const unsigned char *from = p->at, *at = from;
	while (head_class[*at] & class)
		at++;
	p->at = at;
	return (struct str){ (const char *)from, (size_t)(at - from) };
}

static int field(struct parse *p)
{
	struct http_head *h = p->h;
	assert(h->n_fields < LIMIT_HEAD_FIELDS); /* find_end() counted */
	if (*p->at == ' ' || *p->at == '\t')
		return bad(p->e, "a field goes on over a second line");
	struct str name = run_of(p, HEAD_TOKEN);
	if (!name.n)
		return bad(p->e, "a field has no name");
	if (*p->at != ':')
		return bad(p->e, "a field name must end in a colon, with "
				 "nothing before it");
	p->at++;
	while (*p->at == ' ' || *p->at == '\t')
		p->at++;
	struct str value = run_of(p, HEAD_VALUE);
	while (value.n &&
	       (value.p[value.n - 1] == ' ' || value.p[value.n - 1] == '\t'))
		value.n--;
	if (crlf(p, "a control character in the value of a field"))
		return -1;
	h->fields[h->n_fields++] = (struct http_field){ name, value };
	return note(p, name, value);
}

static int fields(struct parse *p)
{
	while (*p->at != '\r')
		if (field(p))
			return -1;
	return crlf(p, "a lone CR");
}

/* ---- what both kinds of message have in common ---- */

/* Length and coding are checked even where they do not frame this message. */
static int check_framing(struct parse *p)
{
	const struct seen *seen = &p->seen;
	if (!seen->transfers)
		return 0;
	if (seen->lengths)
		return bad(p->e, "both Content-Length and Transfer-Encoding");
	if (p->h->minor == 0)
		return bad(p->e, "Transfer-Encoding in an HTTP/1.0 message");
	if (seen->transfers > 1)
		return bad(p->e, "Transfer-Encoding is given twice");
	if (!str_eq_nocase(seen->transfer, "chunked"))
		return err_set(p->e, ERR_NOT_IMPL,
			       "the only transfer coding known here is "
			       "'chunked'");
	return 0;
}

static enum http_framing framing(const struct seen *seen,
				 enum http_framing otherwise)
{
	return seen->transfers ? HTTP_CHUNKED
	       : seen->lengths ? HTTP_LENGTH
			       : otherwise;
}

static void persistence(struct parse *p)
{
	const struct seen *seen = &p->seen;
	p->h->keep_alive =
		!seen->close && (p->h->minor == 1 || seen->keep_alive);
	p->h->upgrade =
		seen->upgrade && seen->upgrade_field && p->h->minor == 1;
}

/* "HTTP/1.x" at p->at. */
static int version(struct parse *p)
{
	const unsigned char *v = p->at;
	/* The first byte that differs ends the look, so never past the CR. */
	if (v[0] != 'H' || v[1] != 'T' || v[2] != 'T' || v[3] != 'P' ||
	    v[4] != '/' || v[5] < '0' || v[5] > '9' || v[6] != '.' ||
	    v[7] < '0' || v[7] > '9')
		return bad(p->e, "no HTTP version where one belongs");
	if (v[5] != '1' || v[7] > '1')
		return err_set(p->e, ERR_HTTP_VERSION,
			       "HTTP/%c.%c is not spoken here, use HTTP/1.1",
			       v[5], v[7]);
	p->h->minor = v[7] - '0';
	p->at += 8;
	return 0;
}

/* ---- requests ---- */

static enum http_method method_of(struct str text)
{
	for (size_t i = 0; i < ARRAY_LEN(methods); i++)
		if (str_eq(text, methods[i].text))
			return methods[i].method;
	return HTTP_OTHER;
}

static int request_line(struct parse *p)
{
	struct http_head *h = p->h;
	h->method_text = run_of(p, HEAD_TOKEN);
	h->method = method_of(h->method_text);
	if (!h->method_text.n || *p->at != ' ')
		return bad(p->e, "no method at its start");
	p->at++;
	h->target = run_of(p, HEAD_TARGET);
	if (!h->target.n || *p->at != ' ')
		return bad(p->e, "no target, or a character in it that must "
				 "be percent-encoded");
	p->at++;
	if (h->target.n > LIMIT_TARGET_BYTES)
		return err_set(p->e, ERR_TARGET_LARGE,
			       "the request target is longer than %d bytes",
			       LIMIT_TARGET_BYTES);
	if (version(p))
		return -1;
	return crlf(p, "something follows the HTTP version");
}

/* A tunnel has no framing of ours, and its target no path: what a server and
 * the parser in front of it would make of it differs (RFC 9112, 3.2.3). */
static int check_method(const struct http_head *h, struct err *e)
{
	if (str_eq(h->method_text, "CONNECT"))
		return err_set(e, ERR_NOT_IMPL,
			       "this is no proxy: CONNECT is "
			       "not for it");
	if (str_eq(h->target, "*") && h->method != HTTP_OPTIONS)
		return bad(e, "only OPTIONS may have the target '*'");
	return 0;
}

static int check_host(const struct parse *p)
{
	if (p->seen.hosts > 1)
		return bad(p->e, "Host is given twice");
	if (!p->seen.hosts && p->h->minor == 1)
		return bad(p->e, "no Host field");
	if (p->h->host.n && !url_is_authority(p->h->host))
		return bad(p->e, "the Host field is no host");
	return 0;
}

static int check_expect(const struct parse *p)
{
	/* RFC 9110, 10.1.1: to be ignored in HTTP/1.0. */
	if (p->h->minor == 0)
		p->h->expect_continue = false;
	else if (p->seen.expect_other)
		return err_set(p->e, ERR_EXPECT,
			       "the only expectation known here is "
			       "'100-continue'");
	return 0;
}

static void clear(struct http_head *h)
{
	memset(h, 0, offsetof(struct http_head, fields));
}

int head_parse_request(struct str bytes, struct http_head *out, size_t *used,
		       struct err *e)
{
	size_t skip = str_starts(bytes, "\r\n") ? 2 : 0;
	struct str rest = str_tail(bytes, skip);
	/* What is no HTTP at all (a TLS greeting) is told at its first byte. */
	if (rest.n && !(head_class[(unsigned char)rest.p[0]] & HEAD_TOKEN) &&
	    !str_eq(bytes, "\r"))
		return bad(e, "no method at its start");
	size_t end = 0;
	int outcome = find_end(bytes, skip, &end, e);
	if (outcome)
		return outcome;
	clear(out);
	struct parse p = { .at = (const unsigned char *)rest.p,
			   .h = out,
			   .e = e };
	if (request_line(&p) || fields(&p) || check_framing(&p) ||
	    check_method(out, e) || check_host(&p) || check_expect(&p))
		return -1;
	out->framing = framing(&p.seen, HTTP_NO_BODY);
	persistence(&p);
	*used = end;
	return 0;
}

/* ---- responses ---- */

static int status_line(struct parse *p)
{
	if (version(p))
		return -1;
	const unsigned char *s = p->at;
	if (s[0] != ' ' || s[1] < '1' || s[1] > '9' || s[2] < '0' ||
	    s[2] > '9' || s[3] < '0' || s[3] > '9')
		return bad(p->e, "no status of three digits");
	p->h->status = (s[1] - '0') * 100 + (s[2] - '0') * 10 + (s[3] - '0');
	p->at += 4;
	if (*p->at == ' ')
		run_of(p, HEAD_VALUE);
	return crlf(p, "a control character in the status line");
}

/* RFC 9112, section 6.3. */
static void frame_response(struct parse *p, enum http_method to)
{
	struct http_head *h = p->h;
	bool never = h->status < 200 || h->status == 204;
	if (never || h->status == 304 || to == HTTP_HEAD)
		h->framing = HTTP_NO_BODY;
	else
		h->framing = framing(&p->seen, HTTP_UNTIL_CLOSE);
	/* A peer that announces a body where there can be none may well send
	 * it: nothing after this message can be trusted. */
	bool confused = never && (p->seen.transfers || h->length);
	if (h->framing == HTTP_UNTIL_CLOSE || confused)
		h->keep_alive = false;
}

int head_parse_response(struct str bytes, enum http_method to,
			struct http_head *out, size_t *used, struct err *e)
{
	if (bytes.n && bytes.p[0] != 'H')
		return bad(e, "no HTTP version where one belongs");
	size_t end = 0;
	int outcome = find_end(bytes, 0, &end, e);
	if (outcome)
		return outcome;
	clear(out);
	struct parse p = { .at = (const unsigned char *)bytes.p,
			   .h = out,
			   .e = e };
	if (status_line(&p) || fields(&p) || check_framing(&p))
		return -1;
	persistence(&p);
	frame_response(&p, to);
	*used = end;
	return 0;
}

/* ---- looking into a head ---- */

const struct http_field *head_find(const struct http_head *h, const char *name)
{
	for (size_t i = 0; i < h->n_fields; i++)
		if (str_eq_nocase(h->fields[i].name, name))
			return &h->fields[i];
	return NULL;
}

static bool lists(const struct http_head *h, const char *name, struct str token)
{
	for (size_t i = 0; i < h->n_fields; i++) {
		struct str list = h->fields[i].value, piece;
		if (!str_eq_nocase(h->fields[i].name, name))
			continue;
		while (str_split(&list, ',', &piece)) {
			piece = str_trim(piece);
			if (piece.n == token.n &&
			    strncasecmp(piece.p, token.p, token.n) == 0)
				return true;
		}
	}
	return false;
}

bool head_has_token(const struct http_head *h, const char *name,
		    const char *token)
{
	return lists(h, name, str_of(token));
}

bool head_is_hop_by_hop(const struct http_head *h, struct str name)
{
	static const char *const always[] = {
		"Connection", "Keep-Alive",	   "TE",
		"Trailer",    "Transfer-Encoding", "Upgrade",
	};
	for (size_t i = 0; i < ARRAY_LEN(always); i++)
		if (str_eq_nocase(name, always[i]))
			return true;
	return str_eq_nocase(str_head(name, 6), "Proxy-") ||
	       lists(h, "Connection", name);
}

const char *head_method_name(enum http_method method)
{
	for (size_t i = 0; i < ARRAY_LEN(methods); i++)
		if (methods[i].method == method)
			return methods[i].text;
	return "";
}

const char *head_reason(int status)
{
	static const struct {
		int status;
		const char *reason;
	} reasons[] = {
		/* clang-format off */
		{ 100, "Continue" },
		{ 200, "OK" },
		{ 201, "Created" },
		{ 202, "Accepted" },
		{ 204, "No Content" },
		{ 304, "Not Modified" },
		{ 307, "Temporary Redirect" },
		{ 400, "Bad Request" },
		{ 401, "Unauthorized" },
		{ 403, "Forbidden" },
		{ 404, "Not Found" },
		{ 405, "Method Not Allowed" },
		{ 408, "Request Timeout" },
		{ 409, "Conflict" },
		{ 413, "Content Too Large" },
		{ 414, "URI Too Long" },
		{ 415, "Unsupported Media Type" },
		{ 417, "Expectation Failed" },
		{ 421, "Misdirected Request" },
		{ 422, "Unprocessable Content" },
		{ 429, "Too Many Requests" },
		{ 431, "Request Header Fields Too Large" },
		{ 500, "Internal Server Error" },
		{ 501, "Not Implemented" },
		{ 502, "Bad Gateway" },
		{ 503, "Service Unavailable" },
		{ 504, "Gateway Timeout" },
		{ 505, "HTTP Version Not Supported" },
		{ 507, "Insufficient Storage" },
		/* clang-format on */
	};
	for (size_t i = 0; i < ARRAY_LEN(reasons); i++)
		if (reasons[i].status == status)
			return reasons[i].reason;
	return "";
}
