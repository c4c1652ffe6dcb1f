/* http_probe - what our parsers make of messages, for comparing with others.
 *
 * Reads records from stdin: a line "KIND LENGTH" and then LENGTH bytes, where
 * KIND is request, response, or response-to-head. Prints a line of JSON for
 * each: refused with a status, more (not all there), or done with the meaning.
 * Bytes are written as if they were Latin-1, so nothing of them is lost. */
#include "base/buf.h"
#include "http/chunk.h"
#include "http/head.h"
#include "http/url.h"

#include <stdio.h>

#define MAX_MESSAGE ((size_t)1 << 20)

static void print_bytes(const char *name, struct str s)
{
	printf("\"%s\":\"", name);
	for (size_t i = 0; i < s.n; i++)
		printf("\\u%04x", (unsigned char)s.p[i]);
	printf("\"");
}

static void refused(const struct err *e)
{
	printf("{\"outcome\":\"refused\",\"status\":%d}\n",
	       err_http_status(e->code));
}

static void more(void)
{
	printf("{\"outcome\":\"more\"}\n");
}

static void done(const struct http_head *h, struct str body, size_t used)
{
	printf("{\"outcome\":\"done\",\"minor\":%d,", h->minor);
	print_bytes("method", h->method_text);
	printf(",");
	print_bytes("target", h->target);
	printf(",\"status\":%d,\"fields\":[", h->status);
	for (size_t i = 0; i < h->n_fields; i++) {
		printf("%s{", i ? "," : "");
		print_bytes("name", h->fields[i].name);
		printf(",");
		print_bytes("value", h->fields[i].value);
		printf("}");
	}
	printf("],\"keep_alive\":%s,\"used\":%zu,",
	       h->keep_alive ? "true" : "false", used);
	print_bytes("body", body);
	printf("}\n");
}

static void take_chunked(const struct http_head *h, struct str in, size_t used)
{
	struct chunk_decoder d;
	struct err e;
	struct str piece;
	size_t had = in.n;
	int r;
	auto_buf struct buf body;
	buf_init(&body, in.n);
	chunk_decoder_init(&d);
	do {
		r = chunk_decode(&d, &in, &piece, &e);
		if (r >= 0 && buf_put(&body, piece.p, piece.n))
			abort();
	} while (r == 0);
	if (r == -1)
		refused(&e);
	else if (r == CHUNK_MORE)
		more();
	else
		done(h, buf_str(&body), used + had - in.n);
}

static void take_body(const struct http_head *h, struct str in, size_t used)
{
	switch (h->framing) {
	case HTTP_NO_BODY:
		done(h, STR(""), used);
		return;
	case HTTP_LENGTH:
		if (in.n < h->length)
			more();
		else
			done(h, str_head(in, h->length), used + h->length);
		return;
	case HTTP_CHUNKED:
		take_chunked(h, in, used);
		return;
	case HTTP_UNTIL_CLOSE:
		done(h, in, used + in.n);
		return;
	}
}

/* As the server does it: a target that cannot be taken apart is refused. */
static int parse_request(struct str message, struct http_head *h, size_t *used,
			 struct err *e)
{
	struct arena a;
	struct url_target t;
	arena_init(&a);
	int r = head_parse_request(message, h, used, e);
	if (r == 0)
		r = url_parse_target(h->target, &a, &t, e);
	arena_fini(&a);
	return r;
}

static void probe(const char *kind, struct str message)
{
	struct http_head h;
	struct err e;
	size_t used;
	enum http_method to =
		str_ends(str_of(kind), "-to-head") ? HTTP_HEAD : HTTP_GET;
	int r = strcmp(kind, "request") == 0
			? parse_request(message, &h, &used, &e)
			: head_parse_response(message, to, &h, &used, &e);
	if (r == -1)
		refused(&e);
	else if (r == HEAD_MORE)
		more();
	else
		take_body(&h, str_tail(message, used), used);
}

int main(void)
{
	char kind[32];
	size_t n;
	auto_free char *message = xcalloc(MAX_MESSAGE, 1);
	while (scanf("%31s %zu", kind, &n) == 2) {
		if (getchar() != '\n' || n > MAX_MESSAGE ||
		    fread(message, 1, n, stdin) != n) {
			fprintf(stderr, "http_probe: a record is cut off\n");
			return 1;
		}
		probe(kind, (struct str){ message, n });
	}
	return 0;
}
