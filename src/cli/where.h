/* where.h - which server the commands talk to.
 *
 * MODEL_RUNNER_HOST if it is set; else the daemon's own socket: the one that
 * MODEL_RUNNER_SOCK names, the user's, the system's; else localhost:12434.
 * A socket file behind which nobody accepts is passed over. With
 * MODEL_RUNNER_TLS=true it is TLS or nothing: the host that is named, or
 * localhost:12444. */
#pragma once
#include "base/err.h"
#include "http/url.h"

#define WHERE_PORT_URL "http://localhost:12434"
#define WHERE_TLS_URL "https://localhost:12444"

enum where_kind { WHERE_HOST, WHERE_SOCKET, WHERE_PORT, WHERE_URL };

struct where {
	enum where_kind kind;
	struct url_base base;
	char text[512]; /* as a person would write it */
	/* A daemon's socket is there and we may not use it; or "". */
	char denied[128];
};

must_use int where_find(struct where *out, struct err *e);
/* Some OpenAI API, as --openaiurl gives it. */
must_use int where_parse(const char *url, struct where *out, struct err *e);
/* Docker Model Runner's words for how it was found. */
const char *where_engine(const struct where *w);
/* Sets *e to: nobody answers there, and what to do. `cause` is the last thing
 * that went wrong. Returns -1. */
int where_unreachable(const struct where *w, const char *cause, struct err *e);
/* The same when somebody answers, but not as TLS asks of him. */
int where_distrusted(const struct where *w, const char *cause, struct err *e);
