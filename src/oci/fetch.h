/* fetch.h - one request at a registry, as the registry wants it: its challenge
 * is answered, its redirects are followed one by one under the rules of
 * reach.h, and credentials go to its own origin only. What is not 200 or 206 in
 * the end (of what a push sends: 2xx) is an error with the registry's words. */
#pragma once
#include "oci/registry.h"

struct fetch;

/* What a push sends. */
struct fetch_upload {
	const char *method; /* GET (how far it is), POST, PUT or PATCH */
	const char *content_type, *content_range; /* or NULL */
	/* As in transfer.h; the first is borrowed until the end. */
	struct str body;
	uint64_t stream_bytes;
	unsigned silence_ms;
};

struct fetch_request {
	bool is_head;
	const struct fetch_upload *upload; /* or NULL */
	/* After the registry's root, "/v2/REPOSITORY/": "manifests/latest". */
	const char *path;
	/* Where an earlier fetch of the same thing was redirected to (or
	 * fetch_leads_to() said that it goes on), or NULL: asked there at
	 * once. */
	const struct weburl *location;
	const char *accept; /* or NULL */
	const char *range;  /* "bytes=0-99", or NULL */
	unsigned limit_ms;  /* as in transfer.h */
};

struct fetch_fns {
	/* 200 or 206, or 2xx. fetch_field() works from here until on_end. */
	void (*on_head)(void *ctx, int status);
	/* As in transfer.h. */
	int (*on_body)(void *ctx, struct str piece);
	/* As in transfer.h, */
	size_t (*on_send)(void *ctx, char *to, size_t room);
	/* but after a challenge or a redirect the body is sent again. */
	void (*on_rewind)(void *ctx);
	/* The last; the fetch is gone when it returns. Besides the codes of
	 * transfer.h: ERR_AUTH (401, 403), ERR_NOT_FOUND, ERR_UNAVAILABLE (5xx,
	 * 429: may pass), ERR_SYSTEM (anything else). */
	void (*on_end)(void *ctx, int outcome, const struct err *e);
};

/* Holds the registry, uses the place that is in use now. Callbacks never come
 * before this returns. */
struct fetch *fetch_start(struct registry *r, const struct fetch_request *q,
			  const struct fetch_fns *fns, void *ctx) must_use;
/* No callback comes after. Allowed in callbacks. */
void fetch_cancel(struct fetch *f);
void fetch_resume(struct fetch *f);
void fetch_send(struct fetch *f);
struct str fetch_field(const struct fetch *f, const char *name);
/* The URL that answered, if it was another than the registry's own; or NULL. */
const struct weburl *fetch_location(const struct fetch *f);
/* Where its Location leads; refused as a redirect to there would be. */
must_use int fetch_leads_to(const struct fetch *f, struct weburl *out,
			    struct err *e);
/* The status of the last answer, 0: none came. Also in on_end. */
int fetch_status(const struct fetch *f);
/* How long the registry wants us to wait (Retry-After), 0: does not say. */
unsigned fetch_retry_after_ms(const struct fetch *f);
/* Is it worth to try the same again? */
bool fetch_is_passing(const struct err *e);
