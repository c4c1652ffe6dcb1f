#include "llama/events.h"

#include "base/limits.h"
#include "base/log.h"
#include "io/timer.h"
#include "llama/ceiling.h"
#include "llama/writer.h"

#include <errno.h>
#include <ggml.h>
#include <poll.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <unistd.h>
#include <uv.h>

struct events {
	int fd; /* owned; -1: nobody listens */
	uint64_t loading_ns;
	float fraction;
	uv_poll_t *poll; /* closes itself */
	struct timer timer;
	bool is_watched;
	size_t running, queued;		  /* now */
	size_t told_running, told_queued; /* last told */
	atomic_bool is_ready;		  /* that was told */
};

struct events *events_new(int fd)
{
	struct events *v = xcalloc(1, sizeof *v);
	v->fd = fd;
	return v;
}

void events_free(struct events *v)
{
	if (!v)
		return;
	events_unwatch(v);
	if (v->fd >= 0)
		close(v->fd);
	free(v);
}

static void parent_is_gone(void)
{
	/* Nobody is left who would want anything finished. */
	log_warn("the program that started this one is gone");
	_exit(0);
}

static void tell(struct events *v, struct writer *w)
{
	if (v->fd < 0)
		return;
	writer_raw(w, STR("}\n"));
	struct str line = writer_str(w);
	/* Lines are short and rare; a reader that lets them pile up misses
	 * some, and never stops the engine. */
	while (line.n) {
		ssize_t n = send(v->fd, line.p, line.n,
				 MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n < 0 && errno == ENOTSOCK)
			n = write(v->fd, line.p, line.n);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EPIPE)
			parent_is_gone();
		if (n <= 0)
			return;
		line = str_tail(line, (size_t)n);
	}
}

/* The parent never writes: readable means that its end is closed. */
static void look(struct events *v)
{
	struct pollfd p = { .fd = v->fd, .events = POLLIN };
	char c;
	if (v->fd < 0 || poll(&p, 1, 0) != 1)
		return;
	if (read(v->fd, &c, 1) == 0)
		parent_is_gone();
}

void events_loading(struct events *v, float fraction)
{
	auto_writer struct writer w = WRITER(LIMIT_WORKER_EVENT_BYTES);
	uint64_t now = timer_now_ns();
	look(v);
	if (fraction <= v->fraction ||
	    (fraction < 1 &&
	     now - v->loading_ns < LIMIT_EVENT_EVERY_MS * 1000000ull))
		return;
	v->loading_ns = now;
	v->fraction = fraction;
	writer_put(&w, "{\"event\":\"loading\",\"fraction\":%.3f",
		   (double)fraction);
	tell(v, &w);
}

void events_ready(struct events *v, const struct batch_facts *f,
		  const char *sandbox)
{
	auto_writer struct writer w = WRITER(LIMIT_WORKER_EVENT_BYTES);
	writer_put(&w,
		   "{\"event\":\"ready\",\"context\":%d,\"slots\":%d,"
		   "\"threads\":%d,\"kind\":\"%s\",\"sandbox\":\"%s\","
		   "\"memory\":{\"model\":%llu,\"context\":%llu,"
		   "\"compute\":%llu}",
		   f->context, f->slots, f->threads, batch_kind(f), sandbox,
		   (unsigned long long)f->memory.model,
		   (unsigned long long)f->memory.context,
		   (unsigned long long)f->memory.compute);
	atomic_store(&v->is_ready, true);
	tell(v, &w);
}

static const char *cause(enum err_code code)
{
	if (code == ERR_MEMORY)
		return "memory";
	if (code == ERR_UNSUPPORTED)
		return "unsupported";
	if (code == ERR_NOT_FOUND || code == ERR_CORRUPT ||
	    code == ERR_SYSTEM || code == ERR_USAGE)
		return "file";
	return "bug";
}

void events_failed(struct events *v, const struct err *e)
{
	auto_writer struct writer w = WRITER(LIMIT_WORKER_EVENT_BYTES);
	writer_put(&w, "{\"event\":\"failed\",\"cause\":\"%s\",\"message\":",
		   cause(e->code));
	writer_json(&w, str_of(e->msg));
	tell(v, &w);
}

/* ggml's callback brings nothing along. */
static struct events *asserted;

/* "FILE:LINE: GGML_ASSERT(x > 0) failed", on any thread. */
static void on_assert(const char *text)
{
	struct err e;
	struct str file = str_head(str_of(text), strcspn(text, ":"));
	text += str_find_last(file, '/') + 1;
	log_error("llama.cpp ends this process: %s", text);
	if (atomic_load(&asserted->is_ready))
		return;
	err_set(&e, strstr(text, "alloc") ? ERR_MEMORY : ERR_CORRUPT,
		"llama.cpp takes what it read for impossible: %s", text);
	ceiling_explain(&e);
	events_failed(asserted, &e);
	_exit(err_exit_status(e.code));
}

void events_catch_asserts(struct events *v)
{
	asserted = v;
	ggml_set_abort_callback(on_assert);
}

static void on_readable(uv_poll_t *poll, int status, int what)
{
	(void)what;
	if (status < 0)
		parent_is_gone();
	look(poll->data);
}

static void on_timer(void *ctx)
{
	struct events *v = ctx;
	auto_writer struct writer w = WRITER(LIMIT_WORKER_EVENT_BYTES);
	if (v->running == v->told_running && v->queued == v->told_queued)
		return;
	v->told_running = v->running;
	v->told_queued = v->queued;
	writer_put(&w, "{\"event\":\"stats\",\"running\":%zu,\"queued\":%zu",
		   v->running, v->queued);
	tell(v, &w);
}

static void on_closed(uv_handle_t *h)
{
	free(h);
}

int events_watch(struct events *v, struct uv_loop_s *loop, struct err *e)
{
	timer_init(&v->timer, loop, on_timer, v);
	v->is_watched = true;
	if (v->fd < 0)
		return 0;
	uv_poll_t *p = xcalloc(1, sizeof *p);
	int rc = uv_poll_init(loop, p, v->fd);
	if (rc) {
		free(p);
		return err_set(e, ERR_SYSTEM,
			       "watch the events descriptor %d: "
			       "%s",
			       v->fd, uv_strerror(rc));
	}
	v->poll = p;
	p->data = v;
	uv_poll_start(p, UV_READABLE | UV_DISCONNECT, on_readable);
	return 0;
}

void events_unwatch(struct events *v)
{
	if (v->is_watched)
		timer_fini(&v->timer);
	v->is_watched = false;
	if (v->poll)
		uv_close((uv_handle_t *)v->poll, on_closed);
	v->poll = NULL;
}

void events_stats(struct events *v, size_t running, size_t queued)
{
	v->running = running;
	v->queued = queued;
	if (v->is_watched && !timer_is_active(&v->timer))
		timer_start(&v->timer, LIMIT_EVENT_EVERY_MS);
}
