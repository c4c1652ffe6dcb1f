#include "api/admit.h"
#include "api/caller.h"
#include "api/keys.h"
#include "api/reply.h"
#include "io/timer.h"

#include <inttypes.h>

/* RFC 6750, section 3: `error` is left out where no key was shown. */
static void challenge(struct http_exchange *x, const char *error,
		      const char *scope)
{
	char text[160] = "Bearer realm=\"modeld\"";
	size_t n = strlen(text);
	if (error)
		n += (size_t)snprintf(text + n, sizeof text - n,
				      ", error=\"%s\"", error);
	if (scope)
		snprintf(text + n, sizeof text - n, ", scope=\"%s\"", scope);
	exchange_add(x, "WWW-Authenticate", str_of(text));
}

/* Whole seconds, never too few. */
static void tell_to_wait(struct http_exchange *x, uint64_t wait_ms)
{
	char text[24];
	snprintf(text, sizeof text, "%" PRIu64,
		 MAX((wait_ms + 999) / 1000, (uint64_t)1));
	exchange_add(x, "Retry-After", str_of(text));
}

static void refuse_key(struct http_exchange *x, int outcome, uint64_t wait_ms,
		       const struct err *e)
{
	switch ((enum keys_outcome)outcome) {
	case KEYS_NONE:
		challenge(x, NULL, NULL);
		break;
	case KEYS_WRONG:
		challenge(x, "invalid_token", NULL);
		break;
	case KEYS_MIXED:
		challenge(x, "invalid_request", NULL);
		break;
	case KEYS_WAIT:
		tell_to_wait(x, wait_ms);
		break;
	}
	reply_error(x, e);
}

/* 0, or the outcome of keys_find(). */
static int find_key(struct api *api, struct http_exchange *x, struct admit *out,
		    uint64_t *wait_ms, struct err *e)
{
	struct caller *caller = exchange_visitor(x);
	if (!access_needs_key(api->access, caller->way))
		return 0;
	int got =
		keys_find(api->access->keys, exchange_head(x), caller->address,
			  timer_now_ms(api->loop), &out->key, wait_ms, e);
	if (got == 0)
		caller->key = keys_what(out->key)->name;
	return got;
}

static bool enter(struct api *api, struct http_exchange *x, struct admit *out)
{
	struct err e;
	uint64_t wait_ms, now_ms = timer_now_ms(api->loop);
	int got = keys_enter(out->key, now_ms, &wait_ms, &e);
	out->is_counted = got == 0;
	keys_tell(out->key, now_ms, x);
	if (got == 0)
		return true;
	tell_to_wait(x, wait_ms);
	reply_error(x, &e);
	return false;
}

bool admit_request(struct api *api, struct http_exchange *x,
		   enum access_class c, struct admit *out)
{
	struct err e;
	uint64_t wait_ms = 0;
	enum access_way way = ((struct caller *)exchange_visitor(x))->way;
	int got = find_key(api, x, out, &wait_ms, &e);
	out->classes = access_classes(api->access, way, out->key);
	/* Who only asks whether we are alive needs no key, and no good one. */
	if (c == ACCESS_OPEN && (out->classes & ACCESS_OPEN))
		return true;
	if (got && out->classes) {
		refuse_key(x, got, wait_ms, &e);
		return false;
	}
	if (!(out->classes & (c ? (unsigned)c : ~0u))) {
		if (out->key)
			challenge(x, "insufficient_scope",
				  access_class_name(c));
		access_refuse(api->access, way, out->key, c, &e);
		reply_error(x, &e);
		return false;
	}
	return !out->key || enter(api, x, out);
}

void admit_end(struct admit *a)
{
	if (a->is_counted)
		keys_leave(a->key);
	keys_drop(steal(&a->key));
}
