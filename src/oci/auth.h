/* auth.h - what goes into Authorization for one registry and repository: Basic,
 * or a bearer token fetched from the realm that the registry's challenge names
 * (docker's token specification), with a refresh token if there is one.
 *
 * Credentials are looked up when a challenge first asks for them. They go to
 * the registry itself and to its realm, in clear only to the registry's own
 * host, and along no redirect to another place. Where a realm may be: reach.h.
 */
#pragma once
#include "base/list.h"
#include "io/transfer.h"
#include "oci/challenge.h"
#include "oci/reach.h"
#include "oci/tokencache.h"

struct auth;

struct auth_config {
	struct uv_loop_s *loop;
	struct transfer_pool *transfers;
	struct tokencache *tokens;
	const char *registry; /* whose credentials: "docker.io", HOST[:PORT] */
	const char *default_registry; /* or NULL */
	const char *repository;
	/* A token that the client of modeld gave, or NULL: nothing else is
	 * used then. */
	const char *bearer;
	/* All outlive it. */
	const struct weburl *url;
	const struct reach *reach;
};

struct auth *auth_new(const struct auth_config *config) must_use;
void auth_free(struct auth *a);

/* Tokens are asked for these scopes too, whatever the challenge says of this
 * repository; separated by spaces. Before the first request. */
void auth_want(struct auth *a, const char *scopes);

/* "Authorization: ..." for the registry's own origin, or NULL. Borrowed until
 * auth_answer(). The number tells one from the next. */
const char *auth_field(const struct auth *a, unsigned *number);

/* Somebody who waits for auth_answer(). */
struct auth_wait {
	struct list link;
	void (*fn)(void *ctx, int outcome, const struct err *e);
	void *ctx;
};

enum auth_outcome { AUTH_NOW = 1 };

/* The registry refused a request that carried field `number` with this
 * challenge. AUTH_NOW: there is a newer field already, try again. 0: w->fn
 * says, perhaps before this returns. -1: nothing can be done (ERR_AUTH). */
must_use int auth_answer(struct auth *a, const struct challenge *c,
			 unsigned number, struct auth_wait *w, struct err *e);
/* Waits no longer. */
void auth_leave(struct auth_wait *w);
