#include "docker/conntrack.h"

#include <errno.h>
#include <libnetfilter_conntrack/libnetfilter_conntrack.h>
#include <libnetfilter_conntrack/libnetfilter_conntrack_tcp.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/time.h>

struct conntrack {
	struct nfct_handle *nfct; /* owned */
	struct sockaddr_storage found;
};

/* Called inside nfct_query(), once. */
static int on_entry(enum nf_conntrack_msg_type type, struct nf_conntrack *ct,
		    void *data)
{
	struct conntrack *c = data;
	struct sockaddr_in *in = (void *)&c->found;
	struct sockaddr_in6 *in6 = (void *)&c->found;
	(void)type;
	if (nfct_get_attr_u8(ct, ATTR_ORIG_L3PROTO) == AF_INET) {
		in->sin_family = AF_INET;
		in->sin_addr.s_addr = nfct_get_attr_u32(ct, ATTR_ORIG_IPV4_SRC);
		in->sin_port = nfct_get_attr_u16(ct, ATTR_ORIG_PORT_SRC);
	} else if (nfct_get_attr(ct, ATTR_ORIG_IPV6_SRC)) {
		in6->sin6_family = AF_INET6;
		memcpy(&in6->sin6_addr, nfct_get_attr(ct, ATTR_ORIG_IPV6_SRC),
		       sizeof in6->sin6_addr);
		in6->sin6_port = nfct_get_attr_u16(ct, ATTR_ORIG_PORT_SRC);
	}
	return NFCT_CB_CONTINUE;
}

int conntrack_open(struct conntrack **out, struct err *e)
{
	/* It never waits; this is for the day that a kernel does. */
	static const struct timeval limit = { .tv_usec = 100000 };
	auto_(conntrack) c = xcalloc(1, sizeof *c);
	c->nfct = nfct_open(CONNTRACK, 0);
	if (!c->nfct)
		return err_sys(e, "ask the kernel for its connections");
	setsockopt(nfct_fd(c->nfct), SOL_SOCKET, SO_RCVTIMEO, &limit,
		   sizeof limit);
	nfct_callback_register(c->nfct, NFCT_T_ALL, on_entry, c);
	*out = steal(&c);
	return 0;
}

void conntrack_free(struct conntrack *c)
{
	if (!c)
		return;
	if (c->nfct)
		nfct_close(c->nfct);
	free(c);
}

/* The kernel finds a connection by the tuple of either direction, and the
 * library sends none but the first one; so the answering direction is asked for
 * in its place. */
static void put4(struct nf_conntrack *ask, const struct sockaddr *peer,
		 const struct sockaddr *local)
{
	const struct sockaddr_in *p = (const void *)peer;
	const struct sockaddr_in *l = (const void *)local;
	nfct_set_attr_u8(ask, ATTR_ORIG_L3PROTO, AF_INET);
	nfct_set_attr_u32(ask, ATTR_ORIG_IPV4_SRC, l->sin_addr.s_addr);
	nfct_set_attr_u32(ask, ATTR_ORIG_IPV4_DST, p->sin_addr.s_addr);
	nfct_set_attr_u16(ask, ATTR_ORIG_PORT_SRC, l->sin_port);
	nfct_set_attr_u16(ask, ATTR_ORIG_PORT_DST, p->sin_port);
}

static void put6(struct nf_conntrack *ask, const struct sockaddr *peer,
		 const struct sockaddr *local)
{
	const struct sockaddr_in6 *p = (const void *)peer;
	const struct sockaddr_in6 *l = (const void *)local;
	nfct_set_attr_u8(ask, ATTR_ORIG_L3PROTO, AF_INET6);
	nfct_set_attr(ask, ATTR_ORIG_IPV6_SRC, &l->sin6_addr);
	nfct_set_attr(ask, ATTR_ORIG_IPV6_DST, &p->sin6_addr);
	nfct_set_attr_u16(ask, ATTR_ORIG_PORT_SRC, l->sin6_port);
	nfct_set_attr_u16(ask, ATTR_ORIG_PORT_DST, p->sin6_port);
}

int conntrack_find(struct conntrack *c, const struct sockaddr *peer,
		   const struct sockaddr *local,
		   struct sockaddr_storage *source, struct err *e)
{
	if (peer->sa_family != local->sa_family)
		return CONNTRACK_ABSENT;
	struct nf_conntrack *ask = nfct_new();
	if (!ask)
		return err_sys(e, "ask the kernel for a connection");
	nfct_set_attr_u8(ask, ATTR_ORIG_L4PROTO, IPPROTO_TCP);
	if (peer->sa_family == AF_INET)
		put4(ask, peer, local);
	else
		put6(ask, peer, local);
	c->found = (struct sockaddr_storage){ 0 };
	int r = nfct_query(c->nfct, NFCT_Q_GET, ask);
	int why = errno;
	nfct_destroy(ask);
	errno = why;
	if (r < 0)
		return errno == ENOENT
			       ? CONNTRACK_ABSENT
			       : err_sys(e, "ask the kernel for a connection");
	if (c->found.ss_family == AF_UNSPEC)
		return CONNTRACK_ABSENT;
	*source = c->found;
	return 0;
}
