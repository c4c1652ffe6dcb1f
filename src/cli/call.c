#include "cli/call.h"
#include "base/limits.h"
#include "cli/trust.h"
#include "http/client.h"

#include <assert.h>
#include <signal.h>
#include <uv.h>

#define ERROR_TEXT_BYTES 65536
#define AGENT "User-Agent: docker-model-cli/" MODELD_VERSION "\r\n"
/* A Unix or loopback connection takes a request well within this. */
#define POST_MS 50
/* Pieces of a body sent in one turn of the loop: in between, an answer that
 * refuses it is seen, and Ctrl-C. */
#define PIECES_PER_TURN 16

struct call {
	struct where where;
	uv_loop_t loop;
	struct http_pool *pool;	 /* owned */
	char *key;		 /* owned; a header line, or NULL */
	uv_signal_t interrupt;	 /* on while an interruptible call runs */
	uv_timer_t timer;	 /* bounds the wait in call_post() */
	uv_idle_t more;		 /* on while more of a body can be sent */
	struct exchange *posted; /* owned; what call_post() began, or NULL */
	struct err posted_err;	 /* nobody reads it */
};

/* One request under way. */
struct exchange {
	struct call *c;
	const struct call_request *r;
	call_piece_fn fn;
	void *ctx;
	struct err *e;
	struct http_call *http; /* NULL once it is over */
	int status;		/* 0 before the head */
	int outcome;
	struct buf error_text; /* the body of an answer that is not 2xx */
	char *path;	       /* owned */
	char *fields;	       /* owned */
};

/* MODEL_RUNNER_API_KEY, for our own server only. */
static int read_key(struct call *c, struct err *e)
{
	const char *key = getenv("MODEL_RUNNER_API_KEY");
	if (!key || !*key)
		return 0;
	for (const char *p = key; *p; p++)
		if (*p <= ' ' || *p > '~')
			return err_set(e, ERR_USAGE,
				       "MODEL_RUNNER_API_KEY holds what no key "
				       "has: a key is visible ASCII");
	c->key = xasprintf("Authorization: Bearer %s\r\n", key);
	return 0;
}

static int open_where(struct call *c, struct call **out, struct err *e)
{
	auto_(tls) tls = NULL;
	if (c->where.base.is_tls && trust_new(&tls, e))
		return -1;
	if (c->where.kind != WHERE_URL && read_key(c, e))
		return -1;
	uv_loop_init(&c->loop);
	uv_signal_init(&c->loop, &c->interrupt);
	uv_timer_init(&c->loop, &c->timer);
	uv_idle_init(&c->loop, &c->more);
	c->pool = http_pool_new(&c->loop, c->where.base.address);
	if (tls)
		http_pool_use_tls(c->pool, steal(&tls));
	*out = c;
	return 0;
}

int call_open(struct call **out, struct err *e)
{
	auto_free struct call *c = xcalloc(1, sizeof *c);
	if (where_find(&c->where, e))
		return -1;
	if (open_where(c, out, e))
		return -1;
	steal(&c);
	return 0;
}

int call_open_url(const char *url, struct call **out, struct err *e)
{
	auto_free struct call *c = xcalloc(1, sizeof *c);
	if (where_parse(url, &c->where, e))
		return -1;
	if (open_where(c, out, e))
		return -1;
	steal(&c);
	return 0;
}

/* Ends the call, if it is not over. */
static void exchange_fini(struct exchange *x)
{
	if (x->http)
		http_call_cancel(x->http);
	buf_fini(&x->error_text);
	free(x->path);
	free(x->fields);
}

void call_free(struct call *c)
{
	if (!c)
		return;
	if (c->posted)
		exchange_fini(c->posted);
	http_pool_free(c->pool);
	uv_close((uv_handle_t *)&c->interrupt, NULL);
	uv_close((uv_handle_t *)&c->timer, NULL);
	uv_close((uv_handle_t *)&c->more, NULL);
	/* What is closing needs its last turns. */
	uv_run(&c->loop, UV_RUN_DEFAULT);
	uv_loop_close(&c->loop);
	free(c->posted);
	free(c->key);
	free(c);
}

const struct where *call_where(const struct call *c)
{
	return &c->where;
}

/* ---- what the server says when it says no ---- */

static enum err_code code_of(int status)
{
	switch (status) {
	case 400:
		return ERR_INVALID;
	case 401:
		return ERR_AUTH;
	case 403:
		return ERR_FORBIDDEN;
	case 404:
		return ERR_NOT_FOUND;
	case 409:
		return ERR_CONFLICT;
	case 422:
		return ERR_UNSUPPORTED;
	case 500:
		return ERR_INTERNAL;
	case 503:
		return ERR_UNAVAILABLE;
	default:
		return ERR_ENGINE;
	}
}

/* {"error":{"message":"..."}}, {"error":"..."}, {"message":"..."}, or text. */
static struct str message_of(const json_t *body, struct str text)
{
	const json_t *error = json_object_get(body, "error");
	const json_t *words = json_object_get(
		json_is_object(error) ? error : body, "message");
	if (json_is_string(error))
		words = error;
	if (json_is_string(words))
		text = json_str(words);
	while (text.n && strchr("\r\n ", text.p[text.n - 1]))
		text.n--;
	return text;
}

static int refused(struct exchange *x)
{
	struct str text = buf_str(&x->error_text);
	struct err unused;
	auto_json *body = NULL;
	if (json_parse(text, &body, &unused))
		body = NULL;
	text = message_of(body, text);
	if (!text.n)
		return err_set(x->e, code_of(x->status),
			       "the server answered %d and no more", x->status);
	return err_set(x->e, code_of(x->status), "%.*s", STR_ARG(text));
}

/* ---- the client's callbacks ---- */

static void stop(struct exchange *x, int outcome)
{
	http_call_cancel(steal(&x->http));
	x->outcome = outcome;
	uv_stop(&x->c->loop);
}

static void on_head(void *ctx, const struct http_head *h)
{
	struct exchange *x = ctx;
	x->status = h->status;
}

static void on_body(void *ctx, struct str piece)
{
	struct exchange *x = ctx;
	if (x->status / 100 == 2) {
		if (x->fn && x->fn(x->ctx, piece, x->e))
			stop(x, -1);
		return;
	}
	/* The rest of an error that is too long says nothing new. */
	size_t room = x->error_text.max - x->error_text.n;
	int full = buf_put(&x->error_text, piece.p, MIN(piece.n, room));
	assert(!full);
}

static int cut_off(const struct exchange *x, const struct err *why)
{
	if (why->code == ERR_REFUSED)
		return where_unreachable(&x->c->where, why->msg, x->e);
	if (why->code == ERR_TLS)
		return where_distrusted(&x->c->where, why->msg, x->e);
	return err_set(x->e, why->code, "%s: %s", x->c->where.text,
		       x->status ? "the connection broke in the middle of the "
				   "answer"
		       : why->code == ERR_ENGINE_SLOW
			       ? "no answer in time"
			       : "no answer that could be read");
}

static void on_end(void *ctx, int outcome, const struct err *e)
{
	struct exchange *x = ctx;
	x->http = NULL;
	x->outcome = outcome;
	uv_stop(&x->c->loop);
	if (outcome)
		cut_off(x, e);
	else if (x->status / 100 != 2)
		x->outcome = refused(x);
}

static void on_want_body(void *ctx);

static void on_more(uv_idle_t *more)
{
	struct exchange *x = more->data;
	uv_idle_stop(more);
	if (x->http)
		on_want_body(x);
}

static void on_want_body(void *ctx)
{
	struct exchange *x = ctx;
	static char piece[LIMIT_READ_BYTES];
	for (int i = 0; i < PIECES_PER_TURN; i++) {
		size_t n = 0;
		if (x->r->source(x->r->source_ctx, piece, sizeof piece, &n,
				 x->e)) {
			stop(x, -1);
			return;
		}
		if (!n) {
			http_call_finish(x->http);
			return;
		}
		if (http_call_write(x->http, (struct str){ piece, n }))
			return;
	}
	x->c->more.data = x;
	uv_idle_start(&x->c->more, on_more);
}

static void on_interrupt(uv_signal_t *s, int number)
{
	struct exchange *x = s->data;
	(void)number;
	if (x->http)
		stop(x, CALL_INTERRUPTED);
}

/* ---- calls ---- */

static const struct http_call_fns fns = {
	.on_head = on_head,
	.on_body = on_body,
	.on_end = on_end,
	.on_want_body = on_want_body,
};

static void start(struct exchange *x)
{
	const struct call_request *r = x->r;
	const struct url_base *base = &x->c->where.base;
	const char *type = r->source ? r->source_type : "application/json";
	bool has_body = r->source || r->body.n;
	x->path = xasprintf("%s%s", base->prefix, r->path);
	x->fields = xasprintf(AGENT "Accept: %s\r\n"
				    "%s%s%s%s%s",
			      r->accepts ? r->accepts : "application/json",
			      x->c->key ? x->c->key : "",
			      has_body ? "Content-Type: " : "",
			      has_body ? type : "", has_body ? "\r\n" : "",
			      r->fields ? r->fields : "");
	buf_init(&x->error_text, ERROR_TEXT_BYTES);
	const struct http_request request = {
		.method = r->method,
		.path = str_of(x->path),
		.host = base->host,
		.fields = str_of(x->fields),
		.body = r->body,
		.body_is_streamed = r->source != NULL,
		.body_length = (int64_t)r->source_bytes,
		.first_byte_limit_ms = r->limit_ms,
	};
	x->http = http_call_start(x->c->pool, &request, &fns, x);
}

int call_stream(struct call *c, const struct call_request *r, call_piece_fn fn,
		void *ctx, struct err *e)
{
	struct exchange x = { .c = c, .r = r, .fn = fn, .ctx = ctx, .e = e };
	start(&x);
	c->interrupt.data = &x;
	if (r->is_interruptible)
		uv_signal_start(&c->interrupt, on_interrupt, SIGINT);
	while (x.http)
		uv_run(&c->loop, UV_RUN_DEFAULT);
	uv_signal_stop(&c->interrupt);
	uv_idle_stop(&c->more);
	exchange_fini(&x);
	return x.outcome;
}

static int on_text(void *ctx, struct str piece, struct err *e)
{
	if (buf_put(ctx, piece.p, piece.n))
		return err_set(e, ERR_TOO_LARGE, "the answer is too long");
	return 0;
}

int call_text(struct call *c, const struct call_request *r, struct buf *out,
	      struct err *e)
{
	return call_stream(c, r, on_text, out, e);
}

int call_json(struct call *c, const char *method, const char *path,
	      struct str body, json_t **out, struct err *e)
{
	auto_buf struct buf text;
	buf_init(&text, LIMIT_REPLY_BODY_BYTES);
	if (call_text(c,
		      &(struct call_request){
			      .method = method, .path = path, .body = body },
		      &text, e))
		return -1;
	if (json_parse(buf_str(&text), out, e))
		return err_wrap(e, "the answer to %s %s", method, path);
	return 0;
}

static void on_posted(uv_timer_t *t)
{
	uv_stop(t->loop);
}

void call_post(struct call *c, const struct call_request *r)
{
	assert(!c->posted);
	c->posted = xcalloc(1, sizeof *c->posted);
	*c->posted = (struct exchange){ .c = c, .r = r, .e = &c->posted_err };
	start(c->posted);
	uv_timer_start(&c->timer, on_posted, POST_MS, 0);
	uv_run(&c->loop, UV_RUN_DEFAULT);
	uv_timer_stop(&c->timer);
}

char *call_escape(const char *text)
{
	static const char hex[] = "0123456789ABCDEF";
	char *out = xcalloc(3 * strlen(text) + 1, 1);
	char *p = out;
	for (; *text; text++) {
		unsigned char c = (unsigned char)*text;
		if ((c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') ||
		    (c >= 'a' && c <= 'z') || strchr("-._~/:", c)) {
			*p++ = (char)c;
			continue;
		}
		*p++ = '%';
		*p++ = hex[c >> 4];
		*p++ = hex[c & 15];
	}
	return out;
}
