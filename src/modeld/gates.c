#include "modeld/gates.h"
#include "base/limits.h"
#include "io/ingress.h"
#include "io/listener.h"
#include "io/peer.h"
#include "io/stream.h"

#include <arpa/inet.h>
#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

struct gate {
	struct list link;
	struct gates *gates;
	struct listener *listener; /* owned */
	enum access_way door;
	char *url; /* owned */
};

static void gate_free(struct gate *g)
{
	if (!g)
		return;
	listener_free(g->listener);
	free(g->url);
	free(g);
}
BASE_AUTO(gate);

void gates_init(struct gates *g, struct ways *w)
{
	*g = (struct gates){ .ways = w };
	list_init(&g->open);
	list_init(&g->closed);
}

/* ---- who may come by the gateway ---- */

static void free_bridges(struct gates *g)
{
	for (char **b = g->bridges; b && *b; b++)
		free(*b);
	free(steal(&g->bridges));
}

int gates_set_bridges(struct gates *g, const json_t *names, struct err *e)
{
	size_t n = json_array_size(names);
	if (!json_is_array(names) || n > LIMIT_HELPER_BRIDGES)
		return err_set(e, ERR_INVALID,
			       "'names' must be an array of at most %d",
			       LIMIT_HELPER_BRIDGES);
	for (size_t i = 0; i < n; i++) {
		json_t *name = json_array_get(names, i);
		size_t len = json_string_length(name);
		if (!json_is_string(name) || !len || len >= IF_NAMESIZE)
			return err_set(e, ERR_INVALID,
				       "'names' holds no interface's name");
	}
	free_bridges(g);
	g->bridges = xcalloc(n + 1, sizeof *g->bridges);
	for (size_t i = 0; i < n; i++)
		g->bridges[i] =
			xstrdup(json_string_value(json_array_get(names, i)));
	return 0;
}

static bool is_bridge(const struct gates *g, const char *name)
{
	for (char **b = g->bridges; b && *b; b++)
		if (strcmp(*b, name) == 0)
			return true;
	return false;
}

static bool may_come(const struct gates *g, struct stream *s)
{
	char name[IF_NAMESIZE];
	struct err e;
	if (ingress_name(s, name, &e)) {
		log_warn("connection closed reason=\"%s\"", e.msg);
		return false;
	}
	if (strcmp(name, "lo") == 0 || is_bridge(g, name) ||
	    ingress_owns(s, name))
		return true;
	log_debug("connection closed interface=%s reason=\"neither this "
		  "machine nor a container\"",
		  name);
	return false;
}

static void on_accept(void *ctx, struct stream *s)
{
	struct gate *gate = ctx;
	struct gates *g = gate->gates;
	struct peer_ends ends;
	if (gate->door == ACCESS_GATEWAY && !may_come(g, s)) {
		stream_free(s);
		listener_release(gate->listener);
		return;
	}
	struct caller *c = caller_new(gate->door, s);
	peer_of(s, &ends);
	if (g->on_visit)
		g->on_visit(g->ctx, c, &ends);
	http_server_take(g->ways->api->server, s, c, gate->listener);
}

/* ---- coming and going ---- */

/* Where it listens, if it is a TCP socket that listens. */
static int check(int fd, enum access_way door, struct sockaddr_storage *at,
		 struct err *e)
{
	int listens = 0, protocol = 0;
	socklen_t n = sizeof listens, m = sizeof protocol, k = sizeof *at;
	if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &n) < 0 ||
	    getsockopt(fd, SOL_SOCKET, SO_PROTOCOL, &protocol, &m) < 0 ||
	    getsockname(fd, (struct sockaddr *)at, &k) < 0)
		return err_sys(e, "look at a listener");
	/* Of IPv6 the interface could not be asked. */
	bool fits = at->ss_family == AF_INET ||
		    (at->ss_family == AF_INET6 && door == ACCESS_CONTAINERS);
	if (!listens || protocol != IPPROTO_TCP || !fits)
		return err_set(e, ERR_INVALID,
			       "what came is no listening TCP socket");
	return 0;
}

static char *url_of(const struct sockaddr_storage *a)
{
	char ip[INET6_ADDRSTRLEN] = "";
	if (a->ss_family == AF_INET) {
		const struct sockaddr_in *in = (const void *)a;
		inet_ntop(AF_INET, &in->sin_addr, ip, sizeof ip);
		return xasprintf("http://%s:%d", ip, ntohs(in->sin_port));
	}
	const struct sockaddr_in6 *in6 = (const void *)a;
	inet_ntop(AF_INET6, &in6->sin6_addr, ip, sizeof ip);
	return xasprintf("http://[%s]:%d", ip, ntohs(in6->sin6_port));
}

/* Those whose last stream has gone. */
static void sweep(struct gates *g)
{
	list_each (it, &g->closed) {
		struct gate *gate = container_of(it, struct gate, link);
		if (listener_open(gate->listener))
			continue;
		list_remove(it);
		gate_free(gate);
	}
}

int gates_add(struct gates *g, enum access_way door, int fd, struct err *e)
{
	auto_close int owned = fd;
	struct sockaddr_storage at = { 0 };
	if (g->n_open == LIMIT_HELPER_WAYS)
		return err_set(e, ERR_INVALID, "more than %d listeners",
			       LIMIT_HELPER_WAYS);
	if (check(fd, door, &at, e))
		return -1;
	auto_(gate) gate = xcalloc(1, sizeof *gate);
	list_init(&gate->link);
	gate->gates = g;
	gate->door = door;
	if (listener_fd(g->ways->loop, steal_fd(&owned), on_accept, gate,
			&gate->listener, e))
		return -1;
	gate->url = url_of(&at);
	log_info("listens address=%s way=%s", gate->url + strlen("http://"),
		 access_way_name(door));
	ways_tell(g->ways, gate->url, true);
	sweep(g);
	g->n_open++;
	list_push_back(&g->open, &steal(&gate)->link);
	return 0;
}

void gates_close(struct gates *g)
{
	while (!list_is_empty(&g->open)) {
		struct list *it = list_pop_front(&g->open);
		struct gate *gate = container_of(it, struct gate, link);
		listener_stop(gate->listener);
		ways_tell(g->ways, gate->url, false);
		list_push_back(&g->closed, it);
	}
	g->n_open = 0;
	free_bridges(g);
}

void gates_fini(struct gates *g)
{
	struct list *it;
	if (!g->ways)
		return;
	gates_close(g);
	while ((it = list_pop_front(&g->closed)))
		gate_free(container_of(it, struct gate, link));
}
