/* server_priv.h - what server.c, conn.c and exchange.c share.
 *
 * server.c owns the connections and their clock, conn.c is the life of one
 * connection (what comes in), exchange.c the answer (what goes out). */
#pragma once
#include "base/buf.h"
#include "base/list.h"
#include "http/chunk.h"
#include "http/server.h"
#include "io/timer.h"

#include <time.h>

struct http_server {
	struct uv_loop_s *loop;
	const struct http_server_fns *fns;
	void *ctx;
	struct http_limits limits;
	struct list conns;   /* conn.link */
	struct list checked; /* conn.link; empty but inside on_clock() */
	struct list ready;   /* conn.ready_link: have input to look at */
	size_t open;	     /* exchanges */
	size_t bodies_bytes; /* collected by them */
	bool is_draining;
	struct timer clock; /* for the earliest deadline, or an earlier time */
	uint64_t clock_due;
	struct timer soon;		 /* for `ready` */
	struct http_exchange *spares[8]; /* owned; used ones, for reuse */
	size_t n_spares;
	struct buf head; /* of the answer being written */
	time_t date_at;
	char date[40]; /* "Date: ...CRLF" */
};

enum conn_state {
	CONN_IDLE,   /* nothing of a request is here */
	CONN_HEAD,   /* a part of a head is */
	CONN_BODY,   /* an exchange is open, its body not all read */
	CONN_ANSWER, /* an exchange is open, its request was read whole */
	CONN_SKIP,   /* answered; the rest of the body is thrown away */
	CONN_LINGER, /* we sent FIN and wait for the client's */
	CONN_DEAD,   /* closed; freed as soon as nothing holds it */
};

struct conn {
	struct http_server *server;
	struct list link;
	struct list ready_link;
	struct stream *stream; /* owned */
	struct listener *from; /* told when we go; may be NULL */
	void *visitor;	       /* the server's caller knows; may be NULL */
	enum conn_state state;
	bool is_held; /* a function of conn.c below us will look at us again */
	bool is_paused;		  /* the stream is */
	bool is_fin;		  /* the client sent FIN */
	struct http_exchange *x;  /* owned; in CONN_BODY and CONN_ANSWER */
	struct stream_peer *peer; /* owned; NULL until asked for */
	struct str input;	  /* while running: not looked at yet */
	struct buf in;		  /* what of it had to be kept */
	uint64_t body_left;	  /* in CONN_BODY with a length, CONN_SKIP */
	uint64_t lingered;	  /* bytes thrown away in CONN_LINGER */
	uint64_t due;		  /* of this state, 0 for none */
	uint64_t stall_due;	  /* of the writes that wait, 0 for none */
	uint64_t written;	  /* bytes given to the stream */
	uint64_t stall_mark;	  /* bytes the kernel had when set */
	uint64_t fin_mark;
};

/* Who wants the request's body. */
enum body_mode {
	BODY_UNDECIDED,
	BODY_COLLECT,
	BODY_STREAM,
	BODY_DELIVERED, /* its end was told */
};

struct http_exchange {
	struct buf fields; /* of the answer: lines that end in CRLF */
	/* All from here to `head` is cleared for the next use. */
	struct conn *conn;
	struct url_target target;
	struct arena arena;
	uint64_t started_ns;
	void *user;
	const struct exchange_fns *fns; /* may be NULL */
	void *fns_ctx;

	enum body_mode mode;
	bool expects_continue; /* and has not been told yet */
	bool is_body_paused;
	uint64_t body_max; /* 0: none */
	uint64_t body_bytes;
	exchange_body_fn body_fn;
	void *body_ctx;
	struct chunk_decoder chunks;
	struct buf body;

	int status;	  /* 0 until the answer is started */
	bool is_bodyless; /* HEAD, 204, 304: what is written is dropped */
	bool is_chunked;
	bool is_unframed; /* to HTTP/1.0: it ends where the connection does */
	bool is_last;	  /* the connection ends with this answer */
	uint64_t left;	  /* of a length that was announced */
	uint64_t sent_bytes;

	struct http_head head; /* last: large, and cleared by its parser */
};

/* ---- server.c ---- */

/* The clock will look at all deadlines no later than `due`. */
void server_watch(struct http_server *s, uint64_t due);
/* conn_run() will be called from the loop. */
void server_run_soon(struct http_server *s, struct conn *c);
/* A cleared exchange, and the way back. */
struct http_exchange *server_take_exchange(struct http_server *s);
void server_put_exchange(struct http_server *s, struct http_exchange *x);
struct str server_date(struct http_server *s);

/* ---- conn.c ---- */

void conn_new(struct http_server *s, struct stream *stream, void *visitor,
	      struct listener *from);
/* Looks at what was kept of the input, as far as the state allows. */
void conn_run(struct conn *c);
/* Acts on what is past its deadline; gives the next one, or 0. */
uint64_t conn_check(struct conn *c, uint64_t now);
/* The answer was ended: on to the next request, or to the end. */
void conn_answered(struct conn *c, bool is_last);
/* Closes now. An open exchange hears of it by on_gone if `is_gone`. */
void conn_close(struct conn *c, bool is_gone);
/* Is so much of the body to come that we would rather close? */
bool conn_is_body_long(const struct conn *c);
/* Writes to the client and watches that it reads. */
int conn_write(struct conn *c, const struct str *parts, size_t n);

/* ---- exchange.c ---- */

/* Frees the exchange after on_over; the connection forgets it first. */
void exchange_over(struct http_exchange *x);
/* The server's own answer to a bad request; it ends the connection. The
 * handler, if it has seen the exchange, is told that it is gone. */
void exchange_refuse(struct http_exchange *x, const struct err *e);
