#include "docker/dns_udp.h"
#include "base/limits.h"
#include "base/list.h"
#include "base/log.h"
#include "io/timer.h"

#include <unistd.h>

struct dns_udp {
	struct dns_core *core;
	uv_udp_t *socket; /* owned; libuv closes it later */
	struct list asks; /* ask.link, the oldest first */
	size_t n_asks;
	struct timer late; /* for the oldest */
	char *read;	   /* one packet */
};

/* A client that waits for an answer. */
struct waiter {
	struct sockaddr_storage address;
	uint16_t id;
};

/* One question on its way. Its socket is connected, so the kernel drops what
 * comes from elsewhere. */
struct ask {
	struct list link; /* dns_udp.asks */
	struct dns_udp *u;
	uv_udp_t *socket; /* owned; libuv closes it later */
	uint64_t until_ms;
	uint16_t id;
	unsigned wrong;
	size_t n_waiters;
	struct waiter waiters[LIMIT_DNS_WAITERS];
	size_t query_bytes;
	char query[]; /* with our id */
};

/* ---- sockets ---- */

static void on_closed(uv_handle_t *h)
{
	free(h);
}

static void close_socket(uv_udp_t **s)
{
	uv_udp_t *socket = steal(s);
	if (socket)
		uv_close((uv_handle_t *)socket, on_closed);
}

static void on_room(uv_handle_t *h, size_t n, uv_buf_t *buf)
{
	struct dns_udp *u = h->data;
	(void)n;
	*buf = uv_buf_init(u->read, DNS_MESSAGE_MAX_BYTES);
}

static void on_room_of_ask(uv_handle_t *h, size_t n, uv_buf_t *buf)
{
	struct ask *a = h->data;
	(void)n;
	*buf = uv_buf_init(a->u->read, DNS_MESSAGE_MAX_BYTES);
}

/* A client that does not take it asks again. */
static void reply(struct dns_udp *u, const struct sockaddr *to, struct str m)
{
	uv_buf_t buf = uv_buf_init((char *)(uintptr_t)m.p, (unsigned)m.n);
	int r = uv_udp_try_send(u->socket, &buf, 1, to);
	if (r < 0)
		log_debug("an answer is lost error=\"%s\"", uv_strerror(r));
}

/* ---- questions on their way ---- */

static void ask_free(struct ask *a)
{
	list_remove(&a->link);
	a->u->n_asks--;
	close_socket(&a->socket);
	free(a);
}

/* Gives everybody who waits the answer, which is changed for it. */
static void finish(struct ask *a, char *message, size_t n)
{
	for (size_t i = 0; i < a->n_waiters; i++) {
		dns_message_set_id(message, a->waiters[i].id);
		reply(a->u, (struct sockaddr *)&a->waiters[i].address,
		      (struct str){ message, n });
	}
	ask_free(a);
}

static void fail(struct ask *a)
{
	struct str query = { a->query, a->query_bytes };
	struct str m = dns_fail(a->u->core, query, LDNS_RCODE_SERVFAIL);
	finish(a, a->u->core->answer.p, m.n);
}

static void on_answer(uv_udp_t *s, ssize_t n, const uv_buf_t *buf,
		      const struct sockaddr *from, unsigned flags)
{
	struct ask *a = s->data;
	if (n < 0) {
		fail(a); /* nobody listens there */
		return;
	}
	if (!from)
		return;
	struct str query = { a->query, a->query_bytes };
	struct str answer = { buf->base, (size_t)n };
	if (!(flags & UV_UDP_PARTIAL) &&
	    dns_message_is_answer(query, a->id, answer)) {
		finish(a, buf->base, answer.n);
		return;
	}
	if (++a->wrong < LIMIT_DNS_WRONG)
		return;
	log_warn("the DNS server, or somebody in its name, sends wrong "
		 "answers");
	fail(a);
}

static void on_late(void *ctx)
{
	struct dns_udp *u = ctx;
	uint64_t now = timer_now_ms(u->core->loop);
	while (!list_is_empty(&u->asks)) {
		struct ask *a = container_of(u->asks.next, struct ask, link);
		if (a->until_ms > now) {
			timer_start(&u->late, a->until_ms - now);
			return;
		}
		fail(a);
	}
}

/* The same question, all but its id, that is on its way already. */
static struct ask *find_same(struct dns_udp *u, struct str query)
{
	list_each (l, &u->asks) {
		struct ask *a = container_of(l, struct ask, link);
		if (a->query_bytes == query.n &&
		    memcmp(a->query + 2, query.p + 2, query.n - 2) == 0 &&
		    a->n_waiters < LIMIT_DNS_WAITERS)
			return a;
	}
	return NULL;
}

static void wait_for(struct ask *a, const struct sockaddr *from, uint16_t id)
{
	struct waiter *w = &a->waiters[a->n_waiters++];
	memcpy(&w->address, from, dns_server_length(from));
	w->id = id;
}

/* NULL: it cannot be sent. */
static struct ask *ask_start(struct dns_udp *u, const struct sockaddr *to,
			     struct str query)
{
	struct ask *a = xcalloc(1, sizeof *a + query.n);
	uv_buf_t buf = uv_buf_init(a->query, (unsigned)query.n);
	a->u = u;
	a->id = dns_random_id();
	a->query_bytes = query.n;
	memcpy(a->query, query.p, query.n);
	dns_message_set_id(a->query, a->id);
	a->until_ms = timer_now_ms(u->core->loop) + LIMIT_DNS_WAIT_MS;
	list_push_back(&u->asks, &a->link);
	u->n_asks++;
	a->socket = xcalloc(1, sizeof *a->socket);
	uv_udp_init(u->core->loop, a->socket);
	a->socket->data = a;
	/* Connecting binds it to a port that the kernel draws. */
	if (uv_udp_connect(a->socket, to) ||
	    uv_udp_recv_start(a->socket, on_room_of_ask, on_answer) ||
	    uv_udp_try_send(a->socket, &buf, 1, NULL) < 0) {
		ask_free(a);
		return NULL;
	}
	if (!timer_is_active(&u->late))
		timer_start(&u->late, LIMIT_DNS_WAIT_MS);
	return a;
}

static void forward(struct dns_udp *u, const struct sockaddr *from,
		    struct str query)
{
	uint64_t now = timer_now_ms(u->core->loop);
	const struct sockaddr *to = dns_server_get(&u->core->server, now);
	struct ask *a = find_same(u, query);
	if (!a && u->n_asks == LIMIT_DNS_ASKS)
		fail(container_of(u->asks.next, struct ask, link));
	if (!a && to)
		a = ask_start(u, to, query);
	if (a)
		wait_for(a, from, dns_message_id(query));
	else
		reply(u, from, dns_fail(u->core, query, LDNS_RCODE_SERVFAIL));
}

/* ---- clients ---- */

static void on_query(uv_udp_t *s, ssize_t n, const uv_buf_t *buf,
		     const struct sockaddr *from, unsigned flags)
{
	struct dns_udp *u = s->data;
	if (n < 0 || !from || flags & UV_UDP_PARTIAL)
		return;
	struct str query = { buf->base, (size_t)n };
	switch (dns_judge(u->core, from, query)) {
	case DNS_ANSWER:
		reply(u, from, buf_str(&u->core->answer));
		return;
	case DNS_FORWARD:
		forward(u, from, query);
		return;
	case DNS_SILENCE:
		return;
	}
}

int dns_udp_new(struct dns_core *core, int fd, struct dns_udp **out,
		struct err *e)
{
	auto_(dns_udp) u = xcalloc(1, sizeof *u);
	u->core = core;
	list_init(&u->asks);
	u->read = xcalloc(1, DNS_MESSAGE_MAX_BYTES);
	timer_init(&u->late, core->loop, on_late, u);
	u->socket = xcalloc(1, sizeof *u->socket);
	uv_udp_init(core->loop, u->socket);
	u->socket->data = u;
	int r = uv_udp_open(u->socket, fd);
	if (r) {
		close(fd);
		return err_set(e, ERR_SYSTEM, "take the UDP socket: %s",
			       uv_strerror(r));
	}
	r = uv_udp_recv_start(u->socket, on_room, on_query);
	if (r)
		return err_set(e, ERR_SYSTEM, "read the UDP socket: %s",
			       uv_strerror(r));
	*out = steal(&u);
	return 0;
}

void dns_udp_free(struct dns_udp *u)
{
	if (!u)
		return;
	while (!list_is_empty(&u->asks))
		ask_free(container_of(u->asks.next, struct ask, link));
	close_socket(&u->socket);
	timer_fini(&u->late);
	free(u->read);
	free(u);
}
