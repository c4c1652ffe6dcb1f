#include "model/keyfile.h"
#include "base/buf.h"
#include "base/limits.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define HASH                                                          \
	"sha256:00112233445566778899aabbccddeeff00112233445566778899" \
	"aabbccddeeff"
#define KEY(more) "{\"keys\":[{\"name\":\"ci\",\"hash\":\"" HASH "\"" more "}]}"

/* Parses and gives the outcome; the words of a failure are in *e. */
static int parse(const char *text, struct keyfile *f, struct err *e)
{
	return keyfile_parse(str_of(text), f, e);
}

static void a_whole_key_is_read(void **state)
{
	struct keyfile f;
	struct err e;
	char text[KEYFILE_TIME_BYTES];
	(void)state;
	assert_int_equal(
		parse(KEY(",\"classes\":[\"manage\",\"infer\"],\"models\":["
			  "\"ai/*\",\"x\"],\"expires\":\"2027-01-31T18:00:"
			  "00Z\",\"requests_per_minute\":1,\"tokens_per_"
			  "minute\":1000000000,\"parallel\":3"),
		      &f, &e),
		0);
	assert_int_equal(f.n, 1);
	const struct keyfile_key *k = f.keys;
	assert_string_equal(k->name, "ci");
	assert_memory_equal(k->hash.hex, &HASH[7], 64);
	assert_int_equal(k->classes, KEYFILE_INFER | KEYFILE_MANAGE);
	assert_string_equal(k->models[0], "ai/*");
	assert_string_equal(k->models[1], "x");
	assert_null(k->models[2]);
	assert_string_equal(keyfile_time_text(k->expires_s, text),
			    "2027-01-31T18:00:00Z");
	assert_int_equal(k->requests_per_minute, 1);
	assert_int_equal(k->tokens_per_minute, 1000000000);
	assert_int_equal(k->parallel, 3);
	keyfile_fini(&f);
}

static void what_is_not_said_is_infer_without_limits(void **state)
{
	struct keyfile f;
	struct err e;
	(void)state;
	assert_int_equal(parse(KEY(""), &f, &e), 0);
	assert_int_equal(f.keys->classes, KEYFILE_INFER);
	assert_null(f.keys->models);
	assert_int_equal(f.keys->expires_s, 0);
	assert_int_equal(f.keys->parallel + f.keys->requests_per_minute +
				 f.keys->tokens_per_minute,
			 0);
	keyfile_fini(&f);
	assert_int_equal(parse("{\"keys\":[]}", &f, &e), 0);
	assert_int_equal(f.n, 0);
}

/* A file that is understood only in part would let somebody do too much. */
static void everything_unclear_is_refused(void **state)
{
	static const struct {
		const char *text, *words;
	} rows[] = {
		{ "", "JSON" },
		{ "[]", "one member" },
		{ "{}", "one member" },
		{ "{\"keys\":{}}", "one member" },
		{ "{\"keys\":[],\"more\":1}", "one member" },
		{ "{\"keys\":[1]}", "objects" },
		{ "{\"keys\":[{}]}", "name" },
		{ "{\"keys\":[{\"name\":\"ci\"}]}", "'hash'" },
		{ "{\"keys\":[{\"name\":7,\"hash\":\"" HASH "\"}]}", "'name'" },
		{ "{\"keys\":[{\"name\":\"a b\",\"hash\":\"" HASH "\"}]}",
		  "not a name" },
		{ "{\"keys\":[{\"name\":\"a\\u0000\",\"hash\":\"" HASH "\"}]}",
		  "" },
		{ "{\"keys\":[{\"name\":\"ci\",\"hash\":\"secret\"}]}",
		  "'hash'" },
		{ KEY(",\"request_per_minute\":1"), "'request_per_minute'" },
		{ KEY(",\"parallel\":0"), "'parallel'" },
		{ KEY(",\"parallel\":-1"), "'parallel'" },
		{ KEY(",\"parallel\":1.5"), "'parallel'" },
		{ KEY(",\"parallel\":\"1\""), "'parallel'" },
		{ KEY(",\"parallel\":null"), "'parallel'" },
		{ KEY(",\"requests_per_minute\":1000000001"), "requests" },
		{ KEY(",\"classes\":\"infer\""), "'classes'" },
		{ KEY(",\"classes\":[\"root\"]"), "'root'" },
		{ KEY(",\"classes\":[1]"), "class" },
		{ KEY(",\"models\":[]"), "'models'" },
		{ KEY(",\"models\":\"ai/*\""), "'models'" },
		{ KEY(",\"models\":[1]"), "'models'" },
		{ KEY(",\"models\":[\"\"]"), "not a model" },
		{ KEY(",\"models\":[\"a b\"]"), "not a model" },
		{ KEY(",\"expires\":\"tomorrow\""), "'expires'" },
		{ KEY(",\"expires\":7"), "'expires'" },
		{ KEY(",\"name\":\"x\""), "" },
	};
	struct keyfile f;
	struct err e;
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		if (parse(rows[i].text, &f, &e) == 0)
			fail_msg("taken: %s", rows[i].text);
		if (!strstr(e.msg, rows[i].words))
			fail_msg("%s: %s", rows[i].text, e.msg);
	}
}

static void times_are_those_of_rfc_3339(void **state)
{
	static const struct {
		const char *text;
		int64_t s;
	} rows[] = {
		{ "2027-01-31T18:00:00Z", 1801418400 },
		{ "2027-01-31t18:00:00z", 1801418400 },
		{ "2027-01-31T18:00:00.25Z", 1801418400 },
		{ "2027-01-31T19:30:00+01:30", 1801418400 },
		{ "2027-01-31T13:00:00-05:00", 1801418400 },
		{ "2024-02-29T00:00:00Z", 1709164800 },
		{ "2023-02-29T00:00:00Z", 0 },
		{ "2027-13-01T00:00:00Z", 0 },
		{ "2027-00-01T00:00:00Z", 0 },
		{ "2027-01-00T00:00:00Z", 0 },
		{ "2027-01-31T24:00:00Z", 0 },
		{ "2027-01-31T18:60:00Z", 0 },
		{ "2027-01-31T18:00:00", 0 },
		{ "2027-01-31T18:00:00.Z", 0 },
		{ "2027-01-31T18:00:00+0100", 0 },
		{ "2027-01-31T18:00:00Zx", 0 },
		{ "2027-01-31 18:00:00Z", 0 },
		{ "2027-01-31", 0 },
		{ "", 0 },
	};
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		int64_t s = 0;
		struct err e;
		int got = keyfile_parse_time(str_of(rows[i].text), &s, &e);
		assert_int_equal(got, rows[i].s ? 0 : -1);
		if (rows[i].s)
			assert_int_equal(s, rows[i].s);
	}
}

/* {"keys":[...]} of n keys. */
static char *many(size_t n)
{
	struct buf b;
	buf_init(&b, 1 << 20);
	assert_int_equal(buf_puts(&b, "{\"keys\":["), 0);
	for (size_t i = 0; i < n; i++)
		assert_int_equal(
			buf_printf(&b,
				   "%s{\"name\":\"k%zu\",\"hash\":\"sha256:"
				   "%064zx\"}",
				   i ? "," : "", i, i),
			0);
	assert_int_equal(buf_puts(&b, "]}"), 0);
	return buf_take(&b);
}

static void keys_at_the_limit_are_read_and_none_above(void **state)
{
	struct keyfile f;
	struct err e;
	(void)state;
	auto_free char *full = many(LIMIT_KEYS);
	assert_int_equal(parse(full, &f, &e), 0);
	assert_int_equal(f.n, LIMIT_KEYS);
	keyfile_fini(&f);
	auto_free char *more = many(LIMIT_KEYS + 1);
	assert_int_equal(parse(more, &f, &e), -1);
}

static void models_at_the_limit_are_read_and_none_above(void **state)
{
	char list[2 * LIMIT_KEY_MODELS + 8] = "";
	char **models;
	struct err e;
	(void)state;
	for (size_t i = 0; i < LIMIT_KEY_MODELS; i++)
		memcpy(list + 2 * i, i ? ",m" : "mm", 3);
	assert_int_equal(keyfile_parse_models(str_of(list), &models, &e), 0);
	for (char **m = models; *m; m++)
		free(*m);
	free(models);
	memcpy(list + strlen(list), ",m", 3);
	assert_int_equal(keyfile_parse_models(str_of(list), &models, &e), -1);
}

static void a_name_at_the_limit_is_read_and_none_above(void **state)
{
	char name[KEYFILE_NAME_BYTES + 1];
	struct err e;
	(void)state;
	memset(name, 'n', sizeof name);
	name[KEYFILE_NAME_BYTES - 1] = '\0';
	assert_int_equal(keyfile_check_name(name, &e), 0);
	name[KEYFILE_NAME_BYTES - 1] = 'n';
	name[KEYFILE_NAME_BYTES] = '\0';
	assert_int_equal(keyfile_check_name(name, &e), -1);
}

static void the_same_key_twice_is_refused(void **state)
{
	struct keyfile f;
	struct err e;
	(void)state;
	assert_int_equal(parse("{\"keys\":[{\"name\":\"a\",\"hash\":\"" HASH
			       "\"},"
			       "{\"name\":\"b\",\"hash\":\"" HASH "\"}]}",
			       &f, &e),
			 -1);
	assert_non_null(strstr(e.msg, "same key"));
}

/* ---- the file ---- */

struct place {
	char dir[40];
	char path[64];
};

static int set_up(void **state)
{
	struct place *p = xcalloc(1, sizeof *p);
	snprintf(p->dir, sizeof p->dir, "/tmp/keyfile-test-XXXXXX");
	assert_non_null(mkdtemp(p->dir));
	snprintf(p->path, sizeof p->path, "%s/keys.json", p->dir);
	*state = p;
	return 0;
}

static int tear_down(void **state)
{
	struct place *p = *state;
	unlink(p->path);
	assert_int_equal(rmdir(p->dir), 0);
	free(p);
	return 0;
}

static int add_one(void *ctx, struct keyfile *f, struct err *e)
{
	const char *name = ctx;
	struct keyfile_key k = { .classes = KEYFILE_INFER | KEYFILE_INSPECT,
				 .expires_s = 1801418400,
				 .parallel = 2 };
	memcpy(k.name, name, strlen(name) + 1);
	k.hash = digest_of(str_of(name));
	if (keyfile_parse_models(STR("ai/*,x"), &k.models, e))
		return -1;
	int got = keyfile_add(f, &k, e);
	keyfile_key_fini(&k);
	return got;
}

static int fail_always(void *ctx, struct keyfile *f, struct err *e)
{
	(void)ctx;
	(void)f;
	return err_set(e, ERR_USAGE, "no");
}

static void what_is_written_can_be_read(void **state)
{
	struct place *p = *state;
	struct keyfile f;
	struct err e;
	struct stat st;
	char a[] = "a", b[] = "b";
	assert_int_equal(keyfile_read(p->path, &f, &e), KEYFILE_ABSENT);
	assert_int_equal(keyfile_change(p->path, add_one, a, &e), 0);
	assert_int_equal(keyfile_change(p->path, add_one, b, &e), 0);
	assert_int_equal(keyfile_change(p->path, add_one, b, &e), -1);
	assert_int_equal(keyfile_change(p->path, fail_always, NULL, &e), -1);
	assert_int_equal(keyfile_read(p->path, &f, &e), 0);
	assert_int_equal(f.n, 2);
	assert_int_equal(f.keys[1].classes, KEYFILE_INFER | KEYFILE_INSPECT);
	assert_int_equal(f.keys[1].expires_s, 1801418400);
	assert_string_equal(f.keys[1].models[1], "x");
	assert_int_equal(f.keys[1].parallel, 2);
	assert_int_equal(f.keys[1].tokens_per_minute, 0);
	assert_true(keyfile_remove(&f, "a"));
	assert_false(keyfile_remove(&f, "a"));
	keyfile_fini(&f);
	assert_int_equal(stat(p->path, &st), 0);
	assert_int_equal(st.st_mode & 0007, 0);
}

static void a_changed_file_keeps_its_mode(void **state)
{
	struct place *p = *state;
	struct err e;
	struct stat st;
	char a[] = "a", b[] = "b";
	assert_int_equal(keyfile_change(p->path, add_one, a, &e), 0);
	assert_int_equal(chmod(p->path, 0640), 0);
	assert_int_equal(keyfile_change(p->path, add_one, b, &e), 0);
	assert_int_equal(stat(p->path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0640);
}

static void a_file_for_everybody_is_refused(void **state)
{
	struct place *p = *state;
	struct keyfile f;
	struct err e;
	char a[] = "a", b[] = "b";
	assert_int_equal(keyfile_change(p->path, add_one, a, &e), 0);
	static const unsigned bad[] = { 0604, 0602, 0666 };
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		assert_int_equal(chmod(p->path, bad[i]), 0);
		assert_int_equal(keyfile_read(p->path, &f, &e), -1);
		assert_non_null(strstr(e.msg, "chmod o-rwx"));
		assert_int_equal(keyfile_change(p->path, add_one, b, &e), -1);
	}
}

static void what_is_no_file_is_refused_at_once(void **state)
{
	struct place *p = *state;
	struct keyfile f;
	struct err e;
	assert_int_equal(keyfile_read(p->dir, &f, &e), -1);
	assert_int_equal(mkfifo(p->path, 0600), 0);
	assert_int_equal(keyfile_read(p->path, &f, &e), -1);
	assert_non_null(strstr(e.msg, "regular"));
}

static void a_file_at_the_limit_is_read_and_none_above(void **state)
{
	struct place *p = *state;
	struct keyfile f;
	struct err e;
	static const char empty[] = "{\"keys\":[]}";
	auto_close int fd = open(p->path, O_RDWR | O_CREAT, 0600);
	assert_true(fd >= 0);
	auto_free char *space = xcalloc(1, LIMIT_KEY_FILE_BYTES);
	memset(space, ' ', LIMIT_KEY_FILE_BYTES);
	memcpy(space, empty, sizeof empty - 1);
	assert_int_equal(write(fd, space, LIMIT_KEY_FILE_BYTES),
			 LIMIT_KEY_FILE_BYTES);
	assert_int_equal(keyfile_read(p->path, &f, &e), 0);
	assert_int_equal(write(fd, " ", 1), 1);
	assert_int_equal(keyfile_read(p->path, &f, &e), -1);
	assert_non_null(strstr(e.msg, "larger"));
}

static void a_crash_leaves_the_old_file(void **state)
{
	struct place *p = *state;
	struct err e;
	struct keyfile f;
	char a[] = "a", b[] = "b";
	char temp[80];
	assert_int_equal(keyfile_change(p->path, add_one, a, &e), 0);
	snprintf(temp, sizeof temp, "%s.new", p->path);
	auto_close int fd = open(temp, O_WRONLY | O_CREAT, 0600);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, "{\"ke", 4), 4);
	assert_int_equal(keyfile_read(p->path, &f, &e), 0);
	keyfile_fini(&f);
	assert_int_equal(keyfile_change(p->path, add_one, b, &e), 0);
	assert_int_equal(access(temp, F_OK), -1);
}

static void keys_are_long_and_never_the_same(void **state)
{
	char one[KEYFILE_KEY_BYTES], two[KEYFILE_KEY_BYTES];
	struct err e;
	(void)state;
	assert_int_equal(keyfile_make_key(one, &e), 0);
	assert_int_equal(keyfile_make_key(two, &e), 0);
	assert_int_equal(strlen(one), KEYFILE_KEY_BYTES - 1);
	assert_memory_equal(one, KEYFILE_PREFIX, 4);
	assert_string_not_equal(one, two);
	assert_true(strlen(one) <= LIMIT_KEY_BYTES);
}

int main(void)
{
#define FILE_TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_whole_key_is_read),
		cmocka_unit_test(what_is_not_said_is_infer_without_limits),
		cmocka_unit_test(everything_unclear_is_refused),
		cmocka_unit_test(times_are_those_of_rfc_3339),
		cmocka_unit_test(keys_at_the_limit_are_read_and_none_above),
		cmocka_unit_test(models_at_the_limit_are_read_and_none_above),
		cmocka_unit_test(a_name_at_the_limit_is_read_and_none_above),
		cmocka_unit_test(the_same_key_twice_is_refused),
		FILE_TEST(what_is_written_can_be_read),
		FILE_TEST(a_changed_file_keeps_its_mode),
		FILE_TEST(a_file_for_everybody_is_refused),
		FILE_TEST(what_is_no_file_is_refused_at_once),
		FILE_TEST(a_file_at_the_limit_is_read_and_none_above),
		FILE_TEST(a_crash_leaves_the_old_file),
		cmocka_unit_test(keys_are_long_and_never_the_same),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
