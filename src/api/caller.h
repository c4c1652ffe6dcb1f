/* caller.h - who is at the other end of a connection, as far as can be known.
 *
 * One for each connection: made when it is accepted, the server's visitor,
 * freed when it is closed. What only a request tells (the Docker socket's front
 * for its client, an API key) is there from caller_begin() or the check of the
 * key until that request is over. */
#pragma once
#include "api/access.h"

struct http_head;
struct stream;

struct caller {
	enum access_way way;  /* of this request: docker is told by its head */
	enum access_way door; /* of the listener */
	/* Local sockets; of docker: the front's client. */
	bool has_uid;
	unsigned uid;
	int pid; /* 0 if not known */
	/* The connection's own end, by SO_PEERCRED; see caller_begin(). */
	bool has_peer;
	unsigned peer_uid;
	int peer_pid;
	char address[64];   /* IP:port, or what the helper found; "" if none */
	char container[65]; /* its id, 64 hex digits; "" if it is none of ours
			     */
	char name[64];	    /* the container's */
	const char *key;    /* name of the API key of this request, or NULL */
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

/* For the log: "uid=1000 pid=4711", "container=web/1a2b3c4d5e6f",
 * "address=172.17.0.5:40112", after them "key=ci"; gives buf. */
#define CALLER_TEXT_BYTES 192
const char *caller_text(const struct caller *c, char buf[CALLER_TEXT_BYTES]);

/* Whose prompts may share a cache with his: "" is everybody's without a name of
 * their own. At most LIMIT_CACHE_ID_BYTES; gives buf. */
#define CALLER_CACHE_ID_BYTES 129
const char *caller_cache_id(const struct caller *c,
			    char buf[CALLER_CACHE_ID_BYTES]);
