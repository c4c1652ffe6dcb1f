#include "http/frame.h"
#include "http/head_priv.h"

static int bad(struct err *e, const char *why)
{
	return err_set(e, ERR_INVALID, "not a valid HTTP message: %s", why);
}

int frame_find(struct str bytes, size_t max, size_t *seen, size_t *end,
	       struct err *e)
{
	size_t n = MIN(bytes.n, max);
	/* What is no HTTP at all (a TLS greeting) is told at its first byte. */
	if (n && bytes.p[0] != '\r' &&
	    !(head_class[(unsigned char)bytes.p[0]] & HEAD_TOKEN))
		return bad(e, "no method at its start");
	while (*seen < n) {
		const char *lf = memchr(bytes.p + *seen, '\n', n - *seen);
		if (!lf)
			break;
		size_t at = (size_t)(lf - bytes.p), line = *seen;
		if (at == line || lf[-1] != '\r')
			return bad(e, "a line must end in CR LF");
		*seen = at + 1;
		if (at == line + 1 && line > 0) {
			*end = at + 1;
			return 0;
		}
	}
	if (bytes.n >= max)
		return err_set(e, ERR_HEAD_LARGE,
			       "the head is larger than %zu bytes", max);
	return FRAME_MORE;
}

/* ---- the fields that say how long the body is ---- */

struct seen {
	unsigned lengths, transfers, types;
	struct str transfer;
	bool close, keep_alive;
};

static void connection_tokens(struct seen *seen, struct str list)
{
	struct str piece;
	while (str_split(&list, ',', &piece)) {
		piece = str_trim(piece);
		seen->close |= str_eq_nocase(piece, "close");
		seen->keep_alive |= str_eq_nocase(piece, "keep-alive");
	}
}

static int note(struct http_frame *f, struct seen *seen, struct str name,
		struct str value, struct err *e)
{
	/* Parsers differ on a tab after what frames the message (head.c). */
	bool has_tab = str_ends(value, "\t");
	value = str_trim(value);
	if (str_eq_nocase(name, "Connection")) {
		connection_tokens(seen, value);
	} else if (str_eq_nocase(name, "Content-Length")) {
		if (seen->lengths++)
			return bad(e, "Content-Length is given twice");
		if (has_tab || !str_to_u64(value, &f->length))
			return bad(e,
				   "Content-Length is not one decimal number");
	} else if (str_eq_nocase(name, "Transfer-Encoding")) {
		if (seen->transfers++ || has_tab)
			return bad(e, "more than one Transfer-Encoding");
		seen->transfer = value;
	} else if (str_eq_nocase(name, "Content-Type") && !seen->types++) {
		f->type = value;
	}
	return 0;
}

/* The line ends in CR LF, and holds no other line feed. */
static int field(struct http_frame *f, struct seen *seen, struct str line,
		 struct err *e)
{
	size_t colon = 0;
	while (head_class[(unsigned char)line.p[colon]] & HEAD_TOKEN)
		colon++;
	if (colon == 0 || line.p[colon] != ':')
		return bad(e, "a field must begin with its name and a colon, "
			      "with no space before it");
	struct str name = str_head(line, colon);
	struct str value = { line.p + colon + 1, line.n - colon - 3 };
	for (size_t i = 0; i < value.n; i++)
		if (!(head_class[(unsigned char)value.p[i]] & HEAD_VALUE))
			return bad(e, "a control character in a field");
	return note(f, seen, name, value, e);
}

bool frame_next_field(struct str *fields, struct str *line, struct str *name)
{
	ptrdiff_t lf = str_find(*fields, '\n');
	if (lf < 0)
		return false;
	*line = str_head(*fields, (size_t)lf + 1);
	*fields = str_tail(*fields, (size_t)lf + 1);
	*name = str_head(*line, (size_t)MAX(str_find(*line, ':'), 0));
	return true;
}

static int check_framing(const struct http_frame *f, const struct seen *seen,
			 struct err *e)
{
	if (!seen->transfers)
		return 0;
	if (seen->lengths)
		return bad(e, "both Content-Length and Transfer-Encoding");
	if (f->minor == 0)
		return bad(e, "Transfer-Encoding in an HTTP/1.0 message");
	if (!str_eq_nocase(seen->transfer, "chunked"))
		return err_set(e, ERR_NOT_IMPL,
			       "the only transfer coding known here is "
			       "'chunked'");
	return 0;
}

static int read_fields(struct http_frame *f, enum http_framing otherwise,
		       struct err *e)
{
	struct seen seen = { 0 };
	struct str rest = f->fields, line, name;
	while (frame_next_field(&rest, &line, &name))
		if (field(f, &seen, line, e))
			return -1;
	if (check_framing(f, &seen, e))
		return -1;
	f->framing = seen.transfers ? HTTP_CHUNKED
		     : seen.lengths ? HTTP_LENGTH
				    : otherwise;
	f->keep_alive = !seen.close && (f->minor == 1 || seen.keep_alive);
	return 0;
}

/* ---- first lines ---- */

/* "HTTP/1.x" */
static int version(struct str text, struct http_frame *f, struct err *e)
{
	if (text.n != 8 || !str_starts(text, "HTTP/") || text.p[6] != '.')
		return bad(e, "no HTTP version where one belongs");
	char major = text.p[5], minor = text.p[7];
	if (major != '1' || (minor != '0' && minor != '1'))
		return err_set(e, ERR_HTTP_VERSION,
			       "only HTTP/1.1 and HTTP/1.0 are spoken here");
	f->minor = minor - '0';
	return 0;
}

static struct str run_of(struct str s, unsigned class)
{
	size_t n = 0;
	while (n < s.n && (head_class[(unsigned char)s.p[n]] & class))
		n++;
	return str_head(s, n);
}

/* Only a space ends it: what a target may hold is not ours to judge. */
static struct str target_of(struct str s)
{
	size_t n = 0;
	while (n < s.n && s.p[n] != ' ' && s.p[n] != '\t' &&
	       (head_class[(unsigned char)s.p[n]] & HEAD_VALUE))
		n++;
	return str_head(s, n);
}

static enum http_method method_of(struct str text)
{
	for (int m = HTTP_OTHER + 1; m <= HTTP_PATCH; m++)
		if (str_eq(text, head_method_name((enum http_method)m)))
			return (enum http_method)m;
	return HTTP_OTHER;
}

static int request_line(struct str line, struct http_frame *f, struct err *e)
{
	f->method_text = run_of(line, HEAD_TOKEN);
	f->method = method_of(f->method_text);
	line = str_tail(line, f->method_text.n);
	if (!f->method_text.n || !str_starts(line, " "))
		return bad(e, "no method at its start");
	/* A tunnel has no framing of ours (RFC 9112, 3.2.3). */
	if (str_eq(f->method_text, "CONNECT"))
		return err_set(e, ERR_NOT_IMPL,
			       "this is no proxy: CONNECT is not for it");
	f->target = target_of(str_tail(line, 1));
	line = str_tail(line, 1 + f->target.n);
	if (!f->target.n || !str_starts(line, " "))
		return bad(e, "no target");
	return version(str_tail(line, 1), f, e);
}

static int status_line(struct str line, struct http_frame *f, struct err *e)
{
	uint64_t status;
	if (version(str_head(line, 8), f, e))
		return -1;
	line = str_tail(line, 8);
	if (line.n < 4 || line.p[0] != ' ' ||
	    (line.n > 4 && line.p[4] != ' ') ||
	    !str_to_u64((struct str){ line.p + 1, 3 }, &status) || status < 100)
		return bad(e, "no status of three digits");
	f->status = (int)status;
	line = str_tail(line, 4);
	if (run_of(line, HEAD_VALUE).n != line.n)
		return bad(e, "a control character in the status line");
	return 0;
}

/* Gives the first line without its end, and the fields to `f`. */
static struct str first_line(struct str head, struct http_frame *f)
{
	size_t n = (size_t)str_find(head, '\n');
	f->fields = str_tail(str_head(head, head.n - 2), n + 1);
	return str_head(head, n - 1);
}

int frame_request(struct str head, struct http_frame *out, struct err *e)
{
	*out = (struct http_frame){ 0 };
	if (str_starts(head, "\r\n"))
		head = str_tail(head, 2);
	return request_line(first_line(head, out), out, e) ||
			       read_fields(out, HTTP_NO_BODY, e)
		       ? -1
		       : 0;
}

int frame_response(struct str head, enum http_method to, struct http_frame *out,
		   struct err *e)
{
	*out = (struct http_frame){ 0 };
	if (status_line(first_line(head, out), out, e) ||
	    read_fields(out, HTTP_UNTIL_CLOSE, e))
		return -1;
	/* RFC 9112, section 6.3. */
	bool never = out->status < 200 || out->status == 204;
	/* A body where there can be none may well come: nothing after this
	 * message can be trusted. */
	if (never && (out->framing == HTTP_CHUNKED || out->length))
		out->keep_alive = false;
	if (never || out->status == 304 || to == HTTP_HEAD)
		out->framing = HTTP_NO_BODY;
	if (out->framing == HTTP_UNTIL_CLOSE)
		out->keep_alive = false;
	return 0;
}
