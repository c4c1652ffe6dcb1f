#include "docker/front_relay.h"
#include "base/limits.h"

#include <assert.h>
#include <stdio.h>

/* HTTP/2 without an Upgrade: newer Engines speak it on their socket. What comes
 * after is no HTTP/1.1, so the connection belongs to the Engine from here. */
#define H2_PREFACE "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
#define CALLER_FIELD "Modeld-Caller"

void front_relay_init(struct front_relay *r, unsigned uid, int pid,
		      const char *docker)
{
	*r = (struct front_relay){ .is_first = true, .docker = docker };
	snprintf(r->caller, sizeof r->caller, "uid=%u pid=%d", uid, pid);
	buf_init(&r->own, LIMIT_FRONT_HEAD_BYTES + 1024);
}

void front_relay_fini(struct front_relay *r)
{
	buf_fini(&r->own);
}

bool front_relay_is_busy(const struct front_relay *r)
{
	return r->answering != FRONT_SILENT;
}

/* ---- answers of our own ---- */

static struct front_step step(enum front_do what, size_t used, struct str bytes)
{
	return (struct front_step){ what, used, bytes };
}

static void put(struct front_relay *r, struct str s)
{
	int full = buf_put(&r->own, s.p, s.n);
	assert(!full); /* its ceiling is above that of a head */
}

/* An answer of ours, which ends the connection. Both shapes of an error are in
 * it: Docker's and OpenAI's. */
static struct front_step refuse(struct front_relay *r, int status,
				const char *type, struct str message)
{
	auto_buf struct buf body, text;
	buf_init(&body, 8192);
	buf_init(&text, 2048);
	int full = buf_put_json(&text, str_head(message, 500)) ||
		   buf_printf(&body,
			      "{\"message\":%s,\"error\":{\"message\":%s,"
			      "\"type\":\"%s\",\"code\":%d}}\n",
			      text.p, text.p, type, status);
	buf_clear(&r->own);
	full |= buf_printf(&r->own,
			   "HTTP/1.1 %d %s\r\n"
			   "Content-Type: application/json\r\n"
			   "Content-Length: %zu\r\n"
			   "Connection: close\r\n\r\n",
			   status, head_reason(status), body.n);
	assert(!full);
	if (r->method != HTTP_HEAD)
		put(r, buf_str(&body));
	r->is_closed = true;
	return step(FRONT_ANSWER, 0, buf_str(&r->own));
}

static struct front_step close_now(struct front_relay *r)
{
	r->is_closed = true;
	return step(FRONT_CLOSE, 0, STR(""));
}

/* The message broke its own framing: nothing after it can be trusted. */
static struct front_step broken(struct front_relay *r, const struct err *e)
{
	if (r->is_answer_started)
		return close_now(r);
	return refuse(r, err_http_status(e->code), err_api_type(e->code),
		      str_of(e->msg));
}

void front_relay_unreachable(struct front_relay *r, struct front_step *out)
{
	auto_free char *message =
		r->world == FRONT_MODELD
			? xstrdup("modeld does not run, so no model answers "
				  "here; start it: sudo systemctl start modeld "
				  "(or run modeld)")
			: xasprintf("Cannot connect to the Docker daemon at "
				    "unix://%s. Is the docker daemon running?",
				    r->docker);
	*out = r->is_answer_started
		       ? close_now(r)
		       : refuse(r, 503, err_api_type(ERR_UNAVAILABLE),
				str_of(message));
}

/* ---- bodies ---- */

static void begin_body(struct front_body *b, const struct http_frame *f)
{
	b->framing = f->framing;
	b->left = f->length;
	chunk_decoder_init(&b->chunks);
}

static bool is_empty(const struct front_body *b)
{
	return b->framing == HTTP_NO_BODY ||
	       (b->framing == HTTP_LENGTH && b->left == 0);
}

/* How many of these bytes belong to it; *is_over: the last of it is in them. */
static int take_body(struct front_body *b, struct str in, size_t *used,
		     bool *is_over, struct err *e)
{
	struct str rest = in, data;
	int got = 0;
	*used = in.n;
	*is_over = false;
	if (b->framing == HTTP_UNTIL_CLOSE)
		return 0;
	if (b->framing == HTTP_LENGTH) {
		*used = (size_t)MIN(b->left, in.n);
		b->left -= *used;
		*is_over = b->left == 0;
		return 0;
	}
	while (got == 0)
		got = chunk_decode(&b->chunks, &rest, &data, e);
	*used = in.n - rest.n;
	*is_over = got == CHUNK_DONE;
	return got < 0 ? -1 : 0;
}

/* ---- requests ---- */

static void begin(struct front_relay *r, const struct http_frame *f)
{
	r->method = f->method;
	r->keep_alive = f->keep_alive;
	r->is_answer_started = false;
	begin_body(&r->request, f);
	r->asking = is_empty(&r->request) ? FRONT_ASKED : FRONT_BODY;
	r->answering = FRONT_HEAD;
	r->seen_request = r->seen_answer = 0;
}

/* The head as modeld is to see it: without the prefix and what the client says
 * of itself. */
static struct str rewrite(struct front_relay *r, struct str head,
			  const struct http_frame *f)
{
	struct str rest = f->fields, line, name;
	const char *path = f->target.p + strlen(FRONT_PREFIX);
	buf_clear(&r->own);
	put(r, f->method_text);
	put(r, STR(" "));
	put(r, (struct str){ path, (size_t)(f->fields.p - path) });
	while (frame_next_field(&rest, &line, &name))
		if (!str_eq_nocase(name, CALLER_FIELD))
			put(r, line);
	put(r, STR(CALLER_FIELD ": "));
	put(r, str_of(r->caller));
	put(r, STR("\r\n"));
	put(r, str_tail(head, head.n - 2));
	return buf_str(&r->own);
}

static struct front_step pong(struct front_relay *r, size_t used)
{
	static const struct str text =
		STR(FRONT_PONG "No Content\r\nServer: modeld-docker\r\n\r\n");
	r->seen_request = 0;
	return step(FRONT_ANSWER, used, text);
}

static struct front_step take_request(struct front_relay *r, struct str head)
{
	struct http_frame f;
	struct err e;
	if (frame_request(head, &f, &e)) {
		r->method = HTTP_OTHER;
		return broken(r, &e);
	}
	if (str_eq(f.method_text, "MODELD-PING") && f.framing == HTTP_NO_BODY)
		return pong(r, head.n);
	begin(r, &f);
	r->world = str_starts(f.target, FRONT_PREFIX "/") ? FRONT_MODELD
							  : FRONT_ENGINE;
	if (r->world == FRONT_MODELD)
		return step(FRONT_ASK, head.n, rewrite(r, head, &f));
	/* An empty line before it is no part of it. */
	if (str_starts(head, "\r\n"))
		return step(FRONT_ASK, head.n, str_tail(head, 2));
	return step(FRONT_ASK, head.n, head);
}

/* Is it HTTP/2? Or could it be, when more has come? */
static bool starts_h2(const struct front_relay *r, struct str in)
{
	struct str preface = STR(H2_PREFACE);
	size_t n = MIN(in.n, preface.n);
	return r->is_first && n && memcmp(in.p, preface.p, n) == 0;
}

static struct front_step idle(struct front_relay *r, struct str in)
{
	struct err e;
	size_t end = 0;
	if (!in.n)
		return step(FRONT_MORE, 0, in);
	if (starts_h2(r, in)) {
		if (in.n < strlen(H2_PREFACE))
			return step(FRONT_MORE, 0, STR(""));
		r->asking = FRONT_TUNNEL;
		r->answering = FRONT_PIPE;
		r->world = FRONT_ENGINE;
		return step(FRONT_ASK, in.n, in);
	}
	r->is_answer_started = false;
	int got = frame_find(in, LIMIT_FRONT_HEAD_BYTES, &r->seen_request, &end,
			     &e);
	if (got == FRAME_MORE)
		return step(FRONT_MORE, 0, STR(""));
	if (got < 0) {
		r->method = HTTP_OTHER;
		return broken(r, &e);
	}
	r->is_first = false;
	return take_request(r, str_head(in, end));
}

/* After this exchange the next may begin, or the connection ends. */
static bool is_finished(struct front_relay *r)
{
	if (r->asking != FRONT_ASKED || r->answering != FRONT_ANSWERED)
		return false;
	r->asking = FRONT_IDLE;
	r->answering = FRONT_SILENT;
	buf_release(&r->own);
	if (!r->keep_alive)
		r->is_closed = true;
	return true;
}

static struct front_step body(struct front_relay *r, struct str in)
{
	struct err e;
	size_t used;
	bool is_over;
	if (!in.n)
		return step(FRONT_MORE, 0, in);
	if (take_body(&r->request, in, &used, &is_over, &e))
		return broken(r, &e);
	if (is_over) {
		r->asking = FRONT_ASKED;
		is_finished(r);
	}
	return step(FRONT_ASK, used, str_head(in, used));
}

void front_relay_ask(struct front_relay *r, struct str in,
		     struct front_step *out)
{
	if (r->is_closed) {
		*out = step(FRONT_CLOSE, 0, STR(""));
		return;
	}
	switch (r->asking) {
	case FRONT_IDLE:
		*out = idle(r, in);
		return;
	case FRONT_BODY:
		*out = body(r, in);
		return;
	case FRONT_ASKED:
		*out = step(in.n ? FRONT_WAIT : FRONT_MORE, 0, STR(""));
		return;
	case FRONT_TUNNEL:
		*out = step(in.n ? FRONT_ASK : FRONT_MORE, in.n, in);
		return;
	}
	abort(); /* all states are above */
}

/* ---- answers ---- */

/* Docker takes a connection over also without a 101, if the client did not ask
 * for an Upgrade. */
static bool is_hijack(const struct http_frame *f)
{
	static const char *const types[] = {
		"application/vnd.docker.raw-stream",
		"application/vnd.docker.multiplexed-stream",
	};
	if (f->status == 101)
		return true;
	if (f->status != 200 || f->framing != HTTP_UNTIL_CLOSE)
		return false;
	struct str type = f->type;
	ptrdiff_t end = str_find(type, ';');
	if (end >= 0)
		type = str_trim(str_head(type, (size_t)end));
	return str_eq_nocase(type, types[0]) || str_eq_nocase(type, types[1]);
}

static void begin_answer(struct front_relay *r, const struct http_frame *f)
{
	r->seen_answer = 0;
	r->is_answer_started = true;
	/* modeld has no such answers, so nobody may make it seem to. */
	if (r->world == FRONT_ENGINE && is_hijack(f)) {
		r->asking = FRONT_TUNNEL;
		r->answering = FRONT_PIPE;
		return;
	}
	if (f->status < 200)
		return; /* the answer proper is still to come */
	r->keep_alive &= f->keep_alive;
	begin_body(&r->answer, f);
	r->answering = is_empty(&r->answer) ? FRONT_ANSWERED : FRONT_ANSWERING;
	is_finished(r);
}

static struct front_step answer_head(struct front_relay *r, struct str in)
{
	struct http_frame f;
	struct err e;
	size_t end = 0;
	int got = frame_find(in, LIMIT_FRONT_HEAD_BYTES, &r->seen_answer, &end,
			     &e);
	if (got == FRAME_MORE)
		return step(FRONT_MORE, 0, STR(""));
	struct str head = str_head(in, end);
	if (got < 0 || frame_response(head, r->method, &f, &e)) {
		err_wrap(&e, "the answer of %s",
			 r->world == FRONT_ENGINE ? "Docker Engine" : "modeld");
		e.code = ERR_ENGINE;
		return broken(r, &e);
	}
	begin_answer(r, &f);
	return step(FRONT_ANSWER, end, head);
}

static struct front_step answer_body(struct front_relay *r, struct str in)
{
	struct err e;
	size_t used;
	bool is_over;
	if (take_body(&r->answer, in, &used, &is_over, &e))
		return close_now(r);
	if (is_over) {
		r->answering = FRONT_ANSWERED;
		is_finished(r);
	}
	return step(FRONT_ANSWER, used, str_head(in, used));
}

void front_relay_answer(struct front_relay *r, struct str in,
			struct front_step *out)
{
	if (r->is_closed) {
		*out = step(FRONT_CLOSE, 0, STR(""));
		return;
	}
	if (!in.n) {
		*out = step(FRONT_MORE, 0, in);
		return;
	}
	switch (r->answering) {
	case FRONT_HEAD:
		*out = answer_head(r, in);
		return;
	case FRONT_ANSWERING:
		*out = answer_body(r, in);
		return;
	case FRONT_PIPE:
		*out = step(FRONT_ANSWER, in.n, in);
		return;
	case FRONT_ANSWERED: /* more than it said */
	case FRONT_SILENT:
		*out = close_now(r);
		return;
	}
	abort(); /* all states are above */
}

void front_relay_answer_end(struct front_relay *r, struct front_step *out)
{
	if (r->answering == FRONT_PIPE && !r->is_closed)
		*out = step(FRONT_ANSWER, 0, STR(""));
	else
		*out = close_now(r);
}
