#include "docker/front_conn.h"
#include "base/limits.h"
#include "docker/front_relay.h"
#include "io/timer.h"

#include <assert.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define WORLDS (FRONT_MODELD + 1)

/* A connection to dockerd or to modeld. */
struct world {
	struct front_conn *conn;
	struct stream *s; /* owned; NULL: none is open */
	struct buf left;  /* came, and is no whole head yet */
	struct hangup hangup;
	bool is_open;  /* else it is connecting */
	bool is_full;  /* it takes no more for now */
	bool is_ended; /* it sent FIN */
	bool has_fin;  /* it got ours */
	uint64_t used_ms;
};

struct front_conn {
	struct front *front;
	struct list link;
	struct stream *client; /* owned */
	struct hangup hangup;
	struct buf left; /* came, and its turn has not */
	struct world worlds[WORLDS];
	struct front_relay relay;
	bool is_full;  /* the client takes no more for now */
	bool is_ended; /* the client sent FIN */
	bool is_gone;  /* the client is closed altogether */
	bool has_fin;  /* the client got FIN */
	bool is_over;  /* and nothing that it sends matters any more */
	struct timer linger;
	size_t lingered;
};

static const struct stream_fns world_fns;

/* ---- the end ---- */

static void world_close(struct world *w)
{
	hangup_stop(&w->hangup);
	stream_free(steal(&w->s));
	buf_release(&w->left);
	w->is_open = w->is_full = w->is_ended = w->has_fin = false;
}

static void conn_free(struct front_conn *c)
{
	struct front *f = c->front;
	for (int i = 0; i < WORLDS; i++)
		world_close(&c->worlds[i]);
	hangup_stop(&c->hangup);
	timer_fini(&c->linger);
	stream_free(c->client);
	listener_release(f->listener);
	front_relay_fini(&c->relay);
	buf_fini(&c->left);
	list_remove(&c->link);
	free(c);
	if (f->is_stopping && list_is_empty(&f->conns))
		f->on_none(f);
}

static void on_lingered(void *ctx)
{
	conn_free(ctx);
}

/* All is written: the client is waited for, so that it sees the answer and not
 * a reset, but not for ever. */
static void linger(struct front_conn *c)
{
	if (c->is_ended) {
		conn_free(c);
		return;
	}
	if (!c->linger.impl)
		timer_init(&c->linger, c->front->loop, on_lingered, c);
	if (!timer_is_active(&c->linger))
		timer_start(&c->linger, LIMIT_LINGER_MS);
}

static void finish_client(struct front_conn *c)
{
	if (!c->has_fin)
		stream_finish(c->client);
	c->has_fin = true;
}

/* FRONT_CLOSE. */
static void close_conn(struct front_conn *c)
{
	c->is_over = true;
	for (int i = 0; i < WORLDS; i++)
		world_close(&c->worlds[i]);
	buf_release(&c->left);
	finish_client(c);
	stream_resume(c->client);
	if (stream_queued(c->client) == 0)
		linger(c);
}

/* ---- to the worlds ---- */

static bool is_same_file(const char *a, const char *b)
{
	struct stat one, two;
	return stat(a, &one) == 0 && stat(b, &two) == 0 &&
	       one.st_dev == two.st_dev && one.st_ino == two.st_ino;
}

/* While we have Docker's name, or a front that died before us has it, the
 * Engine has the other; else it has its own. NULL: that is ourselves. */
static const char *engine_path(const struct setup *s)
{
	char mark[128];
	snprintf(mark, sizeof mark, "%s" FRONT_MARK, s->engine);
	bool is_ours = is_same_file(s->docker, s->listen) ||
		       is_same_file(s->docker, mark) ||
		       access(s->docker, F_OK) != 0;
	const char *path = is_ours ? s->engine : s->docker;
	return is_same_file(path, s->listen) ? NULL : path;
}

/* Said once, not to each client. */
static void note_reach(struct front *f, enum front_world which, bool is_up,
		       const char *why)
{
	const char *name = which == FRONT_ENGINE ? "Docker Engine" : "modeld";
	if (f->is_down[which] == !is_up)
		return;
	f->is_down[which] = !is_up;
	if (is_up)
		log_info("%s is there again", name);
	else
		log_warn("%s cannot be reached error=\"%s\"", name, why);
}

static void on_open(void *ctx)
{
	struct world *w = ctx;
	w->is_open = true;
	note_reach(w->conn->front, (enum front_world)(w - w->conn->worlds),
		   true, NULL);
}

static bool open_world(struct front_conn *c, struct world *w)
{
	struct err e;
	const struct setup *s = c->front->setup;
	const char *path =
		c->relay.world == FRONT_MODELD ? s->modeld : engine_path(s);
	if (!path) {
		note_reach(c->front, FRONT_ENGINE, false,
			   "its socket's name leads to the front");
		return false;
	}
	auto_free char *address = xasprintf(STREAM_UNIX_PREFIX "%s", path);
	if (stream_connect(c->front->loop, address, &world_fns, w, on_open,
			   &w->s, &e)) {
		log_error("front cannot connect error=\"%s\"", e.msg);
		return false;
	}
	stream_resume(w->s);
	return true;
}

static void answer(struct front_conn *c, const struct front_step *step)
{
	if (step->what == FRONT_ANSWER && step->bytes.n &&
	    stream_write(c->client, &step->bytes, 1) == STREAM_FULL)
		c->is_full = true;
}

static void ask(struct front_conn *c, struct str bytes, bool is_new)
{
	struct world *w = &c->worlds[c->relay.world];
	struct front_step step;
	/* modeld ends what is idle for long; it must not do so just now. */
	if (is_new && w->s && c->relay.world == FRONT_MODELD &&
	    timer_now_ms(c->front->loop) - w->used_ms > LIMIT_POOL_IDLE_MS)
		world_close(w);
	if (!w->s && !open_world(c, w)) {
		front_relay_unreachable(&c->relay, &step);
		answer(c, &step);
		return;
	}
	w->used_ms = timer_now_ms(c->front->loop);
	if (stream_write(w->s, &bytes, 1) == STREAM_FULL)
		w->is_full = true;
}

/* ---- bytes through the relay ---- */

typedef void (*relay_fn)(struct front_relay *r, struct str in,
			 struct front_step *out);

static void keep(struct buf *left, struct str data)
{
	int full = buf_put(left, data.p, data.n);
	assert(!full); /* reading stops before */
}

/* Does what the relay says of what was left and of `data`; the rest is left.
 * Gives FRONT_MORE, FRONT_WAIT or FRONT_CLOSE. */
static enum front_do pump(struct front_conn *c, relay_fn fn, struct buf *left,
			  struct str data)
{
	bool was_left = left->n > 0;
	struct front_step step;
	if (was_left) {
		keep(left, data);
		data = buf_str(left);
	}
	size_t all = data.n;
	for (;;) {
		bool is_new = !front_relay_is_busy(&c->relay);
		fn(&c->relay, data, &step);
		if (step.what == FRONT_ASK)
			ask(c, step.bytes, is_new);
		else if (step.what == FRONT_ANSWER)
			answer(c, &step);
		else
			break;
		data = str_tail(data, step.used);
	}
	if (was_left)
		buf_drop(left, all - data.n);
	else
		keep(left, data);
	if (!left->n)
		buf_release(left);
	return step.what;
}

/* ---- after each event ---- */

static void on_client_hangup(void *ctx);

/* The world that the exchange under way asks, or NULL. */
static struct world *current(struct front_conn *c)
{
	return front_relay_is_busy(&c->relay) ? &c->worlds[c->relay.world]
					      : NULL;
}

static void set_reading(struct front_conn *c)
{
	const struct world *w = current(c);
	bool waits = c->relay.asking == FRONT_ASKED && c->left.n;
	if (!waits && !(w && w->is_full))
		stream_resume(c->client);
	else
		stream_pause(c->client);
	if (waits)
		hangup_watch(&c->hangup, c->front->hangups, c->client,
			     on_client_hangup, c);
	else if (!c->is_ended)
		hangup_stop(&c->hangup);
	for (int i = 0; i < WORLDS; i++) {
		if (!c->worlds[i].s)
			continue;
		if (c->is_full)
			stream_pause(c->worlds[i].s);
		else
			stream_resume(c->worlds[i].s);
	}
}

/* The client is gone. What it asked for is still asked, as it would be without
 * us; then the Engine sees that nobody listens. */
static void leave(struct front_conn *c)
{
	struct world *w = current(c);
	c->is_gone = true;
	if (!w || !w->s || (w->is_open && stream_queued(w->s) == 0)) {
		conn_free(c);
		return;
	}
	stream_pause(c->client);
	if (!w->has_fin)
		stream_finish(w->s);
	w->has_fin = true;
}

/* The client has nothing more to say, and all of it was passed on. */
static void pass_end(struct front_conn *c)
{
	struct world *w = current(c);
	if (!w || !w->s) {
		close_conn(c);
		return;
	}
	if (!w->has_fin)
		stream_finish(w->s);
	w->has_fin = true;
	if (w->is_ended && stream_queued(w->s) == 0 &&
	    stream_queued(c->client) == 0)
		conn_free(c);
	else
		set_reading(c);
}

/* `c` may be freed when this returns. */
static void settle(struct front_conn *c, enum front_do verdict)
{
	if (c->is_gone) {
		leave(c);
		return;
	}
	/* What is over lets the next request begin. */
	if (verdict != FRONT_CLOSE)
		verdict = pump(c, front_relay_ask, &c->left, STR(""));
	bool is_idle = !front_relay_is_busy(&c->relay);
	if (verdict == FRONT_CLOSE ||
	    (c->front->is_stopping && is_idle && !c->left.n))
		close_conn(c);
	else if (c->is_ended && (is_idle || !c->left.n))
		pass_end(c);
	else
		set_reading(c);
}

/* ---- events of the client ---- */

static void on_client_hangup(void *ctx)
{
	leave(ctx);
}

static void on_client_data(void *ctx, struct str data)
{
	struct front_conn *c = ctx;
	if (!c->is_over) {
		settle(c, pump(c, front_relay_ask, &c->left, data));
		return;
	}
	c->lingered += data.n;
	if (c->lingered > LIMIT_LINGER_BYTES)
		conn_free(c);
}

static void on_client_end(void *ctx)
{
	struct front_conn *c = ctx;
	c->is_ended = true;
	if (c->is_over) {
		if (stream_queued(c->client) == 0)
			conn_free(c);
		return;
	}
	hangup_watch(&c->hangup, c->front->hangups, c->client, on_client_hangup,
		     c);
	settle(c, FRONT_MORE);
}

static void on_client_drain(void *ctx)
{
	struct front_conn *c = ctx;
	c->is_full = false;
	if (c->is_over)
		linger(c);
	else
		settle(c, FRONT_MORE);
}

static void on_client_fail(void *ctx, const struct err *e)
{
	(void)e;
	leave(ctx);
}

/* ---- events of the worlds ---- */

static void on_world_hangup(void *ctx)
{
	close_conn(((struct world *)ctx)->conn);
}

static void on_world_data(void *ctx, struct str data)
{
	struct world *w = ctx;
	struct front_conn *c = w->conn;
	if (c->is_gone)
		return;
	if (current(c) != w) {
		world_close(w); /* nobody asked it */
		return;
	}
	settle(c, pump(c, front_relay_answer, &w->left, data));
}

static void on_world_end(void *ctx)
{
	struct world *w = ctx;
	struct front_conn *c = w->conn;
	struct front_step step;
	if (current(c) != w) {
		world_close(w);
		return;
	}
	w->is_ended = true;
	front_relay_answer_end(&c->relay, &step);
	if (c->is_gone || step.what == FRONT_CLOSE) {
		settle(c, step.what);
		return;
	}
	finish_client(c);
	hangup_watch(&w->hangup, c->front->hangups, w->s, on_world_hangup, w);
	settle(c, FRONT_MORE);
}

static void on_world_drain(void *ctx)
{
	struct world *w = ctx;
	w->is_full = false;
	settle(w->conn, FRONT_MORE);
}

/* It cannot be reached, or it broke off. An Engine that refuses a long body
 * answers and closes: our write fails, and the answer lies there. */
static void on_world_fail(void *ctx, const struct err *e)
{
	static char bytes[LIMIT_READ_BYTES];
	struct world *w = ctx;
	struct front_conn *c = w->conn;
	struct front_step step;
	size_t n;
	if (c->is_gone) {
		conn_free(c);
	} else if (current(c) != w) {
		world_close(w);
	} else if (!w->is_open) {
		note_reach(c->front, c->relay.world, false, e->msg);
		world_close(w);
		front_relay_unreachable(&c->relay, &step);
		answer(c, &step);
		settle(c, FRONT_CLOSE);
	} else {
		while (current(c) == w &&
		       (n = hangup_rest(w->s, bytes, sizeof bytes)) > 0)
			pump(c, front_relay_answer, &w->left,
			     (struct str){ bytes, n });
		enum front_do verdict =
			current(c) == w ? FRONT_CLOSE : FRONT_MORE;
		world_close(w);
		settle(c, verdict);
	}
}

static const struct stream_fns world_fns = { on_world_data, on_world_end,
					     on_world_drain, on_world_fail };

/* ---- accepting ---- */

void front_conn_accept(void *ctx, struct stream *s)
{
	static const struct stream_fns fns = { on_client_data, on_client_end,
					       on_client_drain,
					       on_client_fail };
	struct front *f = ctx;
	struct stream_peer peer;
	struct front_conn *c = xcalloc(1, sizeof *c);
	stream_get_peer(s, &peer);
	c->front = f;
	c->client = s;
	buf_init(&c->left, LIMIT_FRONT_HEAD_BYTES + 2 * LIMIT_READ_BYTES);
	for (int i = 0; i < WORLDS; i++) {
		c->worlds[i].conn = c;
		buf_init(&c->worlds[i].left,
			 LIMIT_FRONT_HEAD_BYTES + 2 * LIMIT_READ_BYTES);
	}
	front_relay_init(&c->relay, peer.uid, peer.pid, f->setup->docker);
	list_push_back(&f->conns, &c->link);
	stream_set_fns(s, &fns, c);
	/* A connection from ourselves goes round in a circle. */
	if (peer.pid == getpid())
		conn_free(c);
	else
		stream_resume(s);
}

void front_conn_drain(struct front *f)
{
	struct list *next;
	for (struct list *l = f->conns.next; l != &f->conns; l = next) {
		struct front_conn *c = container_of(l, struct front_conn, link);
		next = l->next;
		if (!front_relay_is_busy(&c->relay) && !c->is_over)
			conn_free(c);
	}
}

void front_conn_end_all(struct front *f)
{
	while (!list_is_empty(&f->conns))
		conn_free(container_of(f->conns.next, struct front_conn, link));
}
