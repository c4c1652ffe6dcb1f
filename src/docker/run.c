#include "docker/run.h"
#include "base/limits.h"
#include "docker/front_socket.h"
#include "docker/run_child.h"
#include "docker/run_lock.h"
#include "docker/service.h"
#include "docker/take.h"

#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

/* Who has run so long has started well. */
#define STEADY_MS 10000
/* A front that ends so soon, so often within that time, cannot start. */
#define FRONT_SOON_MS 250
#define FRONT_ENDS 3

struct runner;

/* In the order of their start; the undo has its own order below. */
enum { NET, FRONT, TAKE, LISTEN, NAMES, NET_DOWN, CHILDREN };

struct member {
	struct runner *runner;
	struct run_child child;
	struct timer again;
	uint64_t pause_ms;
	bool is_settled; /* it was ready once, or failed once */
	bool is_once;	 /* ends by itself */
};

struct runner {
	struct service service;
	const struct setup *setup;
	struct run_lock lock;
	struct front_socket socket;
	struct member members[CHILDREN];
	uv_signal_t chld;
	uint64_t front_ends[FRONT_ENDS]; /* the soon ones, oldest first */
	bool is_stopping;
	size_t undo; /* next in undo_order */
};

/* Release the name, remove the names, stop listening, then the namespace. */
static const int undo_order[] = { TAKE, NAMES, LISTEN, FRONT, NET, NET_DOWN };

/* ---- starting, and again ---- */

static void start(struct member *m)
{
	struct err e;
	if (run_child_start(&m->child, &e) == 0)
		return;
	log_error("cannot start error=\"%s\"", e.msg);
	timer_start(&m->again, LIMIT_CHILD_PAUSE_MS);
}

static void on_again(void *ctx)
{
	start(ctx);
}

static bool is_wanted(const struct runner *r, int which)
{
	return which != TAKE || strcmp(r->setup->take, "off") != 0;
}

/* Ready: each has come up, or has failed and said so. */
static void settled(struct member *m)
{
	struct runner *r = m->runner;
	m->is_settled = true;
	for (int i = 0; i < NET_DOWN; i++)
		if (is_wanted(r, i) && !r->members[i].is_settled)
			return;
	service_ready(&r->service, r->setup);
}

static void on_ready(void *ctx, struct run_child *c)
{
	(void)c;
	settled(ctx);
}

/* Who waits in the socket for a front that does not come must hear it. */
static void turn_away(struct runner *r)
{
	int fd;
	while ((fd = accept(r->socket.fd, NULL, NULL)) >= 0)
		close(fd);
}

/* The name goes back at once, before more ask it in vain; `take` gives it again
 * when the front answers. */
static void note_front_end(struct runner *r, uint64_t now)
{
	struct err e;
	memmove(r->front_ends, r->front_ends + 1,
		sizeof r->front_ends - sizeof r->front_ends[0]);
	r->front_ends[FRONT_ENDS - 1] = now;
	if (!r->front_ends[0] || now - r->front_ends[0] > STEADY_MS)
		return;
	log_error("the front does not stay up: Docker goes on without it");
	if (take_release(r->setup, &e) < 0)
		log_error("the Docker socket is not released error=\"%s\"",
			  e.msg);
	turn_away(r);
}

static void run_again(struct member *m)
{
	struct runner *r = m->runner;
	uint64_t now = timer_now_ms(&r->service.loop);
	uint64_t lived = now - m->child.started_ms;
	bool is_front = m == &r->members[FRONT];
	if (lived > (is_front ? FRONT_SOON_MS : STEADY_MS))
		m->pause_ms = 0;
	else if (is_front)
		note_front_end(r, now);
	/* Clients wait for the front: once it is started without a pause. */
	timer_start(&m->again, m->pause_ms || is_front
				       ? m->pause_ms
				       : LIMIT_CHILD_PAUSE_MIN_MS);
	m->pause_ms = MIN(MAX(m->pause_ms * 2, LIMIT_CHILD_PAUSE_MIN_MS),
			  LIMIT_CHILD_PAUSE_MS);
}

/* ---- the undo ---- */

static void undo_next(struct runner *r)
{
	while (r->undo < ARRAY_LEN(undo_order)) {
		struct member *m = &r->members[undo_order[r->undo++]];
		struct err e;
		if (m == &r->members[NET_DOWN] &&
		    run_child_start(&m->child, &e) < 0)
			log_error("the network stays as it is error=\"%s\"",
				  e.msg);
		else if (m != &r->members[NET_DOWN])
			run_child_stop(&m->child);
		if (m->child.pid)
			return; /* its end goes on with the next */
	}
	service_stop(&r->service);
}

static void on_stop(uv_signal_t *signal, int number)
{
	struct runner *r =
		container_of(signal->loop, struct runner, service.loop);
	(void)number;
	if (r->is_stopping)
		return;
	r->is_stopping = true;
	log_info("stops and undoes all");
	for (int i = 0; i < CHILDREN; i++)
		timer_stop(&r->members[i].again);
	undo_next(r);
}

/* ---- children ---- */

static void on_ended(void *ctx, struct run_child *c, int status)
{
	struct member *m = ctx;
	struct runner *r = m->runner;
	bool is_good = WIFEXITED(status) && WEXITSTATUS(status) == 0;
	if (r->is_stopping) {
		if (undo_order[r->undo - 1] == (int)(m - r->members))
			undo_next(r);
		return;
	}
	if (m->is_once && is_good) {
		start(&r->members[LISTEN]);
		start(&r->members[NAMES]);
	} else {
		log_warn("%s ended and is started again %s=%d", c->command,
			 WIFSIGNALED(status) ? "signal" : "status",
			 WIFSIGNALED(status) ? WTERMSIG(status)
					     : WEXITSTATUS(status));
		run_again(m);
	}
	/* Without the network these two do not even begin. */
	if (m->is_once && !is_good) {
		r->members[LISTEN].is_settled = true;
		r->members[NAMES].is_settled = true;
	}
	settled(m);
}

static void on_chld(uv_signal_t *signal, int number)
{
	struct runner *r = container_of(signal, struct runner, chld);
	(void)number;
	for (int i = 0; i < CHILDREN; i++)
		run_child_reap(&r->members[i].child);
}

static void init_members(struct runner *r)
{
	static const char *const names[CHILDREN][2] = {
		[NET] = { "net", "up" },     [FRONT] = { "front", NULL },
		[TAKE] = { "take", NULL },   [LISTEN] = { "listen", NULL },
		[NAMES] = { "names", NULL }, [NET_DOWN] = { "net", "down" },
	};
	static const char *const levels[] = { "error", "warn", "info",
					      "debug" };
	for (int i = 0; i < CHILDREN; i++) {
		struct member *m = &r->members[i];
		m->runner = r;
		m->is_once = i == NET;
		m->child = (struct run_child){
			.command = names[i][0],
			.action = names[i][1],
			.config = r->lock.settings,
			.log_level = levels[r->setup->log_level],
			.socket = i == FRONT ? r->socket.fd : -1,
			.on_ready = on_ready,
			.on_exit = on_ended,
			.ctx = m,
		};
		run_child_init(&m->child, &r->service.loop);
		timer_init(&m->again, &r->service.loop, on_again, m);
	}
}

/* ---- start and end ---- */

static void begin(struct runner *r)
{
	static const int numbers[] = { SIGTERM, SIGINT };
	for (size_t i = 0; i < ARRAY_LEN(numbers); i++)
		uv_signal_start(&r->service.signals[i], on_stop, numbers[i]);
	uv_signal_init(&r->service.loop, &r->chld);
	uv_signal_start(&r->chld, on_chld, SIGCHLD);
	init_members(r);
	start(&r->members[NET]);
	start(&r->members[FRONT]);
	if (is_wanted(r, TAKE))
		start(&r->members[TAKE]);
	service_run(&r->service);
	for (int i = 0; i < CHILDREN; i++) {
		run_child_fini(&r->members[i].child);
		timer_fini(&r->members[i].again);
	}
	uv_close((uv_handle_t *)&r->chld, NULL);
}

int run_run(const struct setup *s, struct err *e)
{
	auto_free struct runner *r = xcalloc(1, sizeof *r);
	struct err undo;
	r->setup = s;
	r->socket.fd = -1;
	if (run_lock_get(&r->lock, s, e))
		return -1;
	service_init(&r->service);
	int got = setup_save(s, r->lock.settings, e);
	if (got == 0)
		got = front_socket_open(s, &r->socket, e);
	if (got == 0) {
		begin(r);
		/* If `take` was killed, it could not do it. */
		if (take_release(s, &undo) < 0)
			log_error("the Docker socket is not released "
				  "error=\"%s\"",
				  undo.msg);
		front_socket_remove(s, &r->socket);
		close(r->socket.fd);
	}
	service_fini(&r->service);
	run_lock_drop(&r->lock);
	return got;
}
