/* keys.h - API keys at work: which one a request shows, and what it has used.
 *
 * A key found is held (keys_drop) by what was found for; it lives on, with what
 * it has used, when the file is read again: the same name is the same key, also
 * with a new hash or new limits. One that is no longer in the file ends with
 * its last holder. Times are milliseconds of any clock that only goes forward;
 * expiry is by the wall's. One thread. */
#pragma once
#include "base/err.h"
#include "base/str.h"
#include "model/keyfile.h"

struct http_exchange;
struct http_head;
struct key;
struct keys;

struct keys *keys_new(void) must_use;
/* Every key must have been dropped. */
void keys_free(struct keys *ks);
/* These instead of those there were; takes the content of *f over. */
void keys_set(struct keys *ks, struct keyfile *f, uint64_t now_ms);

enum keys_outcome {
	KEYS_NONE = 1, /* no key was shown */
	KEYS_WRONG,    /* it is none of ours, or has expired */
	KEYS_MIXED,    /* several different ones were shown */
	KEYS_WAIT,     /* too many wrong ones came from there: not looked at */
};

/* The key of `Authorization: Bearer`, `x-api-key` or `api-key`, compared in
 * constant time. For any outcome but 0 *e is what to answer.
 *
 * An address that showed LIMIT_WRONG_KEYS wrong ones has to wait, *wait_ms;
 * who showed a right one from there before does not, so that one container in a
 * shared address cannot lock the others out. */
must_use int keys_find(struct keys *ks, const struct http_head *h,
		       const char *address, uint64_t now_ms, struct key **out,
		       uint64_t *wait_ms, struct err *e);
const struct keyfile_key *keys_what(const struct key *k);
struct key *keys_hold(struct key *k);
void keys_drop(struct key *k); /* NULL is fine */

/* A request begins: takes it off the limits; -1 (ERR_LIMIT) if there is none
 * left, and *wait_ms says until when, truly (0: until another one ends). Ends
 * with keys_leave(). */
must_use int keys_enter(struct key *k, uint64_t now_ms, uint64_t *wait_ms,
			struct err *e);
void keys_leave(struct key *k);
/* An answer took so many tokens. */
void keys_charge(struct key *k, uint64_t tokens, uint64_t now_ms);
/* The x-ratelimit-... fields, as OpenAI has them. */
void keys_tell(struct key *k, uint64_t now_ms, struct http_exchange *x);
