/* download_priv.h - the two halves of a download: download.c decides (who
 * waits, what next, what after a failure), stream.c moves the bytes of one
 * connection to the disk. */
#pragma once
#include "base/buf.h"
#include "base/limits.h"
#include "io/timer.h"
#include "oci/download.h"
#include "oci/fetch.h"
#include "oci/partial.h"

/* One connection. Bytes gather in one buffer while a job writes the other. */
struct download_stream {
	struct download *d;
	struct fetch *fetch; /* NULL: nothing comes */
	bool is_open;	     /* it has something to do, or to write */
	bool is_ended;	     /* all has come, the rest is being written */
	bool is_paused;
	bool is_everything; /* the answer is the whole blob, no range */
	size_t chunk;
	uint64_t skip; /* bytes that are there already, of such an answer */
	uint64_t at;   /* where the next byte of the network belongs */
	uint64_t end;  /* where the last one ends */
	uint64_t written_at; /* where the next byte to write belongs */
	struct buf fill, out;
	bool is_writing;
	struct lane_job job;
};

enum download_ranges { RANGES_UNKNOWN, RANGES_YES, RANGES_NO };

struct download {
	struct list link;
	struct download_set *all;
	struct registry *registry; /* held */
	struct digest blob;
	uint64_t bytes;
	struct list watches;
	struct partial *partial; /* NULL: not open yet */
	struct ranges have;
	struct partial *opened; /* what the opening job makes of them */
	struct ranges found;
	enum download_ranges ranges;
	bool has_location;
	struct weburl location; /* where the registry keeps it */
	struct download_stream streams[LIMIT_PULL_STREAMS];
	int max_streams;
	int jobs;	   /* running */
	bool is_at_work;   /* `job` runs: opening, hashing, publishing */
	bool is_changing;  /* `change` runs, which no write may */
	bool is_closing;   /* nobody waits, or it failed */
	bool is_resumed;   /* some bytes are of an earlier time */
	int failures;	   /* in a row */
	uint64_t got;	   /* bytes since the last failure */
	struct err failed; /* why streams stop, once one has failed */
	bool has_failed;
	unsigned pause_ms; /* that the registry wants */
	struct timer pause;
	uint64_t hash_until; /* what the hashing job works up to */
	struct lane_job job, change;
	char *path; /* owned; "blobs/sha256:..." */
};

void download_stream_init(struct download_stream *s, struct download *d);
/* Starts on s->chunk. */
void download_stream_start(struct download_stream *s);
/* Writes on, when d->is_changing has ended. */
void download_stream_go_on(struct download_stream *s);
/* Drops what has not been written. A job of it may still run. */
void download_stream_stop(struct download_stream *s);
void download_stream_fini(struct download_stream *s);

/* download.c: what a stream has to tell, as the last thing it does. */
void download_on_head(struct download *d, struct download_stream *s);
void download_on_bytes(struct download *d);
void download_on_done(struct download *d, struct download_stream *s);
void download_on_fail(struct download *d, struct download_stream *s,
		      const struct err *e);
