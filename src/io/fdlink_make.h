/* fdlink_make.h - the other end of a link, for tests: it sends bytes and
 * descriptors in any way. */
#pragma once
#include "base/str.h"

#include <sys/socket.h>
#include <unistd.h>

/* All bytes in one piece, with n descriptors; -1: the link is closed. */
static inline ssize_t fdlink_make_send(int to, struct str bytes, const int *fds,
				       size_t n)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(64 * sizeof(int))];
	} control;
	struct iovec v = { (char *)bytes.p, bytes.n };
	struct msghdr m = { .msg_iov = &v, .msg_iovlen = 1 };
	if (n) {
		memset(&control, 0, sizeof control);
		m.msg_control = control.bytes;
		m.msg_controllen = CMSG_SPACE(n * sizeof(int));
		struct cmsghdr *c = CMSG_FIRSTHDR(&m);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(n * sizeof(int));
		memcpy(CMSG_DATA(c), fds, n * sizeof(int));
	}
	return sendmsg(to, &m, MSG_NOSIGNAL);
}
