/* front_socket.h - the front's listening socket: handed to us, or made. */
#pragma once
#include "docker/setup.h"

#include <sys/types.h>

struct front_socket {
	int fd; /* the caller's */
	dev_t dev;
	ino_t ino;
};

enum front_socket_outcome { FRONT_SOCKET_NONE = 1 };

/* The one that systemd or `modeld-docker run` passed (LISTEN_FDS). */
must_use int front_socket_inherit(int *fd, struct err *e);
/* Makes it at s->listen, mode 0660 and the group of the Engine's socket, and
 * listens. A socket file that nobody listens behind is replaced. */
must_use int front_socket_open(const struct setup *s, struct front_socket *out,
			       struct err *e);
/* Removes the file again, if it is still this socket's. */
void front_socket_remove(const struct setup *s, const struct front_socket *f);
