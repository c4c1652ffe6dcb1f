#include "io/ingress.h"
#include "io/stream_priv.h"

#include <errno.h>
#include <ifaddrs.h>
#include <netinet/in.h>
#include <sys/socket.h>

static int fd_of(struct stream *s)
{
	uv_os_fd_t fd;
	return uv_fileno(&s->uv.any, &fd) == 0 ? fd : -1;
}

int ingress_name(struct stream *s, char out[IF_NAMESIZE], struct err *e)
{
	union {
		struct cmsghdr align;
		char bytes[256];
	} options = { 0 };
	struct in_pktinfo info = { 0 };
	socklen_t n = sizeof options.bytes;
	/* What a datagram would have beside it; of TCP it is the SYN's. */
	if (getsockopt(fd_of(s), IPPROTO_IP, IP_PKTOPTIONS, options.bytes, &n))
		return err_sys(e, "ask for a connection's interface");
	struct msghdr m = { .msg_control = options.bytes, .msg_controllen = n };
	for (struct cmsghdr *c = CMSG_FIRSTHDR(&m); c; c = CMSG_NXTHDR(&m, c))
		if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO)
			memcpy(&info, CMSG_DATA(c), sizeof info);
	if (info.ipi_ifindex <= 0)
		return err_set(e, ERR_SYSTEM,
			       "the kernel does not tell the interface: the "
			       "listener was made without IP_PKTINFO");
	if (!if_indextoname((unsigned)info.ipi_ifindex, out))
		return err_sys(e, "name interface %d", info.ipi_ifindex);
	return 0;
}

bool ingress_owns(struct stream *s, const char *name)
{
	struct sockaddr_in ours = { 0 };
	struct ifaddrs *all;
	socklen_t n = sizeof ours;
	bool owns = false;
	if (getsockname(fd_of(s), (struct sockaddr *)&ours, &n) != 0 ||
	    ours.sin_family != AF_INET || getifaddrs(&all) != 0)
		return false;
	for (struct ifaddrs *i = all; i; i = i->ifa_next) {
		const struct sockaddr_in *a = (const void *)i->ifa_addr;
		if (a && a->sin_family == AF_INET &&
		    a->sin_addr.s_addr == ours.sin_addr.s_addr)
			owns |= strcmp(i->ifa_name, name) == 0;
	}
	freeifaddrs(all);
	return owns;
}
