#include "api/keys.h"
#include "api/rate.h"
#include "base/limits.h"
#include "base/list.h"
#include "base/log.h"
#include "http/server.h"

#include <arpa/inet.h>
#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/random.h>
#include <time.h>

/* Addresses are counted in a table of fixed size, by a hash that nobody outside
 * can guess: two that meet share a count. */
#define PLACES 256
/* From how many addresses it is remembered that a key was right. */
#define SEEN 8

struct key {
	struct list link; /* keys.all; alone once it left the file */
	struct keyfile_key is;
	size_t holders;
	uint64_t open; /* requests */
	struct rate requests, tokens;
	uint64_t seen[SEEN]; /* places it was right from; 0: none */
	size_t next_seen;
	bool is_gone;
};

/* A hash, so that a thousand are compared in microseconds. */
#define HASH_WORDS 8
struct shelf {
	uint64_t hash[HASH_WORDS]; /* its hex digits */
	struct key *key;
};

struct keys {
	struct list all;     /* key.link, owned */
	struct shelf *shelf; /* owned; one for each */
	size_t n;
	uint64_t seed;
	struct rate wrong[PLACES];
};

static void key_free(struct key *k)
{
	list_remove(&k->link);
	keyfile_key_fini(&k->is);
	free(k);
}

struct keys *keys_new(void)
{
	struct keys *ks = xcalloc(1, sizeof *ks);
	list_init(&ks->all);
	if (getrandom(&ks->seed, sizeof ks->seed, 0) != sizeof ks->seed)
		abort(); /* never for so few bytes (getrandom(2)) */
	return ks;
}

static void retire(struct key *k)
{
	list_remove(&k->link);
	k->is_gone = true;
	if (!k->holders)
		key_free(k);
}

void keys_free(struct keys *ks)
{
	if (!ks)
		return;
	while (!list_is_empty(&ks->all))
		retire(container_of(ks->all.next, struct key, link));
	free(ks->shelf);
	free(ks);
}

static struct key *take_by_name(struct list *from, const char *name)
{
	list_each (it, from) {
		struct key *k = container_of(it, struct key, link);
		if (strcmp(k->is.name, name) == 0)
			return k;
	}
	struct key *k = xcalloc(1, sizeof *k);
	list_init(&k->link);
	return k;
}

static void fill_shelf(struct keys *ks, size_t n)
{
	free(ks->shelf);
	ks->shelf = xcalloc(n + 1, sizeof *ks->shelf);
	ks->n = 0;
	list_each (it, &ks->all) {
		struct shelf *s = &ks->shelf[ks->n++];
		s->key = container_of(it, struct key, link);
		memcpy(s->hash, s->key->is.hash.hex, sizeof s->hash);
	}
}

void keys_set(struct keys *ks, struct keyfile *f, uint64_t now_ms)
{
	struct list old;
	list_init(&old);
	while (!list_is_empty(&ks->all))
		list_push_back(&old, list_pop_front(&ks->all));
	for (size_t i = 0; i < f->n; i++) {
		struct key *k = take_by_name(&old, f->keys[i].name);
		struct keyfile_key was = k->is;
		/* Another key under this name was right nowhere yet. */
		if (!digest_eq(&was.hash, &f->keys[i].hash))
			memset(k->seen, 0, sizeof k->seen);
		k->is = f->keys[i];
		f->keys[i] = was; /* and goes with the file */
		rate_set(&k->requests, k->is.requests_per_minute, now_ms);
		rate_set(&k->tokens, k->is.tokens_per_minute, now_ms);
		list_remove(&k->link);
		list_push_back(&ks->all, &k->link);
	}
	while (!list_is_empty(&old))
		retire(container_of(old.next, struct key, link));
	fill_shelf(ks, f->n);
	keyfile_fini(f);
}

/* ---- from where ---- */

static uint64_t mix(uint64_t h, uint64_t v)
{
	h = (h ^ v) * 0x9e3779b97f4a7c15u;
	return h ^ h >> 29;
}

/* Of "IP", "IP:port", "[IP]:port": a whole IPv4 address; of IPv6 the network,
 * since a host has as many addresses in it as it likes. Never 0. */
static uint64_t place_of(const struct keys *ks, const char *address)
{
	_Alignas(8) unsigned char ip[16] = { 0 };
	struct str s = str_of(address);
	ptrdiff_t colon = str_find(s, ':');
	uint64_t h = ks->seed;
	if (s.n && s.p[0] == '[')
		s = str_head(str_tail(s, 1),
			     (size_t)MAX(str_find(s, ']') - 1, 0));
	else if (colon >= 0 && colon == str_find_last(s, ':'))
		s = str_head(s, (size_t)colon);
	auto_free char *text = str_dup(s);
	if (inet_pton(AF_INET, text, ip) != 1 &&
	    inet_pton(AF_INET6, text, ip) == 1 &&
	    !IN6_IS_ADDR_V4MAPPED((const struct in6_addr *)(void *)ip))
		memset(ip + 8, 0, 8);
	for (size_t i = 0; i < sizeof ip; i++)
		h = mix(h, ip[i]);
	return h ? h : 1;
}

static bool was_right_here(const struct key *k, uint64_t place)
{
	for (size_t i = 0; i < SEEN; i++)
		if (k->seen[i] == place)
			return true;
	return false;
}

static void remember(struct key *k, uint64_t place)
{
	if (!was_right_here(k, place))
		k->seen[k->next_seen++ % SEEN] = place;
}

/* ---- which key ---- */

/* The key in one field, if it holds one. */
static bool credential(const struct http_field *f, struct str *out)
{
	struct str v = f->value;
	if (str_eq_nocase(f->name, "x-api-key") ||
	    str_eq_nocase(f->name, "api-key")) {
		*out = v;
		return v.n > 0;
	}
	if (!str_eq_nocase(f->name, "Authorization") ||
	    !str_eq_nocase(str_head(v, 7), "Bearer "))
		return false;
	*out = str_trim(str_tail(v, 7));
	return out->n > 0;
}

/* SDKs send the key in one or two fields; KEYS_NONE, KEYS_MIXED. */
static int shown(const struct http_head *h, struct str *out)
{
	struct str one;
	*out = (struct str){ 0 };
	for (size_t i = 0; i < h->n_fields; i++) {
		if (!credential(&h->fields[i], &one))
			continue;
		if (out->p && (one.n != out->n || memcmp(one.p, out->p, one.n)))
			return KEYS_MIXED;
		*out = one;
	}
	return out->p ? 0 : KEYS_NONE;
}

/* Every key is compared, whichever fits, and every digit of each: the time says
 * nothing about how near a guess was. */
static struct key *look_up(struct keys *ks, struct str text)
{
	struct key *found = NULL;
	uint64_t hash[HASH_WORDS];
	if (text.n > LIMIT_KEY_BYTES)
		return NULL;
	struct digest d = digest_of(text);
	_Static_assert(sizeof d.hex == sizeof hash + 1, "64 digits");
	memcpy(hash, d.hex, sizeof hash);
	for (size_t i = 0; i < ks->n; i++) {
		uint64_t differs = 0;
		for (size_t j = 0; j < HASH_WORDS; j++)
			differs |= ks->shelf[i].hash[j] ^ hash[j];
		if (!differs)
			found = ks->shelf[i].key;
	}
	return found;
}

static int wrong(struct rate *count, const char *address, uint64_t now_ms,
		 struct err *e)
{
	rate_take(count, 1, now_ms);
	log_warn("wrong API key address=%s", address);
	err_set(e, ERR_AUTH,
		"this API key is not one of this server's; ask who runs it "
		"for one (docker model key add NAME)");
	return KEYS_WRONG;
}

static int wait_first(struct rate *count, uint64_t now_ms, uint64_t *wait_ms,
		      struct err *e)
{
	*wait_ms = rate_wait_ms(count, now_ms);
	err_set(e, ERR_LIMIT,
		"too many wrong API keys came from this address; try again in "
		"%" PRIu64 " s",
		(*wait_ms + 999) / 1000);
	return KEYS_WAIT;
}

int keys_find(struct keys *ks, const struct http_head *h, const char *address,
	      uint64_t now_ms, struct key **out, uint64_t *wait_ms,
	      struct err *e)
{
	struct str text;
	int got = shown(h, &text);
	*wait_ms = 0;
	if (got == KEYS_NONE)
		err_set(e, ERR_AUTH,
			"an API key is needed here: send it as "
			"'Authorization: Bearer KEY'; who runs this server "
			"makes one with 'docker model key add NAME'");
	else if (got)
		err_set(e, ERR_INVALID,
			"the request shows two different API "
			"keys; send one");
	if (got)
		return got;
	uint64_t place = place_of(ks, address);
	struct rate *count = &ks->wrong[place % PLACES];
	if (!count->per_minute)
		rate_set(count, LIMIT_WRONG_KEYS, now_ms);
	struct key *k = look_up(ks, text);
	if (!rate_has(count, now_ms) && !(k && was_right_here(k, place)))
		return wait_first(count, now_ms, wait_ms, e);
	if (!k)
		return wrong(count, address, now_ms, e);
	remember(k, place);
	if (k->is.expires_s && time(NULL) >= k->is.expires_s) {
		err_set(e, ERR_AUTH,
			"the API key '%s' has expired; ask who runs this "
			"server for another one",
			k->is.name);
		return KEYS_WRONG;
	}
	*out = keys_hold(k);
	return 0;
}

const struct keyfile_key *keys_what(const struct key *k)
{
	return &k->is;
}

struct key *keys_hold(struct key *k)
{
	k->holders++;
	return k;
}

void keys_drop(struct key *k)
{
	if (!k)
		return;
	assert(k->holders);
	if (!--k->holders && k->is_gone)
		key_free(k);
}

/* ---- limits ---- */

static int over(struct key *k, struct rate *r, const char *what,
		uint64_t now_ms, uint64_t *wait_ms, struct err *e)
{
	*wait_ms = rate_wait_ms(r, now_ms);
	return err_set(e, ERR_LIMIT,
		       "the API key '%s' has used its %" PRIu64
		       " %s per minute; try again in %" PRIu64 " s",
		       k->is.name, r->per_minute, what,
		       (*wait_ms + 999) / 1000);
}

int keys_enter(struct key *k, uint64_t now_ms, uint64_t *wait_ms, struct err *e)
{
	*wait_ms = 0;
	if (k->is.parallel && k->open >= k->is.parallel)
		return err_set(e, ERR_LIMIT,
			       "the API key '%s' may have %" PRIu64
			       " requests open at the same time; wait until "
			       "one ends",
			       k->is.name, k->is.parallel);
	if (!rate_has(&k->requests, now_ms))
		return over(k, &k->requests, "requests", now_ms, wait_ms, e);
	if (!rate_has(&k->tokens, now_ms))
		return over(k, &k->tokens, "tokens", now_ms, wait_ms, e);
	rate_take(&k->requests, 1, now_ms);
	k->open++;
	keys_hold(k);
	return 0;
}

void keys_leave(struct key *k)
{
	assert(k->open);
	k->open--;
	keys_drop(k);
}

void keys_charge(struct key *k, uint64_t tokens, uint64_t now_ms)
{
	rate_take(&k->tokens, tokens, now_ms);
}

/* Go's notation: "850ms", "6s", "1m30s". */
static void put_duration(uint64_t ms, char out[32])
{
	uint64_t s = (ms + 999) / 1000;
	if (ms < 1000)
		snprintf(out, 32, "%" PRIu64 "ms", ms);
	else if (s < 60)
		snprintf(out, 32, "%" PRIu64 "s", s);
	else
		snprintf(out, 32, "%" PRIu64 "m%" PRIu64 "s", s / 60, s % 60);
}

static void tell_one(struct rate *r, const char *what, uint64_t now_ms,
		     struct http_exchange *x)
{
	char name[48], text[32];
	if (!r->per_minute)
		return;
	snprintf(name, sizeof name, "x-ratelimit-limit-%s", what);
	snprintf(text, sizeof text, "%" PRIu64, r->per_minute);
	exchange_add(x, name, str_of(text));
	snprintf(name, sizeof name, "x-ratelimit-remaining-%s", what);
	snprintf(text, sizeof text, "%" PRIu64, rate_left(r, now_ms));
	exchange_add(x, name, str_of(text));
	snprintf(name, sizeof name, "x-ratelimit-reset-%s", what);
	put_duration(rate_reset_ms(r, now_ms), text);
	exchange_add(x, name, str_of(text));
}

void keys_tell(struct key *k, uint64_t now_ms, struct http_exchange *x)
{
	tell_one(&k->requests, "requests", now_ms, x);
	tell_one(&k->tokens, "tokens", now_ms, x);
}
