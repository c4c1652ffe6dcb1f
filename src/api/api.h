/* api.h - what HTTP clients see: access, routes, handlers, counting.
 *
 * Sits between the HTTP server and the store and engines; every endpoint is a
 * row of routes.c. */
#pragma once
#include "api/access.h"
#include "api/journal.h"
#include "api/metrics.h"
#include "base/json.h"
#include "engine/engine.h"
#include "http/router.h"
#include "http/server.h"
#include "model/catalog.h"

struct uv_loop_s;

/* What the handlers work with; all borrowed, and outliving the server. */
struct api {
	struct uv_loop_s *loop;
	struct http_server *server;
	struct store *store;
	struct catalog *catalog;
	struct pull_set *pulls;
	struct push_set *pushes;
	struct hub *hub;
	struct lane *bulk;   /* for what reads or writes whole models */
	struct brake *brake; /* that it waits at */
	struct engine_set *engines;
	struct tunings *tunings; /* of models */
	struct list preloads;	 /* configure.c's */
	struct journal *journal;
	struct recorder *recorder;
	struct metrics *metrics;
	struct access *access;
	json_t *listen;	   /* where it listens, for GET /version: URLs */
	json_t *places;	   /* and where its files are: members for it */
	bool has_metrics;  /* serves GET /metrics */
	bool shares_cache; /* all callers use one cache of prompts */
	bool is_draining;  /* not ready for new work */
};

/* For http_server_new(), with the api as context; every connection's visitor is
 * a struct caller (caller.h), freed here. */
extern const struct http_server_fns api_server_fns;

/* The engine that a path names; NULL with ERR_NOT_FOUND. Not to be kept without
 * a lease: a reload of the configuration may end it. */
struct engine *api_find_engine(struct api *api, struct str name, struct err *e);

struct key;
/* The key that a request came with; NULL if none was needed. */
struct key *api_key(const struct http_exchange *x);
/* May its caller call this class too? */
bool api_may(const struct http_exchange *x, enum access_class c);

/* Takes the model with this id (NULL: every model) in this mode (NULL: in any)
 * out of the memory of this engine ("": of all); gives how many instances that
 * ends. */
size_t api_unload(struct api *api, struct str engine, const char *id,
		  const enum engine_mode *mode);

/* A handler that names the moment its first byte went out, for the metrics. */
void api_mark_first_byte(struct http_exchange *x);
