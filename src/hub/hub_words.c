#include "hub/hub_words.h"

#include <stdio.h>

/* The hub says 401 of what does not exist, too, to whoever has no token. */
static void unknown(const struct registry_refusal *r, struct err *e)
{
	const char *repository = r->registry->repository;
	if (strcmp(r->message, "Invalid credentials in Authorization header") ==
	    0)
		err_set(e, ERR_AUTH,
			"%s does not accept the token: check HF_TOKEN",
			r->place);
	else if (r->registry->has_bearer)
		err_set(e, r->status == 404 ? ERR_NOT_FOUND : ERR_AUTH,
			"%s has no repository %s that the token may read",
			r->place, repository);
	else
		err_set(e, r->status == 404 ? ERR_NOT_FOUND : ERR_AUTH,
			"%s has no public repository %s; a private one needs a "
			"token: set HF_TOKEN",
			r->place, repository);
}

static void gated(const struct registry_refusal *r, struct err *e)
{
	const char *repository = r->registry->repository;
	const char *scheme =
		r->registry->places[0].url.is_https ? "https" : "http";
	if (r->registry->has_bearer)
		err_set(e, ERR_AUTH,
			"%s is gated, and the token's account has no access "
			"yet: ask for it at %s://%s/%s",
			repository, scheme, r->place, repository);
	else
		err_set(e, ERR_AUTH,
			"%s is gated: accept its conditions at %s://%s/%s and "
			"set HF_TOKEN to a token that may read it",
			repository, scheme, r->place, repository);
}

static void busy(const struct registry_refusal *r, struct err *e)
{
	char when[40] = "later";
	if (r->retry_after_ms)
		snprintf(when, sizeof when, "in %u s",
			 r->retry_after_ms / 1000);
	err_set(e, ERR_UNAVAILABLE,
		"%s has had too many requests from here; try again %s%s",
		r->place, when,
		r->registry->has_bearer
			? ""
			: ", or set HF_TOKEN, with which it allows more");
}

void hub_words(const struct registry_refusal *r, struct err *e)
{
	if (!r->is_own)
		return;
	if (strcmp(r->code, "GatedRepo") == 0)
		gated(r, e);
	else if (strcmp(r->code, "RevisionNotFound") == 0)
		err_set(e, ERR_NOT_FOUND, "%s has no such revision",
			r->registry->repository);
	else if (strcmp(r->code, "EntryNotFound") == 0)
		err_set(e, ERR_NOT_FOUND, "%s has no such file any more",
			r->registry->repository);
	else if (r->status == 401 || r->status == 404)
		unknown(r, e);
	else if (r->status == 403)
		err_set(e, ERR_AUTH, "%s does not give out %s%s%.120s",
			r->place, r->registry->repository,
			r->message[0] ? ": " : "", r->message);
	else if (r->status == 429)
		busy(r, e);
}
