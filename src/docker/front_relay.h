/* front_relay.h - what the front does with one client's bytes and with the
 * answers to them: framing in, "send these there" out. Pure: no I/O.
 *
 * A client's requests are taken one after another. Each goes to one of two
 * worlds: to modeld if its path lies under FRONT_PREFIX, which is cut off, else
 * to Docker Engine exactly as it came. Request and answer flow at the same
 * time, and an answer may be over before its request is. An answer that takes
 * the connection over (101, or one of Docker's raw streams) makes both ways
 * pipes for good.
 *
 * The bytes stay with the caller. It calls with those at hand, carries the step
 * out, drops `used` of them and calls again, until the step is FRONT_MORE
 * (call again when there are more after those left) or FRONT_WAIT (their turn
 * comes when the exchange under way is over). */
#pragma once
#include "base/buf.h"
#include "http/chunk.h"
#include "http/frame.h"

#define FRONT_PREFIX "/exp/vDD4.40"
/* A request of this method is answered by the front alone, with 204: so one
 * sees whether the front works, whatever the Engine and modeld do. */
#define FRONT_PING "MODELD-PING * HTTP/1.1\r\n\r\n"
#define FRONT_PONG "HTTP/1.1 204 "

enum front_world { FRONT_ENGINE, FRONT_MODELD };

enum front_do {
	FRONT_MORE,
	FRONT_WAIT,
	FRONT_ASK,    /* write `bytes` to the world of the exchange */
	FRONT_ANSWER, /* write `bytes` to the client */
	FRONT_CLOSE,  /* the client gets FIN after what was written to it; what
			 it still sends is of no interest, nor the worlds */
};

struct front_step {
	enum front_do what;
	size_t used;
	struct str bytes; /* in the caller's, or in the relay until it is
			     called again */
};

/* Half a message. */
struct front_body {
	enum http_framing framing;
	uint64_t left;
	struct chunk_decoder chunks;
};

enum front_asking { FRONT_IDLE, FRONT_BODY, FRONT_ASKED, FRONT_TUNNEL };
enum front_answering {
	FRONT_SILENT, /* no exchange is under way */
	FRONT_HEAD,
	FRONT_ANSWERING,
	FRONT_ANSWERED, /* but its request is not over yet */
	FRONT_PIPE,
};

struct front_relay {
	enum front_asking asking;
	enum front_answering answering;
	enum front_world world;
	enum http_method method;
	bool keep_alive;	/* the client's connection, after this */
	bool is_first;		/* no request was seen yet */
	bool is_answer_started; /* the client has bytes of it */
	bool is_closed;		/* FRONT_CLOSE was said */
	struct front_body request, answer;
	size_t seen_request, seen_answer; /* of a head that is not whole */
	struct buf own;			  /* bytes that nobody sent so */
	char caller[64];		  /* value of Modeld-Caller */
	const char *docker; /* the Docker socket's name, for messages */
};

/* `docker` is borrowed as long as the relay lives. */
void front_relay_init(struct front_relay *r, unsigned uid, int pid,
		      const char *docker);
void front_relay_fini(struct front_relay *r);

/* Bytes of the client. */
void front_relay_ask(struct front_relay *r, struct str in,
		     struct front_step *out);
/* Bytes of the world that is asked; only while front_relay_is_busy(). */
void front_relay_answer(struct front_relay *r, struct str in,
			struct front_step *out);
/* That world sends no more. FRONT_ANSWER with no bytes and a FRONT_PIPE: the
 * client gets FIN, and goes on sending. Else FRONT_CLOSE. */
void front_relay_answer_end(struct front_relay *r, struct front_step *out);
/* That world cannot be reached: FRONT_ANSWER of 503, then call
 * front_relay_ask(), which closes. */
void front_relay_unreachable(struct front_relay *r, struct front_step *out);
/* Is an exchange under way? */
bool front_relay_is_busy(const struct front_relay *r);
