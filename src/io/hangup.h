/* hangup.h - what a Unix socket still tells after it sent FIN, or broke.
 *
 * A stream that was read to its end says no more by itself, yet its peer may
 * only have finished sending. hangup_watch() tells when it is gone altogether,
 * at once and without a look at the clock. hangup_rest() gives what the peer
 * had sent before a write to it failed. */
#pragma once
#include "base/base.h"
#include "base/str.h"
#include "io/stream.h"

struct hangup_set;

/* Embedded in its user, who stops it before the stream is freed. */
struct hangup {
	struct hangup_set *set; /* NULL: not watched */
	int fd;
	void (*fn)(void *ctx);
	void *ctx;
};

/* One for a loop. */
struct hangup_set *hangup_set_new(struct uv_loop_s *loop);
void hangup_set_free(struct hangup_set *set);

/* Calls back once, in a turn to come, when `s`, which is open, is closed both
 * ways. Again on one that is watched: nothing happens. */
void hangup_watch(struct hangup *h, struct hangup_set *set, struct stream *s,
		  void (*fn)(void *ctx), void *ctx);
void hangup_stop(struct hangup *h);

/* Reads past the stream, which has failed: 0 when there is no more. */
size_t hangup_rest(struct stream *s, char *out, size_t n);
