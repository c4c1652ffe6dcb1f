/* listen.c - what changes is met by looking again: news of the kernel, of the
 * Engine and of modeld all end in catch_up(), which does what is missing. */
#include "docker/listen.h"
#include "base/limits.h"
#include "base/log.h"
#include "docker/conntrack.h"
#include "docker/dockerd.h"
#include "docker/doors.h"
#include "docker/ends.h"
#include "docker/keeper.h"
#include "docker/networks.h"
#include "docker/service.h"
#include "docker/session.h"
#include "docker/who.h"
#include "io/timer.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <unistd.h>

struct listen {
	struct service service;
	const struct setup *setup;
	struct ends ends;
	struct session *session;
	struct keeper *keeper;
	struct dockerd *dockerd;
	struct who *who;
	struct conntrack *conntrack; /* NULL: this kernel has none */
	struct networks networks;
	bool is_reading; /* the networks */
	bool is_stale;	 /* they changed meanwhile */
	struct timer retry;
	bool has_engine;
	struct timer look_again; /* at the networks, when the Engine failed */
	/* What modeld has. */
	bool is_hello;
	int port;
	bool has_inner;
	struct doors_place place;
	char gateway[INET6_ADDRSTRLEN];		      /* "" : none */
	char complaint[sizeof((struct err *)0)->msg]; /* said last */
};

/* ---- what modeld gets ---- */

/* Each trouble once, not with each try. */
static void complain(struct listen *l, const char *why)
{
	if (strcmp(l->complaint, why) == 0)
		return;
	snprintf(l->complaint, sizeof l->complaint, "%s", why);
	log_warn("modeld waits for a listener: %s", why);
}

static bool give_inner(struct listen *l)
{
	struct err e;
	char address[INET6_ADDRSTRLEN + 8];
	int fd = -1, fd6 = -1;
	int r = doors_open(l->setup, &l->ends, &fd, &fd6, &l->place, &e);
	if (r == DOORS_ABSENT)
		complain(l, "the address does not stand yet; run: "
			    "modeld-docker net up");
	else if (r < 0)
		complain(l, e.msg);
	if (r)
		return false;
	snprintf(address, sizeof address, "%s:%d", l->ends.inner_text,
		 ENDS_PORT);
	session_give(l->session, "containers", address, fd);
	if (fd6 >= 0) {
		snprintf(address, sizeof address, "[%s]:%d",
			 l->ends.inner6_text, ENDS_PORT);
		session_give(l->session, "containers", address, fd6);
	}
	l->has_inner = true;
	return true;
}

static const char *gateway_now(const struct listen *l)
{
	const struct network *n = networks_default(&l->networks);
	return n && l->port ? networks_gateway(n) : "";
}

static bool give_gateway(struct listen *l)
{
	struct err e;
	char address[INET6_ADDRSTRLEN + 8];
	const char *ip = gateway_now(l);
	int fd;
	if (!ip[0])
		return true; /* until there is one */
	if (doors_open_gateway(ip, l->port, &fd, &e)) {
		complain(l, e.msg);
		return false;
	}
	snprintf(address, sizeof address, "%s:%d", ip, l->port);
	snprintf(l->gateway, sizeof l->gateway, "%s", ip);
	session_give(l->session, "gateway", address, fd);
	return true;
}

/* Internal networks only if the settings open them. */
static void tell_bridges(struct listen *l)
{
	const char **names = xcalloc(l->networks.n + 1, sizeof *names);
	size_t n = 0;
	for (size_t i = 0; i < l->networks.n; i++) {
		const struct network *it = &l->networks.all[i];
		if (!it->is_internal || it->is_open)
			names[n++] = it->bridge;
	}
	session_tell_bridges(l->session, names, n);
	free(names);
}

/* A listener that modeld has is of no use any more. */
static const char *outdated(const struct listen *l)
{
	struct doors_place place;
	struct err e;
	if (l->has_inner &&
	    (doors_find(l->setup, &place, &e) || place.dev != l->place.dev ||
	     place.ino != l->place.ino))
		return "the namespace is another one";
	if (l->gateway[0] && strcmp(l->gateway, gateway_now(l)) != 0)
		return "Docker's gateway changed";
	return NULL;
}

static void catch_up(struct listen *l)
{
	const char *why = l->is_hello ? outdated(l) : NULL;
	if (why)
		session_close(l->session, why); /* it comes again */
	if (!l->is_hello)
		return;
	bool is_done = l->has_inner || give_inner(l);
	is_done = (l->gateway[0] || give_gateway(l)) && is_done;
	if (is_done)
		l->complaint[0] = '\0';
	else
		timer_start(&l->retry, LIMIT_SESSION_RETRY_MS);
}

static void on_retry(void *ctx)
{
	catch_up(ctx);
}

/* ---- modeld ---- */

static void put_rules(struct listen *l)
{
	char target[INET6_ADDRSTRLEN + 8];
	const char *ip = gateway_now(l);
	snprintf(target, sizeof target, "%s:%d", ip, l->port);
	keeper_set(l->keeper, &l->networks, ip[0] ? target : NULL);
}

static void on_hello(void *ctx, int port)
{
	struct listen *l = ctx;
	bool is_new = port != l->port;
	l->is_hello = true;
	l->port = port;
	tell_bridges(l);
	catch_up(l);
	if (is_new && l->networks.n)
		put_rules(l);
}

static void on_end(void *ctx)
{
	struct listen *l = ctx;
	l->is_hello = l->has_inner = false;
	l->gateway[0] = '\0';
	timer_stop(&l->retry);
	who_forget(l->who, l);
}

/* ---- who ---- */

static void put_address(const struct sockaddr *a, char out[INET6_ADDRSTRLEN],
			struct in6_addr *key)
{
	const struct sockaddr_in *in = (const void *)a;
	const struct sockaddr_in6 *in6 = (const void *)a;
	if (a->sa_family == AF_INET)
		inet_ntop(AF_INET, &in->sin_addr, out, INET6_ADDRSTRLEN);
	else
		inet_ntop(AF_INET6, &in6->sin6_addr, out, INET6_ADDRSTRLEN);
	if (!containers_parse(str_of(out), key))
		memset(key, 0, sizeof *key);
}

static void on_container(void *ctx, uint64_t id, const struct in6_addr *address,
			 const struct container *c)
{
	struct listen *l = ctx;
	char text[INET6_ADDRSTRLEN];
	if (IN6_IS_ADDR_V4MAPPED(address))
		inet_ntop(AF_INET, &address->s6_addr[12], text, sizeof text);
	else
		inet_ntop(AF_INET6, address, text, sizeof text);
	session_answer(l->session, id, text, c);
}

static void on_who(void *ctx, uint64_t id, const struct sockaddr *peer,
		   const struct sockaddr *local)
{
	struct listen *l = ctx;
	struct sockaddr_storage source = { 0 };
	struct err e;
	char text[INET6_ADDRSTRLEN];
	struct in6_addr key;
	memcpy(&source, peer,
	       peer->sa_family == AF_INET ? sizeof(struct sockaddr_in)
					  : sizeof(struct sockaddr_in6));
	if (ends_is_outer(&l->ends, peer)) {
		int r = l->conntrack ? conntrack_find(l->conntrack, peer, local,
						      &source, &e)
				     : CONNTRACK_ABSENT;
		if (r < 0)
			log_debug("a caller is not known: %s", e.msg);
		if (r) {
			session_answer(l->session, id, NULL, NULL);
			return;
		}
	}
	put_address((struct sockaddr *)&source, text, &key);
	/* This host's own programs. */
	if (ends_is_outer(&l->ends, (struct sockaddr *)&source))
		session_answer(l->session, id, text, NULL);
	else
		who_ask(l->who, &key, on_container, l, id);
}

/* ---- the Engine ---- */

static void read_networks(struct listen *l);

static void on_networks(void *ctx, int outcome, const json_t *answer,
			const struct err *e)
{
	struct listen *l = ctx;
	struct networks fresh;
	struct err why;
	l->is_reading = false;
	if (outcome == 0 && networks_read(answer, l->setup, &fresh, &why)) {
		outcome = -1;
		e = &why;
	}
	if (outcome) {
		log_warn("Docker's networks are not known: %s", e->msg);
		if (l->has_engine)
			timer_start(&l->look_again, LIMIT_DOCKERD_AGAIN_MS);
		return;
	}
	if (networks_equal(&fresh, &l->networks)) {
		networks_fini(&fresh);
	} else {
		networks_fini(&l->networks);
		l->networks = fresh;
		log_debug("networks count=%zu", fresh.n);
		put_rules(l);
		tell_bridges(l);
		catch_up(l);
	}
	if (l->is_stale)
		read_networks(l);
}

static void read_networks(struct listen *l)
{
	l->is_stale = l->is_reading;
	if (l->is_reading)
		return;
	l->is_reading = true;
	dockerd_get(l->dockerd, "/networks", on_networks, l);
}

static void on_look(void *ctx)
{
	struct listen *l = ctx;
	l->has_engine = true;
	read_networks(l);
	who_set_engine(l->who, true);
}

static void on_event(void *ctx, const json_t *event)
{
	struct listen *l = ctx;
	struct str type = { "", 0 }, action = { "", 0 };
	struct err e;
	if (json_get_str(event, "Type", &type, &e) ||
	    json_get_str(event, "Action", &action, &e))
		return;
	if (str_eq(type, "network") &&
	    (str_eq(action, "create") || str_eq(action, "destroy") ||
	     str_eq(action, "remove")))
		read_networks(l);
	else
		who_stale(l->who);
}

static void on_lost(void *ctx, const struct err *e)
{
	struct listen *l = ctx;
	log_info("the Docker Engine is away reason=\"%s\"", e->msg);
	who_set_engine(l->who, false);
	l->has_engine = false; /* we hear when it is back */
	timer_stop(&l->look_again);
}

/* ---- beginning and end ---- */

/* What happens in containers (health checks, exec) is not asked for. */
#define FILTERS                                                               \
	"{\"type\":[\"container\",\"network\"],\"event\":[\"start\",\"die\"," \
	"\"rename\",\"connect\",\"disconnect\",\"create\",\"destroy\","       \
	"\"remove\"]}"

static void on_net(void *ctx)
{
	catch_up(ctx);
}

static int start(struct listen *l, struct err *e)
{
	static const struct session_fns session_fns = { on_hello, on_who,
							on_end };
	static const struct dockerd_follow_fns follow_fns = { on_look, on_event,
							      on_lost };
	struct uv_loop_s *loop = &l->service.loop;
	struct err why;
	if (ends_read(l->setup, &l->ends, e))
		return -1;
	if (geteuid() != 0)
		return err_set(e, ERR_FORBIDDEN, "run this as root");
	if (conntrack_open(&l->conntrack, &why))
		log_warn("callers will not be known: %s", why.msg);
	l->dockerd = dockerd_new(loop, l->setup);
	l->who = who_new(loop, l->dockerd, &l->networks);
	if (keeper_new(loop, l->setup, &l->ends, on_net, l, &l->keeper, e) ||
	    service_make_folder(l->setup->helper, e) ||
	    session_new(loop, l->setup, &session_fns, l, &l->session, e))
		return -1;
	dockerd_follow(l->dockerd, FILTERS, &follow_fns, l);
	return 0;
}

static void stop(struct listen *l)
{
	session_free(l->session);
	keeper_free(l->keeper);
	dockerd_free(l->dockerd);
	who_free(l->who);
	conntrack_free(l->conntrack);
	networks_fini(&l->networks);
	timer_fini(&l->retry);
	timer_fini(&l->look_again);
	service_fini(&l->service);
}

int listen_run(const struct setup *s, struct err *e)
{
	struct listen *l = xcalloc(1, sizeof *l);
	l->setup = s;
	service_init(&l->service);
	timer_init(&l->retry, &l->service.loop, on_retry, l);
	timer_init(&l->look_again, &l->service.loop, on_look, l);
	int got = start(l, e);
	if (got == 0) {
		log_info("serves modeld helper=%s", s->helper);
		service_ready(&l->service, s);
		service_run(&l->service);
		log_info("stopped");
	}
	stop(l);
	free(l);
	return got;
}
