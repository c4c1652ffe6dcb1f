/* stream_priv.h - what stream.c shares with connect.c and listener.c. */
#pragma once
#include "base/buf.h"
#include "base/limits.h"
#include "io/stream.h"

#include <uv.h>

/* What the streams of one loop share; it is the loop's data pointer, and goes
 * with the last stream. One buffer to read into is enough, since on_data takes
 * all before the next read; so an idle connection holds none.
 *
 * What is written while an on_data runs is gathered in `cork` and leaves in one
 * system call when that on_data is over: the parts of a small answer, or the
 * pieces that one read of a proxied answer was made of. */
struct stream_loop {
	size_t users;
	bool is_gathering;
	struct stream *corked; /* whose bytes these are, or NULL */
	size_t cork_n;
	char cork[16 << 10];
	char read[LIMIT_READ_BYTES];
};

struct stream_write;
struct connect;
struct stream_filter;

/* What stands between the owner's bytes and the socket's: TLS (tls.c). It is
 * begun when the connection is open, and until it says stream_shaken() what the
 * owner writes waits, and reading goes on whether the owner wants it or not. */
struct stream_filter_fns {
	void (*begin)(struct stream_filter *f);
	/* Bytes from the socket; none: look again at those that were kept. */
	void (*input)(struct stream_filter *f, struct str data);
	/* The peer sent FIN. */
	void (*input_end)(struct stream_filter *f);
	/* The owner reads again: stream_read_start(), now or later. */
	void (*resume)(struct stream_filter *f);
	/* Makes bytes for the socket of the owner's, in s->sealed. */
	void (*seal)(struct stream_filter *f, struct str plain);
	/* The same of the end, which comes before FIN. */
	void (*seal_end)(struct stream_filter *f);
	void (*free)(struct stream_filter *f);
};

struct stream_filter {
	const struct stream_filter_fns *fns;
	struct stream *s;
};

struct stream {
	union {
		uv_handle_t any;
		uv_stream_t io;
		uv_tcp_t tcp;
		uv_pipe_t pipe;
	} uv;
	struct stream_loop *shared;
	const struct stream_fns *fns; /* NULL: the owner has let go */
	void *ctx;
	struct connect *connecting;   /* owned; NULL once open */
	struct stream_write *writing; /* libuv has it; NULL: none */
	struct buf waiting;	      /* goes when `writing` is done */
	bool is_full;		      /* the owner waits for on_drain */
	bool is_finishing;	      /* FIN when all is written */
	bool is_reading;	      /* or will be, once open */
	bool is_ended;		      /* the peer sent FIN */
	bool is_failed;
	bool is_broken; /* closing is to look like a fault */
	/* NULL: bytes go as they are. Owned. */
	struct stream_filter *filter;
	bool is_shaking; /* the filter has not said stream_shaken() yet */
	bool has_sealed_end;
	struct buf sealed;	    /* what the filter made for the socket */
	void (*on_open)(void *ctx); /* to be told when it is shaken */
};

/* A stream with an open libuv handle of this kind and no descriptor yet. */
struct stream *stream_new(struct uv_loop_s *loop, bool is_unix);
/* Closes the handle and opens a fresh one, then calls connect_again(), unless
 * the stream was freed meanwhile. */
void stream_renew(struct stream *s);
/* Connected: what was written meanwhile goes out. `on_open` (may be NULL) is
 * called last, with a filter when that is ready. */
void stream_opened(struct stream *s, void (*on_open)(void *ctx));
void stream_fail(struct stream *s, const struct err *e);
/* For filters. From now on everything goes through `f`, which becomes the
 * stream's; before the first byte. */
void stream_set_filter(struct stream *s, struct stream_filter *f);
/* The filter is ready. Its owner may have freed the stream on return, which
 * shows in s->fns being NULL; the memory lives until the loop's next turn. */
void stream_shaken(struct stream *s);
/* Sends s->sealed, as far as the kernel takes it now; the rest follows. */
void stream_send_sealed(struct stream *s);
void stream_read_start(struct stream *s);
/* Bytes for the filter's input(), or none; what is written meanwhile leaves
 * together. */
void stream_input(struct stream *s, struct str data);
/* The peer will send nothing more: tells the owner. */
void stream_ended(struct stream *s);
/* The next connection waiting at a listening handle; NULL if it went. */
struct stream *stream_accept(uv_stream_t *server, bool is_unix);

/* connect.c: -1 if `address` is none. *is_unix tells the kind of handle. */
must_use int connect_new(const char *address, void (*on_open)(void *ctx),
			 struct connect **out, bool *is_unix, struct err *e);
void connect_start(struct connect *c, struct stream *s);
/* Tries the next address, or fails the stream if there is none. */
void connect_again(struct connect *c);
/* Frees it, as soon as libuv has no more part in it. */
void connect_free(struct connect *c);
BASE_AUTO(connect);
