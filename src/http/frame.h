/* frame.h - where messages begin and end, and nothing else: for a relay that
 * passes heads on as they came.
 *
 * As strict as head.h about all that says how long a message is, since two
 * readings of that are request smuggling; the rest (hosts, targets, how many
 * fields) is for the server behind to judge. Heads may have any size: the
 * caller names the ceiling. Pure; all strings point into the caller's bytes. */
#pragma once
#include "http/head.h"

struct http_frame {
	/* Requests. */
	enum http_method method;
	struct str method_text;
	struct str target;
	/* Responses. */
	int status;
	struct str type; /* Content-Type, the first one; or empty */
	/* Both. */
	struct str fields; /* every field's line with its CR LF */
	int minor;
	enum http_framing framing;
	uint64_t length;
	bool keep_alive;
};

enum frame_outcome { FRAME_MORE = 1 };

/* Looks for the end of the head that `bytes` begin with; *end gets its length.
 * One empty line before a request belongs to it. *seen, 0 at first, remembers
 * how far was looked, so that a head that trickles in costs little; after
 * FRAME_MORE, call again with the same bytes and more. -1: it is no head, or
 * has `max` bytes and no end. */
must_use int frame_find(struct str bytes, size_t max, size_t *seen, size_t *end,
			struct err *e);
/* `head` is a whole head as frame_find() found it. -1: e's code tells the
 * status to answer (400, 501, 505), and nothing after it can be trusted. */
must_use int frame_request(struct str head, struct http_frame *out,
			   struct err *e);
/* `to` is the method that this answers. */
must_use int frame_response(struct str head, enum http_method to,
			    struct http_frame *out, struct err *e);
/* The next field's whole line out of *fields, and its name. */
bool frame_next_field(struct str *fields, struct str *line, struct str *name);
