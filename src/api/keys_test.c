#include "api/keys.h"
#include "base/limits.h"
#include "base/log.h"
#include "http/head.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>
#include <stdio.h>

#define NOW 5000000u
#define HERE "10.0.0.1:1000"

#define RIGHT "\"hash\":\"sha256:%s\""

static const char *hash_of(const char *text)
{
	static struct digest d;
	d = digest_of(str_of(text));
	return d.hex;
}

/* One key "ci" whose text is `text`, with more members. */
static void set(struct keys *ks, const char *name, const char *text,
		const char *more)
{
	struct keyfile f;
	struct err e;
	auto_free char *json =
		xasprintf("{\"keys\":[{\"name\":\"%s\"," RIGHT "%s}]}", name,
			  hash_of(text), more);
	if (keyfile_parse(str_of(json), &f, &e))
		fail_msg("%s", e.msg);
	keys_set(ks, &f, NOW);
}

static struct http_head head_of(const char *name, const char *value,
				const char *name2, const char *value2)
{
	struct http_head h = { 0 };
	if (name)
		h.fields[h.n_fields++] =
			(struct http_field){ str_of(name), str_of(value) };
	if (name2)
		h.fields[h.n_fields++] =
			(struct http_field){ str_of(name2), str_of(value2) };
	return h;
}

/* Shows a bearer key from an address; drops what was found. */
static int show_at(struct keys *ks, const char *text, const char *address,
		   uint64_t now, uint64_t *wait)
{
	struct key *k = NULL;
	struct err e;
	auto_free char *value = xasprintf("Bearer %s", text);
	struct http_head h = head_of("authorization", value, NULL, NULL);
	int got = keys_find(ks, &h, address, now, &k, wait, &e);
	assert_int_equal(got == 0, k != NULL);
	keys_drop(k);
	return got;
}

static int show(struct keys *ks, const char *text)
{
	uint64_t wait;
	return show_at(ks, text, HERE, NOW, &wait);
}

static void a_key_is_read_from_each_field_that_sdks_use(void **state)
{
	struct keys *ks = *state;
	static const struct {
		const char *name, *value, *name2, *value2;
		int got;
	} rows[] = {
		{ "Authorization", "Bearer right", NULL, NULL, 0 },
		{ "AUTHORIZATION", "bearer  right", NULL, NULL, 0 },
		{ "X-API-Key", "right", NULL, NULL, 0 },
		{ "api-key", "right", NULL, NULL, 0 },
		{ "x-api-key", "right", "Authorization", "Bearer right", 0 },
		{ "x-api-key", "other", "Authorization", "Bearer right",
		  KEYS_MIXED },
		{ "x-api-key", "right", "x-api-key", "rightx", KEYS_MIXED },
		{ "Authorization", "Basic right", NULL, NULL, KEYS_NONE },
		{ "Authorization", "Bearer", NULL, NULL, KEYS_NONE },
		{ "Authorization", "Bearer ", NULL, NULL, KEYS_NONE },
		{ "Authorization", "right", NULL, NULL, KEYS_NONE },
		{ "Cookie", "right", NULL, NULL, KEYS_NONE },
		{ NULL, NULL, NULL, NULL, KEYS_NONE },
		{ "Authorization", "Bearer Right", NULL, NULL, KEYS_WRONG },
		{ "Authorization", "Bearer right x", NULL, NULL, KEYS_WRONG },
	};
	set(ks, "ci", "right", "");
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct http_head h = head_of(rows[i].name, rows[i].value,
					     rows[i].name2, rows[i].value2);
		struct key *k = NULL;
		uint64_t wait;
		struct err e;
		int got = keys_find(ks, &h, HERE, NOW, &k, &wait, &e);
		assert_int_equal(got, rows[i].got);
		keys_drop(k);
	}
}

static void a_key_at_the_limit_is_read_and_none_above(void **state)
{
	struct keys *ks = *state;
	char text[LIMIT_KEY_BYTES + 2];
	memset(text, 'k', sizeof text);
	text[LIMIT_KEY_BYTES] = '\0';
	set(ks, "ci", text, "");
	assert_int_equal(show(ks, text), 0);
	text[LIMIT_KEY_BYTES] = 'k';
	text[LIMIT_KEY_BYTES + 1] = '\0';
	set(ks, "ci", text, "");
	assert_int_equal(show(ks, text), KEYS_WRONG);
}

static void an_expired_key_is_wrong(void **state)
{
	struct keys *ks = *state;
	set(ks, "ci", "right", ",\"expires\":\"2020-01-01T00:00:00Z\"");
	assert_int_equal(show(ks, "right"), KEYS_WRONG);
	set(ks, "ci", "right", ",\"expires\":\"2120-01-01T00:00:00Z\"");
	assert_int_equal(show(ks, "right"), 0);
}

static void who_guesses_has_to_wait(void **state)
{
	struct keys *ks = *state;
	uint64_t wait;
	set(ks, "ci", "right", "");
	for (int i = 0; i < LIMIT_WRONG_KEYS; i++)
		assert_int_equal(show(ks, "guess"), KEYS_WRONG);
	/* Also with the right one, or guessing would go on at full speed. */
	assert_int_equal(show(ks, "guess"), KEYS_WAIT);
	assert_int_equal(show_at(ks, "right", HERE, NOW, &wait), KEYS_WAIT);
	assert_int_equal(wait, 60000 / LIMIT_WRONG_KEYS);
	assert_int_equal(show_at(ks, "right", HERE, NOW + wait - 1, &wait),
			 KEYS_WAIT);
	wait = 60000 / LIMIT_WRONG_KEYS;
	assert_int_equal(show_at(ks, "right", HERE, NOW + wait, &wait), 0);
}

static void a_guesser_locks_nobody_out_who_was_right_before(void **state)
{
	struct keys *ks = *state;
	uint64_t wait;
	set(ks, "ci", "right", "");
	assert_int_equal(show(ks, "right"), 0);
	for (int i = 0; i < 100; i++)
		assert_int_not_equal(show(ks, "guess"), 0);
	assert_int_equal(show(ks, "right"), 0);
	/* Nor anybody elsewhere; another port is the same address. */
	assert_int_equal(show_at(ks, "right", "10.0.0.2:1", NOW, &wait), 0);
	assert_int_equal(show_at(ks, "guess", "10.0.0.1:2", NOW, &wait),
			 KEYS_WAIT);
}

static void an_ipv6_host_has_one_count_for_its_network(void **state)
{
	struct keys *ks = *state;
	uint64_t wait;
	char address[64];
	set(ks, "ci", "right", "");
	for (int i = 0; i < LIMIT_WRONG_KEYS; i++) {
		snprintf(address, sizeof address, "[2001:db8:1:2::%x]:%d", i,
			 i + 1);
		assert_int_equal(show_at(ks, "guess", address, NOW, &wait),
				 KEYS_WRONG);
	}
	assert_int_equal(
		show_at(ks, "guess", "[2001:db8:1:2:9::]:1", NOW, &wait),
		KEYS_WAIT);
}

static struct key *find(struct keys *ks, const char *text)
{
	struct key *k = NULL;
	struct err e;
	uint64_t wait;
	struct http_head h = head_of("x-api-key", text, NULL, NULL);
	assert_int_equal(keys_find(ks, &h, HERE, NOW, &k, &wait, &e), 0);
	return k;
}

static void a_changed_file_keeps_what_was_used(void **state)
{
	struct keys *ks = *state;
	struct err e;
	uint64_t wait;
	set(ks, "ci", "right", ",\"requests_per_minute\":2,\"parallel\":2");
	struct key *k = find(ks, "right");
	assert_int_equal(keys_enter(k, NOW, &wait, &e), 0);
	assert_int_equal(keys_enter(k, NOW, &wait, &e), 0);
	keys_leave(k);
	assert_int_equal(keys_enter(k, NOW, &wait, &e), -1);
	assert_int_equal(e.code, ERR_LIMIT);
	assert_int_equal(wait, 30000);
	/* A new hash and a higher limit: the same key, one request is left. */
	set(ks, "ci", "other", ",\"requests_per_minute\":3,\"parallel\":3");
	assert_int_equal(show(ks, "right"), KEYS_WRONG);
	struct key *same = find(ks, "other");
	assert_ptr_equal(same, k);
	assert_int_equal(keys_enter(k, NOW, &wait, &e), 0);
	assert_int_equal(keys_enter(k, NOW, &wait, &e), -1);
	keys_leave(k);
	keys_leave(k);
	keys_drop(same);
	keys_drop(k);
}

static void a_key_that_is_taken_away_lives_until_its_requests_end(void **state)
{
	struct keys *ks = *state;
	struct err e;
	uint64_t wait;
	set(ks, "ci", "right", ",\"models\":[\"ai/x\"]");
	struct key *k = find(ks, "right");
	assert_int_equal(keys_enter(k, NOW, &wait, &e), 0);
	keys_drop(k);
	set(ks, "new", "other", "");
	assert_int_equal(show(ks, "right"), KEYS_WRONG);
	assert_string_equal(keys_what(k)->models[0], "ai/x");
	keys_leave(k); /* the sanitizers look whether it went */
	/* The name came back: it is another key. */
	set(ks, "ci", "right", "");
	assert_int_equal(show(ks, "right"), 0);
}

static void parallel_counts_open_requests(void **state)
{
	struct keys *ks = *state;
	struct err e;
	uint64_t wait;
	set(ks, "ci", "right", ",\"parallel\":1");
	struct key *k = find(ks, "right");
	assert_int_equal(keys_enter(k, NOW, &wait, &e), 0);
	assert_int_equal(keys_enter(k, NOW, &wait, &e), -1);
	assert_int_equal(wait, 0);
	keys_leave(k);
	assert_int_equal(keys_enter(k, NOW, &wait, &e), 0);
	keys_leave(k);
	keys_drop(k);
}

static void tokens_are_charged_afterwards(void **state)
{
	struct keys *ks = *state;
	struct err e;
	uint64_t wait;
	set(ks, "ci", "right", ",\"tokens_per_minute\":100");
	struct key *k = find(ks, "right");
	assert_int_equal(keys_enter(k, NOW, &wait, &e), 0);
	keys_charge(k, 149, NOW);
	keys_leave(k);
	assert_int_equal(keys_enter(k, NOW, &wait, &e), -1);
	assert_int_equal(wait, 30000);
	assert_int_equal(keys_enter(k, NOW + wait, &wait, &e), 0);
	keys_leave(k);
	keys_drop(k);
}

static int set_up(void **state)
{
	log_init("test", LOG_ERROR);
	*state = keys_new();
	return 0;
}

static int tear_down(void **state)
{
	keys_free(*state);
	return 0;
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(a_key_is_read_from_each_field_that_sdks_use),
		TEST(a_key_at_the_limit_is_read_and_none_above),
		TEST(an_expired_key_is_wrong),
		TEST(who_guesses_has_to_wait),
		TEST(a_guesser_locks_nobody_out_who_was_right_before),
		TEST(an_ipv6_host_has_one_count_for_its_network),
		TEST(a_changed_file_keeps_what_was_used),
		TEST(a_key_that_is_taken_away_lives_until_its_requests_end),
		TEST(parallel_counts_open_requests),
		TEST(tokens_are_charged_afterwards),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
