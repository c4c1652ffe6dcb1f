#include "docker/doors.h"
#include "docker/ends.h"
#include "docker/netns.h"
#include "docker/setup.h"

#include <arpa/inet.h>
#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

#define BACKLOG 1024

static int open_at(const struct sockaddr *a, socklen_t n, bool is_free,
		   int *out, struct err *e)
{
	int on = 1;
	auto_close int fd = socket(
		a->sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return err_sys(e, "make a socket");
	/* A new modeld must not wait for the last one's connections. */
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
	if (a->sa_family == AF_INET6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
	if (is_free &&
	    (setsockopt(fd, IPPROTO_IP, IP_FREEBIND, &on, sizeof on) < 0 ||
	     /* Before listen(): so the kernel keeps by which device a
	      * connection came. */
	     setsockopt(fd, IPPROTO_IP, IP_PKTINFO, &on, sizeof on) < 0))
		return err_sys(e, "prepare a socket");
	if (bind(fd, a, n) < 0)
		return errno == EADDRNOTAVAIL ? DOORS_ABSENT
					      : err_sys(e, "bind");
	if (listen(fd, BACKLOG) < 0)
		return err_sys(e, "listen");
	*out = steal_fd(&fd);
	return 0;
}

static int open_inside(const struct ends *ends, int *fd, int *fd6,
		       struct err *e)
{
	struct sockaddr_in in = { .sin_family = AF_INET,
				  .sin_port = htons(ENDS_PORT),
				  .sin_addr = ends->inner };
	struct sockaddr_in6 in6 = { .sin6_family = AF_INET6,
				    .sin6_port = htons(ENDS_PORT),
				    .sin6_addr = ends->inner6 };
	int r = open_at((struct sockaddr *)&in, sizeof in, false, fd, e);
	if (r)
		return r < 0 ? err_wrap(e, "listen on %s:%d", ends->inner_text,
					ENDS_PORT)
			     : r;
	/* IPv6 may be off here, which is no reason to do without the other. */
	struct err ignored;
	if (!ends->has6 ||
	    open_at((struct sockaddr *)&in6, sizeof in6, false, fd6, &ignored))
		*fd6 = -1;
	return 0;
}

static int identify(int ns, struct doors_place *out, struct err *e)
{
	struct stat st;
	if (fstat(ns, &st) < 0)
		return err_sys(e, "look at the namespace");
	*out = (struct doors_place){ st.st_dev, st.st_ino };
	return 0;
}

int doors_find(const struct setup *s, struct doors_place *out, struct err *e)
{
	auto_close int ns = -1;
	int r = netns_open(s->netns, &ns, e);
	if (r)
		return r == NETNS_ABSENT ? DOORS_ABSENT : -1;
	return identify(ns, out, e);
}

int doors_open(const struct setup *s, const struct ends *ends, int *fd,
	       int *fd6, struct doors_place *place, struct err *e)
{
	auto_close int ns = -1;
	int back;
	int r = netns_open(s->netns, &ns, e);
	if (r)
		return r == NETNS_ABSENT ? DOORS_ABSENT : -1;
	if (identify(ns, place, e) || netns_enter(ns, &back, e))
		return -1;
	r = open_inside(ends, fd, fd6, e);
	netns_leave(back);
	return r;
}

int doors_open_gateway(const char *ip, int port, int *fd, struct err *e)
{
	struct sockaddr_in in = { .sin_family = AF_INET,
				  .sin_port = htons((uint16_t)port) };
	if (inet_pton(AF_INET, ip, &in.sin_addr) != 1)
		return err_set(e, ERR_INVALID, "%s is no address", ip);
	if (open_at((struct sockaddr *)&in, sizeof in, true, fd, e))
		return err_wrap(e, "listen on %s:%d", ip, port);
	return 0;
}
