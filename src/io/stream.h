/* stream.h - a byte stream (TCP or Unix socket) that says when it is full.
 *
 * Reading is pushed: on_data gets bytes while reading is on. Writing is never
 * refused, but STREAM_FULL tells the writer to stop its source until on_drain.
 * A stream belongs to one owner, who ends it with stream_free() at any moment,
 * also inside a callback: no callback comes after it, and libuv's closing is
 * waited for inside. Every callback is the last thing the stream does. What is
 * written while an on_data runs leaves together when that returns, so writing
 * an answer in small parts is cheap.
 *
 * The loop's data pointer (uv_loop_set_data) belongs to this file. */
#pragma once
#include "base/err.h"
#include "base/str.h"

struct stream;
struct uv_loop_s;

enum stream_outcome { STREAM_FULL = 1 };

struct stream_fns {
	/* Bytes arrived; `data` is borrowed for the call, take or copy all of
	 * it. stream_pause() inside takes effect before the next call. */
	void (*on_data)(void *ctx, struct str data);
	/* The peer will send nothing more (FIN); we may still write. */
	void (*on_end)(void *ctx);
	/* After STREAM_FULL, or after a stream_finish() that found bytes
	 * queued: the queue is empty again. */
	void (*on_drain)(void *ctx);
	/* Broken (reset, timed out, refused): nothing goes either way now. The
	 * owner still has to free the stream. */
	void (*on_fail)(void *ctx, const struct err *e);
};

/* Where to connect: "unix:/path" or "HOST:PORT" ("[::1]:80" too). */
#define STREAM_UNIX_PREFIX "unix:"

/* Starts to connect; `on_open` comes when it is done (a failure comes as
 * on_fail). Host names are looked up on libuv's thread pool, and every address
 * of a name is tried in turn. Writes may be queued before it is open. -1 only
 * for an address that is no address. The stream is the caller's. */
must_use int stream_connect(struct uv_loop_s *loop, const char *address,
			    const struct stream_fns *fns, void *ctx,
			    void (*on_open)(void *ctx), struct stream **out,
			    struct err *e);

/* Who reads from now on, and what; an accepted stream does not read yet. */
void stream_set_fns(struct stream *s, const struct stream_fns *fns, void *ctx);
void stream_resume(struct stream *s);
void stream_pause(struct stream *s);

/* Takes all the parts, in order, copying what the kernel does not take at
 * once. STREAM_FULL: taken, but stop until on_drain. */
int stream_write(struct stream *s, const struct str *parts, size_t n);
/* Bytes queued here and not yet in the kernel. */
size_t stream_queued(const struct stream *s);
/* FIN after what is queued; on_drain comes then if stream_queued() is not 0
 * when this returns. Reading goes on. */
void stream_finish(struct stream *s);
/* From now on closing tells the peer (of TCP) that something went wrong. */
void stream_break(struct stream *s);
/* Closes now; what is queued is dropped. NULL is fine. */
void stream_free(struct stream *s);
BASE_AUTO(stream);

/* The other end of a Unix socket, from the kernel at the time it connected. */
struct stream_peer {
	bool is_unix;
	int pid; /* 0 if not known */
	unsigned uid, gid;
	char address[64]; /* "127.0.0.1:55020", "" for a Unix socket */
};
void stream_get_peer(struct stream *s, struct stream_peer *out);
