#include "oci/fetch.h"
#include "base/buf.h"
#include "base/json.h"
#include "io/timer.h"

#include <stdio.h>

struct fetch {
	struct registry *registry; /* held */
	struct registry_place *place;
	const struct fetch_fns *fns; /* NULL: cancelled */
	void *ctx;
	bool is_head;
	char *path, *accept, *range; /* owned */
	struct fetch_upload upload;  /* method NULL: it is none */
	char *type, *content_range;  /* owned; of it */
	bool has_sent;		     /* some of its body */
	unsigned limit_ms;
	struct timer start;
	struct transfer *transfer;
	struct weburl at;
	bool is_named; /* `at` is the registry's own, not its word */
	int hops;
	int answers;	 /* to challenges */
	unsigned number; /* of the auth field that was sent */
	struct auth_wait wait;
	bool is_wanted; /* the body that is coming; or it is of an error */
	int status;
	unsigned retry_after_ms;
	char error_code[64], error_message[200]; /* X-Error-*, or "" */
	struct buf text;			 /* of an error */
	struct err plain; /* what plain http found, while https is tried */
	bool tries_https;
};

static void ask(struct fetch *f);

static void fetch_free(struct fetch *f)
{
	if (f->transfer)
		transfer_cancel(f->transfer);
	timer_fini(&f->start);
	auth_leave(&f->wait);
	buf_fini(&f->text);
	registry_release(f->registry);
	free(f->path);
	free(f->accept);
	free(f->range);
	free(f->type);
	free(f->content_range);
	free(f);
}

static void finish(struct fetch *f, int outcome, const struct err *e)
{
	const struct fetch_fns *fns = steal(&f->fns);
	fns->on_end(f->ctx, outcome, e);
	fetch_free(f);
}

/* ---- errors ---- */

/* {"errors":[{"code":"...","message":"..."}]} */
static void quote(const struct fetch *f, char *out, size_t n)
{
	auto_json *body = NULL;
	struct str code = STR(""), message = STR("");
	struct err unused;
	out[0] = '\0';
	if (json_parse(buf_str(&f->text), &body, &unused))
		return;
	const json_t *first =
		json_array_get(json_object_get(body, "errors"), 0);
	if (!json_is_object(first) ||
	    json_get_str(first, "code", &code, &unused) ||
	    json_get_str(first, "message", &message, &unused))
		return;
	snprintf(out, n, " (%.*s%s%.*s)", STR_ARG(str_head(code, 60)),
		 message.n ? ": " : "", STR_ARG(str_head(message, 120)));
	/* They end on somebody's terminal. */
	for (; *out; out++)
		if ((unsigned char)*out < ' ' || *out == 127)
			*out = '?';
}

static enum err_code code_of(int status)
{
	switch (status) {
	case 401:
	case 403:
		return ERR_AUTH;
	case 404:
		return ERR_NOT_FOUND;
	case 408:
	case 429:
		return ERR_UNAVAILABLE;
	default:
		return status >= 500 ? ERR_UNAVAILABLE : ERR_SYSTEM;
	}
}

static void refuse(struct fetch *f)
{
	struct err e;
	char words[256], place[WEBURL_HOST_BYTES + 8];
	weburl_place(&f->at, place);
	quote(f, words, sizeof words);
	err_set(&e, code_of(f->status), "%s answers %d%s", place, f->status,
		words);
	if (f->registry->explain)
		f->registry->explain(
			&(struct registry_refusal){
				.registry = f->registry,
				.place = place,
				.is_own = weburl_same_origin(&f->at,
							     &f->place->url),
				.status = f->status,
				.code = f->error_code,
				.message = f->error_message,
				.retry_after_ms = f->retry_after_ms },
			&e);
	finish(f, -1, &e);
}

static void fail(struct fetch *f, struct err *e)
{
	finish(f, -1, e);
}

/* ---- what leads on ---- */

static void on_answered(void *ctx, int outcome, const struct err *e)
{
	struct fetch *f = ctx;
	if (outcome)
		finish(f, -1, e);
	else
		ask(f);
}

static void answer_challenge(struct fetch *f, const struct challenge *c)
{
	struct err e;
	if (++f->answers > LIMIT_AUTH_ANSWERS) {
		refuse(f);
		return;
	}
	switch (auth_answer(f->place->auth, c, f->number, &f->wait, &e)) {
	case AUTH_NOW:
		ask(f);
		return;
	case 0:
		return;
	default:
		fail(f, &e);
	}
}

static void follow(struct fetch *f, struct str location)
{
	struct err e;
	struct weburl to;
	if (f->upload.method && f->status != 307 && f->status != 308) {
		refuse(f); /* the others would make a GET of it */
		return;
	}
	if (++f->hops > LIMIT_REDIRECTS)
		err_set(&e, ERR_SYSTEM, "%s: more than %d redirects",
			f->at.host, LIMIT_REDIRECTS);
	else if (weburl_resolve(&f->at, location, &to, &e) == 0 &&
		 reach_check(&f->place->reach, &f->at, &to, &e) == 0) {
		f->at = to;
		f->is_named = false;
		ask(f);
		return;
	}
	fail(f, &e);
}

/* On this machine a registry may have certificates. */
static bool try_https(struct fetch *f, const struct err *why)
{
	struct registry_place *p = f->place;
	if (!p->may_be_https || !f->is_named)
		return false;
	p->may_be_https = false;
	if (p->url.port == 80)
		p->url.port = 443;
	p->url.is_https = true;
	f->tries_https = true;
	f->plain = *why;
	return true;
}

/* ---- the transfer ---- */

static bool allows(void *ctx, const struct netaddr *a)
{
	struct fetch *f = ctx;
	return reach_allows(&f->place->reach, f->at.host, f->is_named, a);
}

static bool is_redirect(int status)
{
	return status == 301 || status == 302 || status == 303 ||
	       status == 307 || status == 308;
}

/* `"api";r=0;t=55`: nothing remains, for 55 seconds. */
static bool read_rate_limit(struct str text, uint64_t *out)
{
	struct str part;
	while (str_split(&text, ';', &part)) {
		part = str_trim(part);
		if (str_starts(part, "t="))
			return str_to_u64(str_tail(part, 2), out);
	}
	return false;
}

static void read_retry_after(struct fetch *f)
{
	uint64_t s;
	if (str_to_u64(transfer_field(f->transfer, "Retry-After", 0), &s) ||
	    (f->status == 429 &&
	     read_rate_limit(transfer_field(f->transfer, "RateLimit", 0), &s)))
		f->retry_after_ms =
			(unsigned)MIN(s, LIMIT_PULL_RETRY_AFTER_MS / 1000) *
			1000;
}

static void read_error(struct fetch *f)
{
	struct str code = transfer_field(f->transfer, "X-Error-Code", 0);
	struct str text = transfer_field(f->transfer, "X-Error-Message", 0);
	snprintf(f->error_code, sizeof f->error_code, "%.*s", STR_ARG(code));
	snprintf(f->error_message, sizeof f->error_message, "%.*s",
		 STR_ARG(text));
}

static void on_head(void *ctx, int status)
{
	struct fetch *f = ctx;
	struct netaddr home;
	if (f->is_named && transfer_address(f->transfer, &home))
		reach_settle(&f->place->reach, &home);
	f->status = status;
	f->is_wanted = false;
	buf_clear(&f->text);
	read_retry_after(f);
	read_error(f);
	if (f->upload.method ? status / 100 == 2
			     : status == 200 || status == 206) {
		f->place->may_be_https = false;
		f->is_wanted = true;
		f->fns->on_head(f->ctx, status);
	}
}

static void on_answer(struct fetch *f);

static int on_body(void *ctx, struct str piece)
{
	struct fetch *f = ctx;
	if (f->is_wanted)
		return f->fns->on_body(f->ctx, piece);
	size_t room = f->text.max - f->text.n;
	if (buf_put(&f->text, piece.p, MIN(piece.n, room)))
		abort();
	/* More of it says nothing new, and may never end. */
	if (piece.n >= room) {
		transfer_cancel(f->transfer);
		on_answer(f);
	}
	return 0;
}

static void read_challenges(struct fetch *f, struct challenge *out)
{
	struct str value;
	*out = (struct challenge){ .kind = CHALLENGE_NONE };
	for (size_t i = 0;
	     (value = transfer_field(f->transfer, "WWW-Authenticate", i)).p;
	     i++)
		challenge_parse(value, out);
}

static void on_answer(struct fetch *f)
{
	struct challenge c;
	struct err e;
	struct str location = transfer_field(f->transfer, "Location", 0);
	read_challenges(f, &c);
	auto_free char *to = location.p ? str_dup(location) : NULL;
	f->transfer = NULL;
	if (is_redirect(f->status) && to) {
		follow(f, str_of(to));
		return;
	}
	if (f->status == 400) {
		err_set(&e, ERR_SYSTEM, "%s answers 400", f->at.host);
		if (try_https(f, &e)) {
			ask(f);
			return;
		}
	}
	/* Elsewhere it is not the registry that asks. */
	if (f->status == 401 && !f->registry->explain &&
	    weburl_same_origin(&f->at, &f->place->url))
		answer_challenge(f, &c);
	else
		refuse(f);
}

static void on_end(void *ctx, int outcome, const struct err *e)
{
	struct fetch *f = ctx;
	if (outcome == 0 && !f->is_wanted) {
		on_answer(f);
		return;
	}
	f->transfer = NULL;
	if (outcome == 0) {
		finish(f, 0, NULL);
		return;
	}
	if (!f->status && e->code == ERR_ENGINE && try_https(f, e)) {
		ask(f);
		return;
	}
	/* TLS with who does not speak it says less than what was there. */
	finish(f, -1,
	       f->tries_https && !f->status && e->code == ERR_ENGINE ? &f->plain
								     : e);
}

static size_t on_send(void *ctx, char *to, size_t room)
{
	struct fetch *f = ctx;
	f->has_sent = true;
	return f->fns->on_send(f->ctx, to, room);
}

static const struct transfer_fns transfer_fns = {
	.allows = allows,
	.on_head = on_head,
	.on_body = on_body,
	.on_send = on_send,
	.on_end = on_end,
};

/* ---- the start ---- */

static int build_url(struct fetch *f, struct err *e)
{
	const struct weburl *base = &f->place->url;
	f->at = *base;
	int n = snprintf(f->at.target, sizeof f->at.target, "%s%s%s",
			 base->target, f->registry->root, f->path);
	if (n < 0 || (size_t)n >= sizeof f->at.target)
		return err_set(e, ERR_INVALID, "the name is too long");
	return 0;
}

static const char *method_of(const struct fetch *f)
{
	if (f->upload.method)
		return f->upload.method;
	return f->is_head ? "HEAD" : "GET";
}

static char *field(const char *name, const char *value)
{
	return value ? xasprintf("%s: %s", name, value) : NULL;
}

static void ask(struct fetch *f)
{
	struct err e;
	const char *fields[5];
	size_t n = 0;
	auto_free char *accept = field("Accept", f->accept);
	auto_free char *range = field("Range", f->range);
	auto_free char *type = field("Content-Type", f->type);
	auto_free char *part = field("Content-Range", f->content_range);
	const char *const own[] = { accept, range, type, part };
	if (f->is_named && build_url(f, &e)) {
		fail(f, &e);
		return;
	}
	f->status = 0;
	for (size_t i = 0; i < ARRAY_LEN(own); i++)
		if (own[i])
			fields[n++] = own[i];
	const char *login = auth_field(f->place->auth, &f->number);
	/* A redirect within the registry is the registry still. */
	if (login && weburl_same_origin(&f->at, &f->place->url))
		fields[n++] = login;
	if (f->has_sent)
		f->fns->on_rewind(f->ctx);
	f->has_sent = false;
	f->transfer =
		transfer_start(f->registry->all->transfers,
			       &(struct transfer_request){
				       .method = method_of(f),
				       .url = &f->at,
				       .fields = fields,
				       .n_fields = n,
				       .body = f->upload.body,
				       .stream_bytes = f->upload.stream_bytes,
				       .silence_ms = f->upload.silence_ms,
				       .limit_ms = f->limit_ms },
			       &transfer_fns, f, &e);
	if (!f->transfer)
		fail(f, &e);
}

static void on_start(void *ctx)
{
	ask(ctx);
}

static char *copy(const char *s)
{
	return s ? xstrdup(s) : NULL;
}

struct fetch *fetch_start(struct registry *r, const struct fetch_request *q,
			  const struct fetch_fns *fns, void *ctx)
{
	struct fetch *f = xcalloc(1, sizeof *f);
	f->registry = registry_hold(r);
	f->place = registry_place(r);
	f->fns = fns;
	f->ctx = ctx;
	f->is_head = q->is_head;
	f->path = xstrdup(q->path);
	f->accept = copy(q->accept);
	f->range = copy(q->range);
	f->limit_ms = q->limit_ms;
	if (q->upload) {
		f->upload = *q->upload;
		/* "": libcurl's own is for forms. */
		f->type = copy(q->upload->content_type ? q->upload->content_type
						       : "");
		f->content_range = copy(q->upload->content_range);
	}
	f->is_named = !q->location;
	if (q->location)
		f->at = *q->location;
	list_init(&f->wait.link);
	f->wait.fn = on_answered;
	f->wait.ctx = f;
	buf_init(&f->text, LIMIT_REGISTRY_ERROR_BYTES);
	/* What fails at once must not be told before we return. */
	timer_init(&f->start, r->all->loop, on_start, f);
	timer_start(&f->start, 0);
	return f;
}

void fetch_cancel(struct fetch *f)
{
	f->fns = NULL;
	fetch_free(f);
}

void fetch_resume(struct fetch *f)
{
	if (f->transfer)
		transfer_resume(f->transfer);
}

void fetch_send(struct fetch *f)
{
	if (f->transfer)
		transfer_send(f->transfer);
}

int fetch_leads_to(const struct fetch *f, struct weburl *out, struct err *e)
{
	struct str location = fetch_field(f, "Location");
	if (!location.p)
		return err_set(e, ERR_SYSTEM, "%s does not say where to go on",
			       f->at.host);
	if (weburl_resolve(&f->at, location, out, e))
		return err_wrap(e, "%s", f->at.host);
	return reach_check(&f->place->reach, &f->at, out, e);
}

int fetch_status(const struct fetch *f)
{
	return f->status;
}

struct str fetch_field(const struct fetch *f, const char *name)
{
	return transfer_field(f->transfer, name, 0);
}

const struct weburl *fetch_location(const struct fetch *f)
{
	return f->is_named ? NULL : &f->at;
}

unsigned fetch_retry_after_ms(const struct fetch *f)
{
	return f->retry_after_ms;
}

bool fetch_is_passing(const struct err *e)
{
	return e->code == ERR_ENGINE || e->code == ERR_ENGINE_SLOW ||
	       e->code == ERR_UNAVAILABLE;
}
