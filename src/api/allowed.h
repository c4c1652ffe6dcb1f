/* allowed.h - which models a key may use, and see in lists.
 *
 * A pattern is a name as people write it, in which '*' is any text: "team/x*",
 * "smollm2", "hf.co/org/q*:Q4_*". Without a tag it means every tag. A model is
 * allowed when one of its names is, whichever it is asked for by; one without
 * names only to who may use every model. */
#pragma once
#include "api/api.h"

struct key;

struct allowed {
	char **patterns;      /* borrowed, ended by NULL; NULL: every model */
	const char *registry; /* of names that have none */
};

/* True for every model of the pattern list of the key (NULL: no key). */
struct allowed allowed_by(const struct api *api, const struct key *k);
/* The same for a job, which may outlive a change of the key. */
struct allowed allowed_copy(const struct allowed *from, struct arena *a);

/* One that the store has; one that an engine elsewhere has, or nobody. */
bool allowed_model(const struct allowed *by, const struct catalog_model *m);
bool allowed_name(const struct allowed *by, struct str name);

/* May somebody else's name of a model be shown to this caller? */
bool allowed_tag(const struct allowed *by, const char *tag);
/* Are all names of this model the caller's? */
bool allowed_tags(const struct allowed *by, const struct catalog_model *m);

/* For handlers of what concerns every model: may the caller use all of them?
 * -1 is ERR_FORBIDDEN. */
must_use int allowed_all(const struct http_exchange *x, struct err *e);
/* May the caller use this model (`m` NULL: the store has none of
 * this name)? -1 is ERR_FORBIDDEN and says which ones he may use. */
must_use int allowed_check(struct api *api, struct http_exchange *x,
			   struct str name, const struct catalog_model *m,
			   struct err *e);
/* The model of exactly this name, which the caller may use: for what takes a
 * model out or makes another of it. -1 is ERR_FORBIDDEN, ERR_NOT_FOUND or a
 * store that cannot be read. */
must_use int allowed_find(struct api *api, struct http_exchange *x,
			  struct str name, const struct catalog_model **out,
			  struct err *e);
