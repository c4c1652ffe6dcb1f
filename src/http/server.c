#include "http/server.h"
#include "http/server_priv.h"

#include <assert.h>
#include <stdio.h>

/* The clock does not tick faster than this, however deadlines lie. */
#define CLOCK_MIN_MS 10
/* A reused exchange keeps no more than this for its answer's fields. */
#define SPARE_FIELDS_BYTES 4096

static void on_clock(void *ctx)
{
	struct http_server *s = ctx;
	uint64_t now = timer_now_ms(s->loop);
	uint64_t next = 0;
	s->clock_due = 0;
	while (!list_is_empty(&s->conns))
		list_push_back(&s->checked, list_pop_front(&s->conns));
	/* A check may close this connection or any other. */
	while (!list_is_empty(&s->checked)) {
		struct list *link = list_pop_front(&s->checked);
		list_push_back(&s->conns, link);
		uint64_t due =
			conn_check(container_of(link, struct conn, link), now);
		if (due && (!next || due < next))
			next = due;
	}
	if (next)
		server_watch(s, next);
}

void server_watch(struct http_server *s, uint64_t due)
{
	uint64_t now = timer_now_ms(s->loop);
	due = MAX(due, now + CLOCK_MIN_MS);
	if (s->clock_due && s->clock_due <= due)
		return;
	s->clock_due = due;
	timer_start(&s->clock, due - now);
}

static void on_soon(void *ctx)
{
	struct http_server *s = ctx;
	struct list *link = list_pop_front(&s->ready);
	if (!link)
		return;
	if (!list_is_empty(&s->ready))
		timer_start(&s->soon, 0);
	conn_run(container_of(link, struct conn, ready_link));
}

void server_run_soon(struct http_server *s, struct conn *c)
{
	if (list_is_empty(&c->ready_link))
		list_push_back(&s->ready, &c->ready_link);
	if (!timer_is_active(&s->soon))
		timer_start(&s->soon, 0);
}

struct http_server *http_server_new(struct uv_loop_s *loop,
				    const struct http_server_fns *fns,
				    void *ctx)
{
	struct http_server *s = xcalloc(1, sizeof *s);
	s->loop = loop;
	s->fns = fns;
	s->ctx = ctx;
	s->limits = (struct http_limits){
		.bodies_bytes = LIMIT_BODIES_BYTES,
		.head_ms = LIMIT_HEAD_MS,
		.body_idle_ms = LIMIT_BODY_IDLE_MS,
		.keepalive_ms = LIMIT_KEEPALIVE_MS,
		.write_idle_ms = LIMIT_WRITE_IDLE_MS,
		.half_closed_ms = LIMIT_HALF_CLOSED_MS,
		.linger_ms = LIMIT_LINGER_MS,
	};
	list_init(&s->conns);
	list_init(&s->checked);
	list_init(&s->ready);
	timer_init(&s->clock, loop, on_clock, s);
	timer_init(&s->soon, loop, on_soon, s);
	buf_init(&s->head, 1024);
	return s;
}

void http_server_set_limits(struct http_server *s, const struct http_limits *l)
{
	s->limits = *l;
}

void http_server_take(struct http_server *s, struct stream *stream,
		      void *visitor, struct listener *from)
{
	conn_new(s, stream, visitor, from);
}

void http_server_drain(struct http_server *s)
{
	s->is_draining = true;
	list_each (link, &s->conns) {
		struct conn *c = container_of(link, struct conn, link);
		if (c->state == CONN_IDLE || c->state == CONN_HEAD)
			conn_close(c, false); /* no exchange: no callback */
	}
}

size_t http_server_count(const struct http_server *s)
{
	return s->open;
}

static void destroy(struct http_exchange *x)
{
	buf_fini(&x->fields);
	free(x);
}

void http_server_free(struct http_server *s)
{
	if (!s)
		return;
	assert(list_is_empty(&s->checked));
	s->is_draining = true;
	while (!list_is_empty(&s->conns))
		conn_close(container_of(s->conns.next, struct conn, link),
			   true);
	while (s->n_spares)
		destroy(s->spares[--s->n_spares]);
	timer_fini(&s->clock);
	timer_fini(&s->soon);
	buf_fini(&s->head);
	free(s);
}

struct http_exchange *server_take_exchange(struct http_server *s)
{
	if (s->n_spares)
		return s->spares[--s->n_spares];
	struct http_exchange *x = xcalloc(1, sizeof *x);
	/* Upstreams fill it, within one head; the rest is room for ours. */
	buf_init(&x->fields, 2 * LIMIT_HEAD_BYTES);
	return x;
}

void server_put_exchange(struct http_server *s, struct http_exchange *x)
{
	arena_fini(&x->arena);
	s->bodies_bytes -= x->body.n;
	buf_fini(&x->body);
	buf_clear(&x->fields);
	if (x->fields.cap > SPARE_FIELDS_BYTES)
		buf_release(&x->fields);
	size_t from = offsetof(struct http_exchange, conn);
	memset((char *)x + from, 0,
	       offsetof(struct http_exchange, head) - from);
	if (s->n_spares < ARRAY_LEN(s->spares))
		s->spares[s->n_spares++] = x;
	else
		destroy(x);
}

struct str server_date(struct http_server *s)
{
	static const char days[][4] = { "Sun", "Mon", "Tue", "Wed",
					"Thu", "Fri", "Sat" };
	static const char months[][4] = { "Jan", "Feb", "Mar", "Apr",
					  "May", "Jun", "Jul", "Aug",
					  "Sep", "Oct", "Nov", "Dec" };
	struct timespec now;
	clock_gettime(CLOCK_REALTIME_COARSE, &now);
	if (now.tv_sec != s->date_at) {
		struct tm t;
		gmtime_r(&now.tv_sec, &t);
		s->date_at = now.tv_sec;
		snprintf(s->date, sizeof s->date,
			 "Date: %s, %02d %s %d %02d:%02d:%02d GMT\r\n",
			 days[t.tm_wday], t.tm_mday, months[t.tm_mon],
			 t.tm_year + 1900, t.tm_hour, t.tm_min, t.tm_sec);
	}
	return str_of(s->date);
}
