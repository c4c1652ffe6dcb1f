/* dockerd.c - one connection a question, since the socket may move between two
 * of them, and one for each follower. */
#include "docker/dockerd.h"
#include "base/buf.h"
#include "base/limits.h"
#include "base/list.h"
#include "base/log.h"
#include "docker/setup.h"
#include "http/client.h"
#include "io/timer.h"

#include <assert.h>
#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

struct dockerd {
	struct uv_loop_s *loop;
	const struct setup *setup;
	struct list asks;      /* ask.link */
	struct list followers; /* follower.link */
};

/* One GET, also a follower's. */
struct call {
	struct dockerd *d;
	struct http_pool *pool; /* owned; NULL: no Engine to ask */
	char *path;
	int status;
};

struct ask {
	struct list link;
	struct call call;
	struct timer limit; /* for the whole answer; 0 when none is asked */
	struct buf body;
	bool is_too_large;
	dockerd_fn fn;
	void *ctx;
};

struct follower {
	struct list link;
	struct call call;
	struct timer pause;
	unsigned pause_ms;
	struct buf line;
	bool is_skipping; /* the rest of a line that was too long */
	bool is_lost;	  /* on_lost was told */
	char *filters;	  /* percent-encoded, or NULL */
	const struct dockerd_follow_fns *fns;
	void *ctx;
};

/* ---- is there an Engine? ---- */

static bool is_dockerd(int proc, const char *pid)
{
	char path[300], name[32];
	snprintf(path, sizeof path, "%s/comm", pid);
	auto_close int fd = openat(proc, path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, name, sizeof name);
	return n > 0 &&
	       str_eq(str_head((struct str){ name, (size_t)n }, (size_t)n - 1),
		      "dockerd");
}

/* With systemd's docker.socket a connect would start an Engine that the
 * administrator has just stopped; so there must be one already. */
static bool is_running(void)
{
	if (access("/run/systemd/system", F_OK) < 0)
		return true;
	DIR *dir = opendir("/proc");
	bool found = !dir;
	struct dirent *d;
	while (!found && (d = readdir(dir)) != NULL)
		found = isdigit((unsigned char)d->d_name[0]) &&
			is_dockerd(dirfd(dir), d->d_name);
	if (dir)
		closedir(dir);
	return found;
}

static void call_start(struct call *c, unsigned first_byte_ms,
		       const struct http_call_fns *fns, void *ctx)
{
	auto_free char *address = xasprintf("%s%s", STREAM_UNIX_PREFIX,
					    setup_engine_socket(c->d->setup));
	struct http_request r = { .method = "GET",
				  .path = str_of(c->path),
				  .host = "docker",
				  .fields = STR("Connection: close\r\n"),
				  .first_byte_limit_ms = first_byte_ms };
	c->status = 0;
	c->pool = http_pool_new(c->d->loop, address);
	http_call_start(c->pool, &r, fns, ctx);
}

static void call_fini(struct call *c)
{
	http_pool_free(steal(&c->pool));
	free(steal(&c->path));
}

/* ---- questions ---- */

static void ask_free(struct ask *a)
{
	list_remove(&a->link);
	call_fini(&a->call);
	timer_fini(&a->limit);
	buf_fini(&a->body);
	free(a);
}

/* Ends it; the caller touches nothing after. */
static void tell(struct ask *a, int outcome, const json_t *answer,
		 const struct err *e)
{
	dockerd_fn fn = a->fn;
	void *ctx = a->ctx;
	ask_free(a);
	fn(ctx, outcome, answer, e);
}

static void on_ask_head(void *ctx, const struct http_head *h)
{
	struct ask *a = ctx;
	a->call.status = h->status;
}

static void on_ask_body(void *ctx, struct str piece)
{
	struct ask *a = ctx;
	if (buf_put(&a->body, piece.p, piece.n))
		a->is_too_large = true;
}

/* The answer, or why there is none. */
static int read_answer(struct ask *a, json_t **out, struct err *e)
{
	if (a->is_too_large)
		return err_set(e, ERR_TOO_LARGE,
			       "the Docker Engine's answer to %s is larger "
			       "than %u bytes",
			       a->call.path, LIMIT_REPLY_BODY_BYTES);
	if (a->call.status != 200)
		return err_set(
			e, a->call.status == 404 ? ERR_NOT_FOUND : ERR_ENGINE,
			"the Docker Engine answers %d to GET %s: %.*s",
			a->call.status, a->call.path,
			STR_ARG(str_head(buf_str(&a->body), 200)));
	if (json_parse(buf_str(&a->body), out, e))
		return err_wrap(e, "the Docker Engine's answer to %s",
				a->call.path);
	return 0;
}

static void on_ask_end(void *ctx, int outcome, const struct err *e)
{
	struct ask *a = ctx;
	struct err why;
	auto_json *answer = NULL;
	if (outcome == 0)
		outcome = read_answer(a, &answer, &why);
	else
		outcome = err_set(&why, e->code, "ask the Docker Engine: %s",
				  e->msg);
	tell(a, outcome, answer, outcome ? &why : NULL);
}

static void on_ask_late(void *ctx)
{
	struct ask *a = ctx;
	struct err e;
	int r = a->call.pool
			? err_set(&e, ERR_ENGINE_SLOW,
				  "the Docker Engine took more than %d s to "
				  "answer %s",
				  LIMIT_DOCKERD_MS / 1000, a->call.path)
			: err_set(&e, ERR_REFUSED,
				  "no Docker Engine runs; start it "
				  "(systemctl start docker)");
	tell(a, r, NULL, &e);
}

void dockerd_get(struct dockerd *d, const char *path, dockerd_fn fn, void *ctx)
{
	static const struct http_call_fns fns = { .on_head = on_ask_head,
						  .on_body = on_ask_body,
						  .on_end = on_ask_end };
	struct ask *a = xcalloc(1, sizeof *a);
	a->call.d = d;
	a->call.path = xstrdup(path);
	a->fn = fn;
	a->ctx = ctx;
	buf_init(&a->body, LIMIT_REPLY_BODY_BYTES);
	timer_init(&a->limit, d->loop, on_ask_late, a);
	list_push_back(&d->asks, &a->link);
	bool runs = is_running();
	timer_start(&a->limit, runs ? LIMIT_DOCKERD_MS : 0);
	if (runs)
		call_start(&a->call, 0, &fns, a);
}

/* ---- followers ---- */

static void wait_again(struct follower *f)
{
	timer_start(&f->pause, f->pause_ms);
	f->pause_ms = MIN(2 * f->pause_ms, LIMIT_DOCKERD_PAUSE_MS);
}

static void lose(struct follower *f, const struct err *e)
{
	call_fini(&f->call);
	buf_clear(&f->line);
	f->is_skipping = false;
	wait_again(f);
	if (f->is_lost)
		return;
	f->is_lost = true;
	if (f->fns->on_lost)
		f->fns->on_lost(f->ctx, e);
}

static void on_follow_head(void *ctx, const struct http_head *h)
{
	struct follower *f = ctx;
	f->call.status = h->status;
	if (h->status != 200)
		return; /* it ends, and comes again later */
	f->is_lost = false;
	f->pause_ms = LIMIT_DOCKERD_PAUSE_MIN_MS;
	f->fns->on_look(f->ctx);
}

static void take_line(struct follower *f)
{
	struct err e;
	auto_json *event = NULL;
	struct str line = str_trim(buf_str(&f->line));
	if (!line.n || f->call.status != 200)
		return;
	if (json_parse(line, &event, &e)) {
		log_warn("an event of the Docker Engine is not understood "
			 "error=\"%s\"",
			 e.msg);
		f->fns->on_look(f->ctx);
		return;
	}
	f->fns->on_event(f->ctx, event);
}

static void on_follow_body(void *ctx, struct str piece)
{
	struct follower *f = ctx;
	while (piece.n) {
		ptrdiff_t end = str_find(piece, '\n');
		struct str part =
			end < 0 ? piece : str_head(piece, (size_t)end);
		if (!f->is_skipping && buf_put(&f->line, part.p, part.n))
			f->is_skipping = true;
		if (end < 0)
			return;
		piece = str_tail(piece, (size_t)end + 1);
		if (f->is_skipping && f->call.status == 200)
			f->fns->on_look(f->ctx);
		else
			take_line(f);
		f->is_skipping = false;
		buf_clear(&f->line);
	}
}

static void on_follow_end(void *ctx, int outcome, const struct err *e)
{
	struct follower *f = ctx;
	struct err why;
	if (outcome == 0 && f->call.status != 200)
		err_set(&why, ERR_ENGINE,
			"the Docker Engine answers %d to GET /events: %.*s",
			f->call.status,
			STR_ARG(str_head(buf_str(&f->line), 200)));
	else if (outcome == 0)
		err_set(&why, ERR_REFUSED, "the Docker Engine has stopped");
	else
		why = *e;
	lose(f, &why);
}

static void on_follow_now(void *ctx)
{
	static const struct http_call_fns fns = { .on_head = on_follow_head,
						  .on_body = on_follow_body,
						  .on_end = on_follow_end };
	struct follower *f = ctx;
	struct err e;
	if (!is_running()) {
		err_set(&e, ERR_REFUSED, "no Docker Engine runs");
		lose(f, &e);
		return;
	}
	/* The head comes before the Engine has subscribed us: `since` closes
	 * the gap. */
	f->call.path = xasprintf(
		"/events?since=%lld%s%s", (long long)time(NULL),
		f->filters ? "&filters=" : "", f->filters ? f->filters : "");
	call_start(&f->call, LIMIT_DOCKERD_MS, &fns, f);
}

static char *percent_encoded(const char *text)
{
	auto_buf struct buf b;
	buf_init(&b, SIZE_MAX / 2);
	for (const char *p = text; *p; p++) {
		int full =
			isalnum((unsigned char)*p)
				? buf_put(&b, p, 1)
				: buf_printf(&b, "%%%02X", (unsigned char)*p);
		assert(!full);
	}
	return buf_take(&b);
}

void dockerd_follow(struct dockerd *d, const char *filters,
		    const struct dockerd_follow_fns *fns, void *ctx)
{
	struct follower *f = xcalloc(1, sizeof *f);
	f->call.d = d;
	f->fns = fns;
	f->ctx = ctx;
	f->filters = filters ? percent_encoded(filters) : NULL;
	f->pause_ms = LIMIT_DOCKERD_PAUSE_MIN_MS;
	buf_init(&f->line, LIMIT_DOCKERD_EVENT_BYTES);
	timer_init(&f->pause, d->loop, on_follow_now, f);
	list_push_back(&d->followers, &f->link);
	timer_start(&f->pause, 0);
}

static void follower_free(struct follower *f)
{
	list_remove(&f->link);
	call_fini(&f->call);
	timer_fini(&f->pause);
	buf_fini(&f->line);
	free(f->filters);
	free(f);
}

/* ---- all of it ---- */

struct dockerd *dockerd_new(struct uv_loop_s *loop, const struct setup *s)
{
	struct dockerd *d = xcalloc(1, sizeof *d);
	d->loop = loop;
	d->setup = s;
	list_init(&d->asks);
	list_init(&d->followers);
	return d;
}

void dockerd_free(struct dockerd *d)
{
	if (!d)
		return;
	while (!list_is_empty(&d->asks))
		ask_free(container_of(d->asks.next, struct ask, link));
	while (!list_is_empty(&d->followers))
		follower_free(
			container_of(d->followers.next, struct follower, link));
	free(d);
}
