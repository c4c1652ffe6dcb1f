/* credentials.h - who we are to a registry, as Docker's own programs know it:
 *
 *   DOCKER_HUB_USER and DOCKER_HUB_PASSWORD     for Docker Hub
 *   DOCKER_USERNAME and DOCKER_PASSWORD         for the default registry
 *   config.json in DOCKER_CONFIG or ~/.docker   credHelpers, then credsStore,
 *                                               then auths
 *
 * The first that has something wins. (Docker Model Runner offers the variables
 * to every registry, which hands Docker Hub's password to strangers.) A helper
 * is a program docker-credential-NAME; one that hangs is killed. */
#pragma once
#include "base/err.h"
#include "base/str.h"

struct uv_loop_s;

/* All strings owned, or NULL. */
struct credentials {
	char *user;
	char *secret;	/* the password, for `user` */
	char *identity; /* or a refresh token instead */
};
void credentials_fini(struct credentials *c);

struct credentials_query;
/* Nothing found is no failure: then *c is empty. What *c holds is the callee's
 * to take (steal) or leave. */
typedef void (*credentials_fn)(void *ctx, struct credentials *c);

/* `registry` is "docker.io" or HOST[:PORT]; `default_registry` may be NULL.
 * `fn` never comes before this returns. */
struct credentials_query *credentials_find(struct uv_loop_s *loop,
					   const char *registry,
					   const char *default_registry,
					   credentials_fn fn,
					   void *ctx) must_use;
/* No callback comes after. */
void credentials_cancel(struct credentials_query *q);

/* ---- the parts, pure ---- */

/* What a config.json says for a server ("https://index.docker.io/v1/" or
 * HOST[:PORT]): a helper's name (owned), or credentials. */
void credentials_parse_config(struct str text, const char *server,
			      char **out_helper, struct credentials *out);
/* What a helper prints: {"Username","Secret"}. */
void credentials_parse_helper(struct str text, struct credentials *out);
