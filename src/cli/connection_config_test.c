#include "cli/connection_config.h"
#include "cli/jsonfile.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <cmocka.h>
#include <unistd.h>

static char folder[] = "/tmp/connection_config_test.XXXXXX";
static char *path; /* in a folder that is not there yet */

static const struct connection_change changes[] = {
	{ "address", "169.254.255.91" },
	{ "take", NULL },
	{ "user", "1000" },
};

static int set(bool is_dry)
{
	struct err e;
	return connection_config_set(path, changes, ARRAY_LEN(changes), is_dry,
				     &e);
}

static int forget(void)
{
	struct err e;
	return connection_config_forget(path, &e);
}

/* What a person does with an editor. */
static void edit(const char *member, const char *value)
{
	auto_json *file = NULL;
	struct err e;
	assert_true(jsonfile_read(path, &file, &e) >= 0);
	json_object_set_new(file, member, json_string(value));
	assert_int_equal(jsonfile_write(path, file, &e), 0);
}

static const char *value_of(const char *member, json_t **file)
{
	struct err e;
	assert_true(jsonfile_read(path, file, &e) >= 0);
	return json_string_value(json_object_get(*file, member));
}

static int clean(void **state)
{
	(void)state;
	unlink(path);
	return 0;
}

static void what_it_made_goes_with_its_folder(void **state)
{
	auto_json *file = NULL;
	(void)state;
	assert_int_equal(set(true), 0);
	assert_int_equal(access(path, F_OK), -1);
	assert_int_equal(set(false), 0);
	assert_int_equal(set(false), CONNECTION_CONFIG_SAME);
	assert_string_equal(value_of("user", &file), "1000");
	assert_null(json_object_get(file, "take"));
	assert_int_equal(forget(), 0);
	assert_int_equal(forget(), CONNECTION_CONFIG_SAME);
	*strrchr(path, '/') = '\0';
	assert_int_equal(access(path, F_OK), -1);
	path[strlen(path)] = '/';
}

static void what_it_changed_again_still_goes(void **state)
{
	const struct connection_change more = { "take", "off" };
	struct err e;
	(void)state;
	assert_int_equal(set(false), 0);
	assert_int_equal(connection_config_set(path, &more, 1, false, &e), 0);
	assert_int_equal(forget(), 0);
}

static void what_a_person_changed_stays(void **state)
{
	auto_json *file = NULL;
	(void)state;
	assert_int_equal(set(false), 0);
	edit("address", "169.254.255.93");
	assert_int_equal(forget(), CONNECTION_CONFIG_SAME);
	assert_string_equal(value_of("address", &file), "169.254.255.93");
}

static void a_persons_own_file_keeps_the_rest(void **state)
{
	auto_json *file = NULL;
	(void)state;
	edit("name", "models.example");
	assert_int_equal(set(false), 0);
	assert_string_equal(value_of("name", &file), "models.example");
	assert_string_equal(json_string_value(json_object_get(file, "user")),
			    "1000");
	assert_int_equal(forget(), CONNECTION_CONFIG_SAME);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup(name, clean)
	const struct CMUnitTest tests[] = {
		T(what_it_made_goes_with_its_folder),
		T(what_it_changed_again_still_goes),
		T(what_a_person_changed_stays),
		T(a_persons_own_file_keeps_the_rest),
	};
	if (!mkdtemp(folder))
		return 1;
	path = xasprintf("%s/etc/docker.json", folder);
	int failed = cmocka_run_group_tests(tests, NULL, NULL);
	auto_free char *remove = xasprintf("rm -rf '%s'", folder);
	free(path);
	return system(remove) ? 1 : failed;
}
