/* caller.h - who is at the other end of a connection, as far as can be known.
 *
 * One for each connection: made when it is accepted, the server's visitor,
 * freed when it is closed. What only a request tells (the Docker socket's front
 * for its client, an API key) is there from caller_begin() or the check of the
 * key until that request is over. Of a container the root helper tells, a
 * moment after it connected. */
#pragma once
#include "api/access.h"
#include "io/peer.h"
#include "io/timer.h"

struct http_head;
struct stream;

#define CALLER_ADDRESS_MAX 63
#define CALLER_CONTAINER_MAX 64
#define CALLER_NAME_MAX 63

struct caller {
	enum access_way way;  /* of this request: docker is told by its head */
	enum access_way door; /* of the listener */
	/* Local sockets; of docker: the front's client; of loopback after
	 * caller_identify(). */
	bool has_uid;
	unsigned uid;
	int pid; /* 0 if not known */
	/* The connection's own end, by SO_PEERCRED; see caller_begin(). */
	bool has_peer;
	unsigned peer_uid;
	int peer_pid;
	/* IP:port, or what the helper found; "" if none */
	char address[CALLER_ADDRESS_MAX + 1];
	char local[PEER_TEXT_BYTES]; /* our end of it; "" of a Unix socket */
	/* Its id, 64 hex digits; "" if it is none that is known. */
	char container[CALLER_CONTAINER_MAX + 1];
	char name[CALLER_NAME_MAX + 1]; /* the container's */
	const char *key; /* name of the API key of this request, or NULL */

	/* caller.c's own. */
	struct peer_ends ends;
	bool is_identified;
	void (*forget)(void *ctx); /* NULL: nothing is expected */
	void *forget_ctx;
	void (*on_known)(void *ctx); /* NULL: nobody waits */
	void *on_known_ctx;
	struct uv_loop_s *loop;
	bool has_patience; /* `patience` was made */
	bool is_late;	   /* it ran out */
	struct timer patience;
};

/* By the way `door`; the stream is only asked who its peer is. The caller owns
 * it (caller_free). */
struct caller *caller_new(enum access_way door, struct stream *stream) must_use;
void caller_free(struct caller *c);
BASE_AUTO(caller);

/* A request of his came: takes back what only the last one told, and believes
 * what the front of the Docker socket tells of its client (Modeld-Caller, only
 * from a peer that is root or has our own user). */
void caller_begin(struct caller *c, const struct http_head *h);
/* Asks the kernel for the user at the other end of loopback, once. */
void caller_identify(struct caller *c);

/* Somebody was asked who he is: caller_learn() will come, unless `forget` was
 * called, which says that he has gone. */
void caller_expect(struct caller *c, struct uv_loop_s *loop,
		   void (*forget)(void *ctx), void *ctx);
/* What is not known is "" there; all strings fit the struct. */
struct caller_facts {
	struct str address, container, name;
};
/* NULL: it is not to be had. */
void caller_learn(struct caller *c, const struct caller_facts *f);

enum caller_outcome { CALLER_WAITS = 1 };

/* CALLER_WAITS: calls fn as soon as caller_learn() has told who he is, or after
 * LIMIT_HELPER_WHO_MS, once for all. One wait at a time. */
must_use int caller_wait(struct caller *c, void (*fn)(void *ctx), void *ctx);
void caller_wait_cancel(struct caller *c);

/* For the log: "uid=1000 pid=4711", "container=web/1a2b3c4d5e6f",
 * "address=172.17.0.5:40112", "way=containers", after them "key=ci"; gives buf.
 */
#define CALLER_TEXT_BYTES 192
const char *caller_text(const struct caller *c, char buf[CALLER_TEXT_BYTES]);

/* Whose prompts may share a cache with his; never "". At most
 * LIMIT_CACHE_ID_BYTES; gives buf. */
#define CALLER_CACHE_ID_BYTES 129
const char *caller_cache_id(const struct caller *c,
			    char buf[CALLER_CACHE_ID_BYTES]);
