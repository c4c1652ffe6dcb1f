#include "docker/dns.h"
#include "base/log.h"
#include "docker/dns_tcp.h"
#include "docker/dns_udp.h"
#include "docker/netns.h"
#include "docker/service.h"
#include "io/timer.h"

#include <assert.h>
#include <sys/random.h>
#include <unistd.h>

#define DNS_PORT 53
#define BACKLOG 128
#define BURST_BYTES (1 << 20)

struct dns {
	struct service service;
	struct dns_core core;
	struct dns_udp *udp;
	struct dns_tcp *tcp;
};

/* ---- what both ways share ---- */

uint16_t dns_random_id(void)
{
	uint16_t id;
	ssize_t n = getrandom(&id, sizeof id, 0);
	assert(n == sizeof id);
	return id;
}

struct str dns_fail(struct dns_core *core, struct str query,
		    ldns_pkt_rcode rcode)
{
	dns_message_refuse(query, rcode, &core->answer);
	return buf_str(&core->answer);
}

enum dns_verdict dns_judge(struct dns_core *core, const struct sockaddr *from,
			   struct str query)
{
	int r = dns_message_answer(&core->zone, query, &core->answer);
	if (r == DNS_MESSAGE_DROP)
		return DNS_SILENCE;
	if (!dns_source_may_ask(&core->source, from,
				timer_now_ms(core->loop))) {
		dns_fail(core, query, LDNS_RCODE_REFUSED);
		return DNS_ANSWER;
	}
	return r == DNS_MESSAGE_FORWARD ? DNS_FORWARD : DNS_ANSWER;
}

/* ---- sockets ---- */

static int open_socket(const struct sockaddr *a, int type, int *out,
		       struct err *e)
{
	int on = 1, burst = BURST_BYTES;
	auto_close int fd =
		socket(a->sa_family, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return err_sys(e, "open a socket");
	if (type == SOCK_STREAM &&
	    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) < 0)
		return err_sys(e, "set up a socket");
	/* Room for a burst; what is lost is only asked again. */
	if (type == SOCK_DGRAM)
		(void)setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &burst,
				 sizeof burst);
	if (bind(fd, a, dns_server_length(a)) < 0)
		return err_sys(
			e, "bind (port %d)",
			ntohs(((const struct sockaddr_in *)(const void *)a)
				      ->sin_port));
	if (type == SOCK_STREAM && listen(fd, BACKLOG) < 0)
		return err_sys(e, "listen");
	*out = steal_fd(&fd);
	return 0;
}

static int open_both(const struct sockaddr *a, int *udp, int *tcp,
		     struct err *e)
{
	if (open_socket(a, SOCK_DGRAM, udp, e))
		return -1;
	return open_socket(a, SOCK_STREAM, tcp, e);
}

static bool is_inside(const struct ends *ends, const struct sockaddr *a)
{
	const struct sockaddr_in *in = (const void *)a;
	const struct sockaddr_in6 *in6 = (const void *)a;
	if (a->sa_family == AF_INET)
		return in->sin_addr.s_addr == ends->inner.s_addr;
	return ends->has6 &&
	       !memcmp(&in6->sin6_addr, &ends->inner6, sizeof ends->inner6);
}

/* In the namespace, if the address is there. */
static int open_there(const struct setup *s, const struct ends *ends,
		      const struct sockaddr *a, int *udp, int *tcp,
		      struct err *e)
{
	auto_close int fd = -1;
	int back;
	if (!is_inside(ends, a))
		return open_both(a, udp, tcp, e);
	int r = netns_open(s->netns, &fd, e);
	if (r > 0)
		return err_set(e, ERR_NOT_FOUND,
			       "there is no network namespace '%s'; "
			       "'modeld-docker net up' makes it",
			       s->netns);
	if (r < 0 || netns_enter(fd, &back, e))
		return -1;
	r = open_both(a, udp, tcp, e);
	netns_leave(back);
	return r;
}

static bool is_any(const struct sockaddr *a)
{
	const struct sockaddr_in *in = (const void *)a;
	const struct sockaddr_in6 *in6 = (const void *)a;
	if (a->sa_family == AF_INET)
		return in->sin_addr.s_addr == INADDR_ANY;
	return IN6_IS_ADDR_UNSPECIFIED(&in6->sin6_addr);
}

/* ---- all of it ---- */

static int start(struct dns *d, const struct setup *s, struct err *e)
{
	struct ends ends;
	struct sockaddr_storage self;
	const struct sockaddr *a = (const struct sockaddr *)&self;
	auto_close int udp = -1;
	auto_close int tcp = -1;
	d->core.loop = &d->service.loop;
	buf_init(&d->core.answer, DNS_MESSAGE_MAX_BYTES);
	if (ends_read(s, &ends, e))
		return -1;
	dns_source_init(&d->core.source, &ends);
	if (dns_server_parse(s->dns_address, DNS_PORT, &self, e))
		return err_wrap(e, "--dns-address");
	if (is_any(a))
		return err_set(e, ERR_USAGE,
			       "--dns-address %s: name one address of this "
			       "host; with all of them other machines could "
			       "ask too",
			       s->dns_address);
	if (dns_message_zone_init(&d->core.zone, s->name, ends.inner, e) ||
	    dns_server_init(&d->core.server, s->upstream, &self, e))
		return -1;
	if (open_there(s, &ends, a, &udp, &tcp, e))
		return err_wrap(e, "answer DNS at %s", s->dns_address);
	if (dns_udp_new(&d->core, steal_fd(&udp), &d->udp, e) ||
	    dns_tcp_new(&d->core, steal_fd(&tcp), &d->tcp, e))
		return -1;
	log_info("answers DNS address=%s name=%s", s->dns_address, s->name);
	return 0;
}

int dns_run(const struct setup *s, struct err *e)
{
	struct dns d = { 0 };
	service_init(&d.service);
	int r = start(&d, s, e);
	if (r == 0) {
		service_ready(&d.service, s);
		service_run(&d.service);
	}
	dns_udp_free(d.udp);
	dns_tcp_free(d.tcp);
	dns_message_zone_fini(&d.core.zone);
	dns_source_fini(&d.core.source);
	buf_fini(&d.core.answer);
	service_fini(&d.service);
	return r;
}
