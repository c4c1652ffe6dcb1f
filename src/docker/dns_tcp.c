#include "docker/dns_tcp.h"
#include "base/limits.h"
#include "base/list.h"
#include "io/listener.h"
#include "io/stream.h"
#include "io/timer.h"

#include <assert.h>
#include <net/if.h>

#define LENGTH_BYTES 2 /* before each message */

struct dns_tcp {
	struct dns_core *core;
	struct listener *listener; /* owned */
	struct list clients;	   /* client.link */
	size_t n_clients;
};

struct client {
	struct list link;
	struct dns_tcp *t;
	struct stream *stream; /* owned */
	struct sockaddr_storage address;
	struct timer idle;
	struct buf in;	  /* what is not a whole question yet */
	struct list asks; /* ask.link */
	size_t n_asks;
	bool is_full;  /* it does not read our answers */
	bool is_ended; /* it will ask nothing more */
};

/* One question on its way, over a connection of its own. */
struct ask {
	struct list link; /* client.asks */
	struct client *client;
	struct stream *stream; /* owned */
	struct timer late;
	struct buf in;
	uint16_t id; /* ours */
	uint16_t clients_id;
	struct buf query; /* with our id */
};

/* ---- messages on a stream ---- */

static bool write_message(struct stream *s, struct str m)
{
	char length[LENGTH_BYTES] = { (char)(m.n >> 8), (char)(m.n & 0xff) };
	struct str parts[] = { { length, LENGTH_BYTES }, m };
	return stream_write(s, parts, ARRAY_LEN(parts)) == STREAM_FULL;
}

/* The first message in the buffer, if all of it has come. */
static bool first_message(const struct buf *in, struct str *out)
{
	struct str all = buf_str(in);
	if (all.n < LENGTH_BYTES)
		return false;
	size_t n = (size_t)(uint8_t)all.p[0] << 8 | (uint8_t)all.p[1];
	*out = str_head(str_tail(all, LENGTH_BYTES), n);
	return out->n == n;
}

/* ---- questions on their way ---- */

static void go_on(struct client *c);

static void ask_free(struct ask *a)
{
	list_remove(&a->link);
	a->client->n_asks--;
	stream_free(a->stream);
	timer_fini(&a->late);
	buf_fini(&a->in);
	buf_fini(&a->query);
	free(a);
}

/* Gives the client its answer. It may ask more then, or go. */
static void finish(struct ask *a, struct str answer)
{
	struct client *c = a->client;
	c->is_full = write_message(c->stream, answer) || c->is_full;
	ask_free(a);
	timer_start(&c->idle, LIMIT_DNS_IDLE_MS);
	go_on(c);
}

static void fail(struct ask *a)
{
	dns_message_set_id(a->query.p, a->clients_id);
	finish(a, dns_fail(a->client->t->core, buf_str(&a->query),
			   LDNS_RCODE_SERVFAIL));
}

static void on_answer_data(void *ctx, struct str data)
{
	struct ask *a = ctx;
	struct str m;
	if (buf_put(&a->in, data.p, data.n)) {
		fail(a);
		return;
	}
	if (!first_message(&a->in, &m))
		return;
	if (!dns_message_is_answer(buf_str(&a->query), a->id, m)) {
		fail(a);
		return;
	}
	dns_message_set_id(a->in.p + LENGTH_BYTES, a->clients_id);
	finish(a, m);
}

static void on_answer_end(void *ctx)
{
	fail(ctx);
}

static void on_answer_fail(void *ctx, const struct err *e)
{
	(void)e;
	fail(ctx);
}

static void on_late(void *ctx)
{
	fail(ctx);
}

static void on_open(void *ctx)
{
	(void)ctx; /* the question was queued at once */
}

static void on_sent(void *ctx)
{
	(void)ctx;
}

static void ask_start(struct client *c, struct str query)
{
	static const struct stream_fns fns = { .on_data = on_answer_data,
					       .on_end = on_answer_end,
					       .on_drain = on_sent,
					       .on_fail = on_answer_fail };
	struct dns_core *core = c->t->core;
	const struct sockaddr *to =
		dns_server_get(&core->server, timer_now_ms(core->loop));
	char address[INET6_ADDRSTRLEN + IF_NAMESIZE + 16];
	struct err e;
	struct ask *a = xcalloc(1, sizeof *a);
	a->client = c;
	a->id = dns_random_id();
	a->clients_id = dns_message_id(query);
	timer_init(&a->late, core->loop, on_late, a);
	buf_init(&a->in, LENGTH_BYTES + DNS_MESSAGE_MAX_BYTES);
	buf_init(&a->query, DNS_MESSAGE_MAX_BYTES);
	int full = buf_put(&a->query, query.p, query.n);
	assert(!full);
	dns_message_set_id(a->query.p, a->id);
	list_push_back(&c->asks, &a->link);
	c->n_asks++;
	timer_start(&a->late, to ? LIMIT_DNS_WAIT_MS : 0);
	if (!to)
		return;
	dns_server_text(to, address, sizeof address);
	if (stream_connect(core->loop, address, &fns, a, on_open, &a->stream,
			   &e)) {
		timer_start(&a->late, 0);
		return;
	}
	write_message(a->stream, buf_str(&a->query));
	stream_resume(a->stream);
}

/* ---- clients ---- */

static void client_free(struct client *c)
{
	while (!list_is_empty(&c->asks))
		ask_free(container_of(c->asks.next, struct ask, link));
	list_remove(&c->link);
	c->t->n_clients--;
	stream_free(c->stream);
	listener_release(c->t->listener);
	timer_fini(&c->idle);
	buf_fini(&c->in);
	free(c);
}

static void on_idle(void *ctx)
{
	client_free(ctx);
}

/* False: the connection is to be closed. */
static bool take(struct client *c, struct str query)
{
	struct dns_core *core = c->t->core;
	switch (dns_judge(core, (struct sockaddr *)&c->address, query)) {
	case DNS_ANSWER:
		c->is_full = write_message(c->stream, buf_str(&core->answer)) ||
			     c->is_full;
		return true;
	case DNS_FORWARD:
		ask_start(c, query);
		return true;
	case DNS_SILENCE:
		break;
	}
	return false;
}

/* Takes the questions that have come whole, as long as the client reads what
 * it is answered. May free the client. */
static void go_on(struct client *c)
{
	struct str query;
	while (!c->is_full && c->n_asks < LIMIT_DNS_PIPELINED &&
	       first_message(&c->in, &query)) {
		size_t n = query.n + LENGTH_BYTES;
		timer_start(&c->idle, LIMIT_DNS_IDLE_MS);
		if (!take(c, query)) {
			client_free(c);
			return;
		}
		buf_drop(&c->in, n);
	}
	if (c->is_ended && !c->n_asks) {
		stream_finish(c->stream);
		if (!stream_queued(c->stream))
			client_free(c);
		return;
	}
	if (c->is_full || c->n_asks == LIMIT_DNS_PIPELINED)
		stream_pause(c->stream);
	else if (!c->is_ended)
		stream_resume(c->stream);
}

static void on_client_data(void *ctx, struct str data)
{
	struct client *c = ctx;
	if (buf_put(&c->in, data.p, data.n))
		client_free(c);
	else
		go_on(c);
}

static void on_client_end(void *ctx)
{
	struct client *c = ctx;
	c->is_ended = true;
	go_on(c);
}

static void on_client_drain(void *ctx)
{
	struct client *c = ctx;
	c->is_full = false;
	timer_start(&c->idle, LIMIT_DNS_IDLE_MS);
	go_on(c);
}

static void on_client_fail(void *ctx, const struct err *e)
{
	(void)e;
	client_free(ctx);
}

static void on_accept(void *ctx, struct stream *s)
{
	static const struct stream_fns fns = { .on_data = on_client_data,
					       .on_end = on_client_end,
					       .on_drain = on_client_drain,
					       .on_fail = on_client_fail };
	struct dns_tcp *t = ctx;
	struct stream_peer peer;
	struct sockaddr_storage from;
	struct err e;
	stream_get_peer(s, &peer);
	if (t->n_clients == LIMIT_DNS_CLIENTS ||
	    dns_server_parse(peer.address, 0, &from, &e)) {
		stream_free(s);
		listener_release(t->listener);
		return;
	}
	struct client *c = xcalloc(1, sizeof *c);
	c->t = t;
	c->stream = s;
	c->address = from;
	list_init(&c->asks);
	/* A whole question, and what one read brings after it. */
	buf_init(&c->in,
		 LENGTH_BYTES + DNS_MESSAGE_MAX_BYTES + LIMIT_READ_BYTES);
	timer_init(&c->idle, t->core->loop, on_idle, c);
	timer_start(&c->idle, LIMIT_DNS_IDLE_MS);
	list_push_back(&t->clients, &c->link);
	t->n_clients++;
	stream_set_fns(s, &fns, c);
	stream_resume(s);
}

int dns_tcp_new(struct dns_core *core, int fd, struct dns_tcp **out,
		struct err *e)
{
	auto_(dns_tcp) t = xcalloc(1, sizeof *t);
	t->core = core;
	list_init(&t->clients);
	if (listener_fd(core->loop, fd, on_accept, t, &t->listener, e))
		return -1;
	*out = steal(&t);
	return 0;
}

void dns_tcp_free(struct dns_tcp *t)
{
	if (!t)
		return;
	while (!list_is_empty(&t->clients))
		client_free(container_of(t->clients.next, struct client, link));
	listener_free(t->listener);
	free(t);
}
