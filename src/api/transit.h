/* transit.h - how far a pull or push is, told to its client: JSON, an event a
 * line, or (Docker Model Runner's way with clients that do not ask for exactly
 * application/json) the same lines HTML-escaped. Until the first of them a
 * failure has a status; then it is a line. */
#pragma once
#include "http/server.h"
#include "oci/digest.h"

/* Embedded in what the exchange's callbacks work on. */
struct transit {
	struct http_exchange *x;
	const char *mode; /* "pull", "push" */
	bool is_json;
	bool is_full; /* the client does not read: it misses some of it */
};

void transit_init(struct transit *p, struct http_exchange *x, const char *mode);
/* For exchange_fns. */
void transit_on_drain(struct transit *p);

/* Of no layer. */
void transit_note(struct transit *p, const char *text);
void transit_warn(struct transit *p, const char *text);
/* It waits for `others` of its kind ("pulls"), of which `most` run. */
void transit_wait(struct transit *p, int others, const char *plural, int most);
/* Of one layer, `there` of its bytes; `verb` is "Downloaded". */
void transit_layer(struct transit *p, const char *verb, const struct digest *d,
		   uint64_t bytes, uint64_t there, uint64_t total);

/* The last; the exchange is over when it returns. The codes of *e become those
 * that Docker Model Runner answers; `what` is for those that it has no word
 * for: "error while pulling model". A line says `"retry":true` of an error that
 * may pass (the registry, the network, or modeld itself goes away). */
void transit_done(struct transit *p, const char *text);
void transit_fail(struct transit *p, const struct err *e, const char *what);
