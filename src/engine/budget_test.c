#include "engine/budget.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *const folders[] = { "", "/a", "/a/b" };

struct place {
	char mount[64];
};

static void set(const struct place *p, size_t folder, const char *limit)
{
	char path[128];
	snprintf(path, sizeof path, "%s%s/memory.max", p->mount,
		 folders[folder]);
	auto_close int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	assert_int_equal(write(fd, limit, strlen(limit)), strlen(limit));
}

static int set_up(void **state)
{
	struct place *p = xcalloc(1, sizeof *p);
	snprintf(p->mount, sizeof p->mount, "/tmp/budget-test-XXXXXX");
	assert_non_null(mkdtemp(p->mount));
	for (size_t i = 1; i < ARRAY_LEN(folders); i++) {
		char path[128];
		snprintf(path, sizeof path, "%s%s", p->mount, folders[i]);
		assert_int_equal(mkdir(path, 0700), 0);
	}
	*state = p;
	return 0;
}

static int tear_down(void **state)
{
	struct place *p = *state;
	for (size_t i = ARRAY_LEN(folders); i-- > 0;) {
		char path[128];
		snprintf(path, sizeof path, "%s%s/memory.max", p->mount,
			 folders[i]);
		unlink(path);
		snprintf(path, sizeof path, "%s%s", p->mount, folders[i]);
		assert_int_equal(rmdir(path), 0);
	}
	free(p);
	return 0;
}

static void without_a_limit_there_is_none(void **state)
{
	const struct place *p = *state;
	assert_true(budget_of_groups(p->mount, STR("")) == UINT64_MAX);
	set(p, 1, "max\n");
	assert_true(budget_of_groups(p->mount, STR("0::/a/b\n")) == UINT64_MAX);
	assert_true(budget_of_groups("/nowhere", STR("0::/\n")) == UINT64_MAX);
}

static void the_least_limit_on_the_way_up_counts(void **state)
{
	const struct place *p = *state;
	const struct str groups = STR("4:memory:/x\n0::/a/b\n");
	set(p, 2, "3000\n");
	assert_int_equal(budget_of_groups(p->mount, groups), 3000);
	set(p, 1, "2000\n");
	assert_int_equal(budget_of_groups(p->mount, groups), 2000);
	assert_int_equal(budget_of_groups(p->mount, STR("0::/a")), 2000);
	set(p, 0, "1000\n");
	assert_int_equal(budget_of_groups(p->mount, groups), 1000);
	assert_int_equal(budget_of_groups(p->mount, STR("0::/\n")), 1000);
}

static void the_default_is_less_than_the_machine(void **state)
{
	(void)state;
	uint64_t most = (uint64_t)sysconf(_SC_PHYS_PAGES) *
			(uint64_t)sysconf(_SC_PAGESIZE);
	assert_true(budget_default() > 0);
	assert_true(budget_default() <= most / 10 * 9);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(without_a_limit_there_is_none),
		TEST(the_least_limit_on_the_way_up_counts),
		TEST(the_default_is_less_than_the_machine),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
