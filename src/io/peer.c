#include "io/peer.h"
#include "io/stream_priv.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

/* ---- the ends ---- */

static void read_end(const struct sockaddr_storage *a, struct peer_ends *p,
		     struct peer_end *end)
{
	if (a->ss_family == AF_INET) {
		const struct sockaddr_in *in = (const void *)a;
		memcpy(end->ip, &in->sin_addr, 4);
		end->port = ntohs(in->sin_port);
	} else {
		const struct sockaddr_in6 *in6 = (const void *)a;
		memcpy(end->ip, &in6->sin6_addr, 16);
		end->port = ntohs(in6->sin6_port);
		p->scope = in6->sin6_scope_id;
	}
}

void peer_of(struct stream *s, struct peer_ends *out)
{
	struct sockaddr_storage ours = { 0 }, theirs = { 0 };
	socklen_t n = sizeof ours, m = sizeof theirs;
	uv_os_fd_t fd;
	*out = (struct peer_ends){ 0 };
	if (uv_fileno(&s->uv.any, &fd) != 0 ||
	    getsockname(fd, (struct sockaddr *)&ours, &n) != 0 ||
	    getpeername(fd, (struct sockaddr *)&theirs, &m) != 0 ||
	    ours.ss_family != theirs.ss_family ||
	    (ours.ss_family != AF_INET && ours.ss_family != AF_INET6))
		return;
	out->family = ours.ss_family;
	read_end(&ours, out, &out->ours);
	read_end(&theirs, out, &out->theirs);
}

void peer_text(const struct peer_ends *p, const struct peer_end *end,
	       char out[PEER_TEXT_BYTES])
{
	char ip[INET6_ADDRSTRLEN];
	out[0] = '\0';
	if (p->family && inet_ntop(p->family, end->ip, ip, sizeof ip))
		snprintf(out, PEER_TEXT_BYTES,
			 p->family == AF_INET6 ? "[%s]:%u" : "%s:%u", ip,
			 end->port);
}

/* ---- the user ---- */

static void fill(struct inet_diag_req_v2 *ask, const struct peer_ends *p)
{
	/* The socket is looked for as its owner sees it. */
	ask->sdiag_family = (uint8_t)p->family;
	ask->sdiag_protocol = IPPROTO_TCP;
	ask->idiag_states = ~0u;
	ask->id.idiag_sport = htons(p->theirs.port);
	ask->id.idiag_dport = htons(p->ours.port);
	memcpy(ask->id.idiag_src, p->theirs.ip, sizeof p->theirs.ip);
	memcpy(ask->id.idiag_dst, p->ours.ip, sizeof p->ours.ip);
	ask->id.idiag_if = p->scope;
	ask->id.idiag_cookie[0] = INET_DIAG_NOCOOKIE;
	ask->id.idiag_cookie[1] = INET_DIAG_NOCOOKIE;
}

static int err_netlink(struct err *e)
{
	return err_sys(e, "ask the kernel for a connection's user");
}

static int read_answer(int fd, unsigned *uid, struct err *e)
{
	union {
		struct nlmsghdr head;
		char bytes[4096];
	} in;
	/* The kernel answers inside the call that asks. */
	ssize_t n = recv(fd, &in, sizeof in, MSG_DONTWAIT);
	if (n < 0)
		return err_netlink(e);
	if (!NLMSG_OK(&in.head, (size_t)n))
		return PEER_UNKNOWN;
	if (in.head.nlmsg_type != SOCK_DIAG_BY_FAMILY ||
	    in.head.nlmsg_len < NLMSG_LENGTH(sizeof(struct inet_diag_msg)))
		return PEER_UNKNOWN; /* NLMSG_ERROR: there is none such */
	const struct inet_diag_msg *m = NLMSG_DATA(&in.head);
	/* A socket that nobody holds any more has no inode, and then what
	 * stands there as its user is root. */
	if (!m->idiag_inode)
		return PEER_UNKNOWN;
	*uid = m->idiag_uid;
	return 0;
}

int peer_find_uid(const struct peer_ends *p, unsigned *uid, struct err *e)
{
	struct {
		struct nlmsghdr head;
		struct inet_diag_req_v2 ask;
	} out = { .head = { .nlmsg_len = sizeof out,
			    .nlmsg_type = SOCK_DIAG_BY_FAMILY,
			    .nlmsg_flags = NLM_F_REQUEST } };
	struct sockaddr_nl kernel = { .nl_family = AF_NETLINK };
	if (!p->family)
		return PEER_UNKNOWN;
	fill(&out.ask, p);
	auto_close int fd =
		socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
	if (fd < 0 || sendto(fd, &out, sizeof out, 0,
			     (struct sockaddr *)&kernel, sizeof kernel) < 0)
		return err_netlink(e);
	return read_answer(fd, uid, e);
}
