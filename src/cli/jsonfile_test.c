#include "cli/jsonfile.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>
#include <sys/stat.h>
#include <unistd.h>

static char folder[] = "/tmp/jsonfile_test.XXXXXX";

static char *in_folder(const char *name)
{
	return xasprintf("%s/%s", folder, name);
}

static void put(const char *path, const char *text)
{
	auto_close int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0640);
	assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
}

static void expect_text(const char *path, const char *want)
{
	char got[1000] = "";
	auto_close int fd = open(path, O_RDONLY);
	assert_true(read(fd, got, sizeof got - 1) >= 0);
	assert_string_equal(got, want);
}

static void a_file_that_is_not_there_is_an_empty_object(void **state)
{
	auto_free char *path = in_folder("deep/er/new.json");
	auto_json *j = NULL;
	struct err e;
	(void)state;
	assert_int_equal(jsonfile_read(path, &j, &e), JSONFILE_ABSENT);
	json_object_set_new(j, "port", json_integer(7));
	assert_int_equal(jsonfile_write(path, j, &e), 0);
	expect_text(path, "{\n    \"port\": 7\n}\n");
}

static void other_members_their_order_and_the_mode_stay(void **state)
{
	auto_free char *path = in_folder("old.json");
	auto_json *j = NULL;
	struct stat st;
	struct err e;
	(void)state;
	put(path, "{\"z\":[1,{\"b\":null}],\"port\":\"1\",\"a\":\"\\u00e9\"}");
	assert_int_equal(jsonfile_read(path, &j, &e), 0);
	json_object_set_new(j, "port", json_string("off"));
	assert_int_equal(jsonfile_write(path, j, &e), 0);
	expect_text(path,
		    "{\n    \"z\": [\n        1,\n        {\n"
		    "            \"b\": null\n        }\n    ],\n"
		    "    \"port\": \"off\",\n    \"a\": \"\303\251\"\n}\n");
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0640);
}

static void a_link_stays_a_link(void **state)
{
	auto_free char *target = in_folder("target.json");
	auto_free char *path = in_folder("link.json");
	auto_json *j = json_object();
	struct stat st;
	struct err e;
	(void)state;
	put(target, "{}");
	assert_int_equal(symlink("target.json", path), 0);
	json_object_set_new(j, "x", json_true());
	assert_int_equal(jsonfile_write(path, j, &e), 0);
	assert_int_equal(lstat(path, &st), 0);
	assert_true(S_ISLNK(st.st_mode));
	expect_text(target, "{\n    \"x\": true\n}\n");
}

static void a_broken_file_is_named_and_left_alone(void **state)
{
	auto_free char *path = in_folder("broken.json");
	json_t *j;
	struct err e;
	(void)state;
	put(path, "{\"port\": }");
	assert_int_equal(jsonfile_read(path, &j, &e), -1);
	assert_non_null(strstr(e.msg, path));
	put(path, "[]");
	assert_int_equal(jsonfile_read(path, &j, &e), -1);
	assert_non_null(strstr(e.msg, "must be a JSON object"));
	expect_text(path, "[]");
}

static void a_folder_in_the_files_place_is_an_error(void **state)
{
	auto_free char *path = in_folder("folder");
	auto_free char *beside = in_folder("folder.XXXXXX");
	auto_json *j = json_object();
	struct err e;
	(void)state;
	assert_int_equal(mkdir(path, 0755), 0);
	assert_int_equal(jsonfile_write(path, j, &e), -1);
	assert_non_null(strstr(e.msg, path));
	assert_int_equal(access(beside, F_OK), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_file_that_is_not_there_is_an_empty_object),
		cmocka_unit_test(other_members_their_order_and_the_mode_stay),
		cmocka_unit_test(a_link_stays_a_link),
		cmocka_unit_test(a_broken_file_is_named_and_left_alone),
		cmocka_unit_test(a_folder_in_the_files_place_is_an_error),
	};
	if (!mkdtemp(folder))
		return 1;
	int failed = cmocka_run_group_tests(tests, NULL, NULL);
	auto_free char *remove = xasprintf("rm -rf '%s'", folder);
	return system(remove) ? 1 : failed;
}
