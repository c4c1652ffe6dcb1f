/* sse.h - server-sent events, both ways (WHATWG HTML, section 9.2).
 *
 * The decoder takes bytes as they come, cut anywhere, and gives whole events.
 * LF, CR and CRLF all end a line; comments are skipped; one event is bounded.
 */
#pragma once
#include "base/buf.h"
#include "base/err.h"

#define SSE_TYPE "text/event-stream"
#define SSE_DONE "data: [DONE]\n\n"

/* Appends `data: <text>\n\n`; text must be one line (JSON is). BUF_FULL leaves
 * the buffer as it was. */
must_use int sse_put(struct buf *out, struct str text);
/* A comment, which clients skip: keeps a silent connection alive. */
must_use int sse_put_comment(struct buf *out, const char *text);

struct sse_decoder {
	struct buf line;
	struct buf data;
	bool has_data;
	bool after_cr;
	bool at_start;
};

/* One event's data; borrowed for the call. The decoder must outlive it. */
typedef void (*sse_event_fn)(void *ctx, struct str data);

void sse_decoder_init(struct sse_decoder *d, size_t max_event_bytes);
void sse_decoder_fini(struct sse_decoder *d);
/* -1 if an event or a line is larger than the limit. */
must_use int sse_decode(struct sse_decoder *d, struct str bytes,
			sse_event_fn fn, void *ctx, struct err *e);
