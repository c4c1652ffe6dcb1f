/* registry.h - the places where one repository can be had: mirrors in their
 * order, then the registry itself; each with its scheme, its credentials, and
 * what it may lead us to.
 *
 * docker.io is registry-1.docker.io. Plain http is for what is on this machine
 * (localhost, 127.0.0.0/8, [::1]), *.local, and the registries that
 * INSECURE_REGISTRY names ("true": all). On this machine https is tried where
 * plain http finds no registry. Mirrors are for docker.io; they get no
 * credentials but those stored for themselves. */
#pragma once
#include "io/transfer.h"
#include "oci/auth.h"
#include "oci/ref.h"

struct registry_settings {
	const char *default_registry; /* or NULL: docker.io */
	const char *insecure;	      /* "true", or HOST[:PORT],...; or NULL */
	const char *mirrors;	      /* URL,...; or NULL */
};

/* What all share. */
struct registry_set {
	struct uv_loop_s *loop;
	struct transfer_pool *transfers; /* owned */
	struct tokencache tokens;
	struct registry_settings settings; /* strings owned */
};
struct registry_set *registry_set_new(
	struct uv_loop_s *loop, const struct registry_settings *s) must_use;
/* For what begins from now on. */
void registry_set_change(struct registry_set *r,
			 const struct registry_settings *s);
void registry_set_free(struct registry_set *r);
BASE_AUTO(registry_set);

struct registry_place {
	struct weburl url; /* its target is the path before "/v2/", or "" */
	struct reach reach;
	struct auth *auth; /* owned */
	bool is_mirror;
	bool may_be_https; /* not known yet */
};

/* What a server says when it refuses; all borrowed for the call. */
struct registry_refusal {
	const struct registry *registry;
	const char *place; /* HOST[:PORT] that answered */
	bool is_own;	   /* it is the server itself, not where it led us */
	int status;
	const char *code, *message; /* X-Error-Code, X-Error-Message; or "" */
	unsigned retry_after_ms;
};
/* Changes *e, which is complete, to better words. */
typedef void (*registry_explain_fn)(const struct registry_refusal *r,
				    struct err *e);

struct registry {
	struct registry_set *all;
	int uses;
	char *name;	  /* owned; "docker.io", HOST[:PORT] */
	char *repository; /* owned */
	char *root;	  /* owned; "/v2/REPOSITORY/": all paths begin so */
	registry_explain_fn explain; /* NULL: it is a registry */
	bool has_bearer;
	struct registry_place *places;
	size_t n;
	size_t at; /* the place in use: the first that has not failed */
};

/* `bearer` (or NULL) is for the registry itself. Held once. */
must_use int registry_open(struct registry_set *all, const struct ref *r,
			   const char *bearer, struct registry **out,
			   struct err *e);
/* A server that is no registry but is asked in the same way: what lies under
 * `url`, without challenges. `repository` is for messages; `bearer` (or NULL)
 * goes to the URL's origin only. Held once. */
must_use int registry_open_url(struct registry_set *all,
			       const struct weburl *url, const char *repository,
			       const char *bearer, registry_explain_fn explain,
			       struct registry **out, struct err *e);
/* For a push: the registry itself, no mirror, and tokens that allow to write
 * here and to read from `n` other repositories. Before the first request. */
void registry_want_push(struct registry *r, char *const *from, size_t n);
struct registry *registry_hold(struct registry *r);
void registry_release(struct registry *r);
struct registry_place *registry_place(struct registry *r);
/* Gives up the place in use, if there is one after it. */
bool registry_next(struct registry *r);

/* Pure: is this registry spoken to in plain http? */
bool registry_is_plain(const char *name, const char *insecure);
