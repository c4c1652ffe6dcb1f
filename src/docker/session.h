/* session.h - the helper socket: modeld gets its listeners there and asks who a
 * caller is. One modeld at a time; the protocol is one JSON object a line:
 *
 *   -> {"type":"hello","port":12434}      0: no listener at the gateway
 *   <- {"type":"bridges","names":["docker0"]}
 *   <- {"type":"listen","way":"containers","address":"169.254.255.81:80"} + fd
 *   <- {"type":"listen","way":"gateway","address":"172.17.0.1:12434"} + fd
 *   -> {"type":"who","id":7,"peer":"...","local":"..."}
 *   <- {"type":"who","id":7,"address":"172.17.0.5","container":ID,"name":"web"}
 *
 * The socket's file is for everybody, since modeld's group is unknown here;
 * served are root and the account of the settings. */
#pragma once
#include "base/err.h"
#include "base/str.h"

#include <sys/socket.h>

struct container;
struct session;
struct setup;
struct uv_loop_s;

struct session_fns {
	/* modeld is there; port 0: it wants no listener at the gateway. */
	void (*on_hello)(void *ctx, int port);
	/* Answer with session_answer(). */
	void (*on_who)(void *ctx, uint64_t id, const struct sockaddr *peer,
		       const struct sockaddr *local);
	/* modeld is gone. */
	void (*on_end)(void *ctx);
};

must_use int session_new(struct uv_loop_s *loop, const struct setup *s,
			 const struct session_fns *fns, void *ctx,
			 struct session **out, struct err *e);
/* The socket's file goes too. */
void session_free(struct session *s);
BASE_AUTO(session);

/* All of these do nothing while no modeld has said hello. `fd` becomes
 * session's. */
void session_give(struct session *s, const char *way, const char *address,
		  int fd);
void session_tell_bridges(struct session *s, const char *const *names,
			  size_t n);
/* `address` NULL: not found; `c` NULL: no container. */
void session_answer(struct session *s, uint64_t id, const char *address,
		    const struct container *c);
/* Makes modeld drop what it got and come again; on_end is called. */
void session_close(struct session *s, const char *why);
