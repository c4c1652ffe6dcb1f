/* fdlink.h - lines, and descriptors with them, over a Unix socket.
 *
 * For two programs of one machine: one hands the other open sockets. A line is
 * at most LIMIT_HELPER_LINE_BYTES long, and a descriptor travels with the first
 * byte of its line. Descriptors that no line took, once all that came is read,
 * are closed; more at once than LIMIT_HELPER_FDS end the link, and so do a line
 * that is too long and a peer that does not read. One read a turn of the loop:
 * a peer that floods us delays nobody. */
#pragma once
#include "base/err.h"
#include "base/str.h"

struct fdlink;
struct uv_loop_s;

struct fdlink_fns {
	/* A line, without its end; borrowed for the call. */
	void (*on_line)(void *ctx, struct str line);
	/* It ended, and *e says why; the last callback. The owner still has to
	 * free it. */
	void (*on_end)(void *ctx, const struct err *e);
};

/* Connects now: ERR_REFUSED if nobody accepts there. Whoever has the other end
 * must run under this uid, else ERR_FORBIDDEN. */
must_use int fdlink_connect(struct uv_loop_s *loop, const char *path,
			    unsigned uid, const struct fdlink_fns *fns,
			    void *ctx, struct fdlink **out, struct err *e);
/* Over a connected socket, which becomes the link's. */
must_use int fdlink_open(struct uv_loop_s *loop, int fd,
			 const struct fdlink_fns *fns, void *ctx,
			 struct fdlink **out, struct err *e);
/* The descriptor that came with this line, or -1; inside on_line. The caller
 * closes it. */
int fdlink_take(struct fdlink *l);
/* Sends a line; its end is added. What the kernel does not take waits here. */
void fdlink_send(struct fdlink *l, struct str line);
/* The same, and `fd` travels with its first byte; it becomes the link's, which
 * closes it. */
void fdlink_send_fd(struct fdlink *l, struct str line, int fd);
/* At any time, also inside a callback. NULL is fine. */
void fdlink_free(struct fdlink *l);
BASE_AUTO(fdlink);
