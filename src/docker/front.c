#include "docker/front.h"
#include "base/limits.h"
#include "docker/front_conn.h"
#include "docker/front_socket.h"
#include "docker/service.h"
#include "io/notify.h"
#include "io/timer.h"

#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

/* A connection needs three descriptors; some are for the rest of the program.
 */
#define FDS_EACH 3
#define FDS_OTHER 32

struct server {
	struct service service;
	struct front front;
	struct timer watchdog, drain;
	uint64_t watchdog_ms; /* 0: systemd wants none */
};

/* ---- signs of life for systemd ---- */

static void on_watchdog(void *ctx)
{
	struct server *sv = ctx;
	notify_systemd("WATCHDOG=1");
	timer_start(&sv->watchdog, sv->watchdog_ms);
}

static void start_watchdog(struct server *sv)
{
	const char *text = getenv("WATCHDOG_USEC");
	uint64_t us;
	if (!text || !str_to_u64(str_of(text), &us) || us < 2000)
		return;
	sv->watchdog_ms = us / 2000; /* twice as often as it must be */
	on_watchdog(sv);
}

/* ---- the end ---- */

static void on_drained(void *ctx)
{
	service_stop(&((struct server *)ctx)->service);
}

static void on_none(struct front *f)
{
	on_drained(container_of(f, struct server, front));
}

/* New clients wait in the socket for the next front; answers that are under way
 * may end. A second signal is not so patient. */
static void on_stop(uv_signal_t *signal, int number)
{
	struct server *sv =
		container_of(signal->loop, struct server, service.loop);
	struct front *f = &sv->front;
	(void)number;
	if (f->is_stopping || list_is_empty(&f->conns)) {
		service_stop(&sv->service);
		return;
	}
	notify_systemd("STOPPING=1");
	listener_stop(f->listener);
	f->is_stopping = true;
	timer_start(&sv->drain, LIMIT_FRONT_DRAIN_MS);
	front_conn_drain(f);
}

static void watch_signals(struct server *sv)
{
	static const int numbers[] = { SIGTERM, SIGINT };
	for (size_t i = 0; i < ARRAY_LEN(numbers); i++)
		uv_signal_start(&sv->service.signals[i], on_stop, numbers[i]);
}

/* ---- the start ---- */

static void set_limits(struct listener *l)
{
	struct rlimit files = { 1024, 1024 };
	if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
		files.rlim_cur = files.rlim_max;
		setrlimit(RLIMIT_NOFILE, &files);
		getrlimit(RLIMIT_NOFILE, &files);
	}
	/* Beyond it clients wait in the kernel, and nobody is cut off. */
	uint64_t most = files.rlim_cur > FDS_OTHER
				? (files.rlim_cur - FDS_OTHER) / FDS_EACH
				: 1;
	listener_set_max(l, (size_t)MIN(most, LIMIT_FRONT_CONNECTIONS));
}

static int start(struct server *sv, const struct setup *s,
		 struct front_socket *made, struct err *e)
{
	int fd = -1;
	int got = front_socket_inherit(&fd, e);
	if (got == FRONT_SOCKET_NONE) {
		got = front_socket_open(s, made, e);
		fd = made->fd;
	}
	if (got < 0 || listener_fd(&sv->service.loop, fd, front_conn_accept,
				   &sv->front, &sv->front.listener, e))
		return -1;
	set_limits(sv->front.listener);
	return 0;
}

static void stop(struct server *sv)
{
	front_conn_end_all(&sv->front);
	listener_free(sv->front.listener);
	hangup_set_free(sv->front.hangups);
	timer_fini(&sv->watchdog);
	timer_fini(&sv->drain);
	service_fini(&sv->service);
}

int front_run(const struct setup *s, struct err *e)
{
	auto_free struct server *sv = xcalloc(1, sizeof *sv);
	struct front *f = &sv->front;
	struct front_socket made = { .fd = -1 };
	service_init(&sv->service);
	*f = (struct front){ .loop = &sv->service.loop,
			     .setup = s,
			     .hangups = hangup_set_new(&sv->service.loop),
			     .on_none = on_none };
	list_init(&f->conns);
	timer_init(&sv->watchdog, f->loop, on_watchdog, sv);
	timer_init(&sv->drain, f->loop, on_drained, sv);
	int got = start(sv, s, &made, e);
	if (got == 0) {
		watch_signals(sv);
		start_watchdog(sv);
		log_info("front listens socket=%s", s->listen);
		service_ready(&sv->service, s);
		service_run(&sv->service);
	}
	/* Only the file that we made is ours to remove. */
	if (made.fd >= 0)
		front_socket_remove(s, &made);
	stop(sv);
	return got;
}
