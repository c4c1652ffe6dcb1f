/* waysin.h - every way in to modeld: its URL, and whether it is open, found by
 * asking modeld and by trying. */
#pragma once
#include "base/err.h"
#include "base/json.h"

struct connection;

#define WAYSIN_PREFIX "/exp/vDD4.40"

/* Does modeld answer at this base URL ("http://...", "unix:...")? -1 says what
 * came instead. */
must_use int waysin_try(const char *base, const char *path, struct err *e);
/* A URL of modeld's, with TLS or without, that programs on this host reach by
 * loopback: an address of it, or every address. */
bool waysin_is_on_host(const char *url);
/* [{"way": "host", "url": ..., "state": "open"} ...]. `version` is what modeld
 * tells at GET /version, or NULL; `c` NULL: modeld-docker is not installed. The
 * caller owns it. */
json_t *waysin_list(const json_t *version, const struct connection *c) must_use;
/* The same of a server on another machine, where nothing can be tried. */
json_t *waysin_told(const json_t *version) must_use;
/* Does modeld keep containers out? */
bool waysin_is_off(const json_t *version);
/* After a connect: waits a while until containers and the Docker socket reach
 * modeld, if that runs, and prints the URLs. -1: one does not. */
must_use int waysin_await(const struct connection *c, bool modeld_runs,
			  struct err *e);
