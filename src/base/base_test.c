#include "base/base.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

struct thing {
	int *freed;
};

static void thing_free(struct thing *t)
{
	if (t)
		++*t->freed;
	free(t);
}
BASE_AUTO(thing);

static struct thing *thing_new(int *freed)
{
	struct thing *t = xcalloc(1, sizeof *t);
	t->freed = freed;
	return t;
}

static void a_local_is_freed_with_its_scope(void **state)
{
	(void)state;
	int freed = 0;
	{
		auto_(thing) t = thing_new(&freed);
		auto_(thing) none = NULL;
		assert_non_null(t);
		assert_null(none);
	}
	assert_int_equal(freed, 1);
}

static void what_was_stolen_is_not_freed(void **state)
{
	(void)state;
	int freed = 0;
	struct thing *out;
	{
		auto_(thing) t = thing_new(&freed);
		out = steal(&t);
		assert_null(t);
	}
	assert_int_equal(freed, 0);
	thing_free(out);
}

static bool is_open(int fd)
{
	return fcntl(fd, F_GETFD) >= 0;
}

static void a_descriptor_is_closed_with_its_scope_unless_stolen(void **state)
{
	(void)state;
	int closed, kept;
	{
		auto_close int a = dup(STDERR_FILENO);
		auto_close int b = dup(STDERR_FILENO);
		auto_close int none = -1;
		closed = a;
		kept = steal_fd(&b);
		assert_int_equal(b, -1);
		assert_int_equal(none, -1);
	}
	assert_false(is_open(closed));
	assert_true(is_open(kept));
	close(kept);
}

static void memory_is_zeroed_and_never_null(void **state)
{
	(void)state;
	auto_free char *zeroed = xcalloc(100, 1);
	for (size_t i = 0; i < 100; i++)
		assert_int_equal(zeroed[i], 0);
	auto_free void *nothing = xcalloc(0, 0);
	assert_non_null(nothing);
	zeroed = xrealloc(zeroed, 0);
	assert_non_null(zeroed);
}

static void texts_are_copied(void **state)
{
	(void)state;
	auto_free char *a = xstrdup("abc");
	auto_free char *b = xstrndup("abcdef", 2);
	auto_free char *c = xasprintf("%s-%d", a, 5);
	assert_string_equal(a, "abc");
	assert_string_equal(b, "ab");
	assert_string_equal(c, "abc-5");
}

static void a_member_leads_to_what_holds_it(void **state)
{
	(void)state;
	struct holder {
		char before;
		int member;
	} h;
	assert_ptr_equal(container_of(&h.member, struct holder, member), &h);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_local_is_freed_with_its_scope),
		cmocka_unit_test(what_was_stolen_is_not_freed),
		cmocka_unit_test(
			a_descriptor_is_closed_with_its_scope_unless_stolen),
		cmocka_unit_test(memory_is_zeroed_and_never_null),
		cmocka_unit_test(texts_are_copied),
		cmocka_unit_test(a_member_leads_to_what_holds_it),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
