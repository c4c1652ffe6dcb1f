/* record.h - one request to a model and its answer, as GET /engines/requests
 * shows it.
 *
 * While it is under way its owner appends; once it has ended it is not changed
 * any more, so that another thread may print it. Counted by its holders, on the
 * loop's thread. */
#pragma once
#include "base/buf.h"
#include "base/list.h"

struct record_facts {
	const char *model_id; /* "sha256:...", or an engine's own name */
	const char *model;    /* as the client wrote it */
	const char *method, *url;
	const char *caller;
	const char *config;	       /* the model's settings; a JSON object */
	struct str user_agent, origin; /* "": none */
};

struct record {
	struct list age_link, group_link; /* the recorder's */
	struct list open_link;
	char *model_id, *model, *method, *url, *caller, *config, *user_agent,
		*origin;    /* owned */
	int64_t started_ns; /* Unix time */
	size_t text_bytes;  /* of the strings above */
	struct buf request, answer;
	uint64_t request_cut, answer_cut; /* bytes that were left out */
	bool is_stream;
	int status;
	char *failure; /* owned; an error object, or NULL */
	size_t holders;
};

struct record *record_new(const struct record_facts *f) must_use;
void record_hold(struct record *r);
void record_drop(struct record *r); /* NULL is fine */
/* What it takes in memory. */
size_t record_bytes(const struct record *r);
/* As one object. Any thread, after its end. */
must_use int record_print(const struct record *r, struct buf *out);
