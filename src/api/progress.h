/* progress.h - how far a pull or push is, told to its client: JSON, an event a
 * line, or (Docker Model Runner's way with clients that do not ask for exactly
 * application/json) the same lines HTML-escaped. Until the first of them a
 * failure has a status; then it is a line. */
#pragma once
#include "http/server.h"
#include "oci/digest.h"

/* Embedded in what the exchange's callbacks work on. */
struct progress {
	struct http_exchange *x;
	const char *mode; /* "pull", "push" */
	bool is_json;
	bool is_full; /* the client does not read: it misses some of it */
};

void progress_init(struct progress *p, struct http_exchange *x,
		   const char *mode);
/* For exchange_fns. */
void progress_on_drain(struct progress *p);

/* Of no layer. */
void progress_note(struct progress *p, const char *text);
void progress_warn(struct progress *p, const char *text);
/* Of one layer, `there` of its bytes; `verb` is "Downloaded". */
void progress_layer(struct progress *p, const char *verb,
		    const struct digest *d, uint64_t bytes, uint64_t there,
		    uint64_t total);

/* The last; the exchange is over when it returns. The codes of *e become those
 * that Docker Model Runner answers; `what` is for those that it has no word
 * for: "error while pulling model". A line says `"retry":true` of an error that
 * may pass (the registry, the network, or modeld itself goes away). */
void progress_done(struct progress *p, const char *text);
void progress_fail(struct progress *p, const struct err *e, const char *what);
