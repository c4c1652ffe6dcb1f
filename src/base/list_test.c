#include "base/list.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <cmocka.h>

struct item {
	char name;
	struct list link;
};

static void assert_names(struct list *l, const char *names)
{
	list_each (it, l) {
		struct item *i = container_of(it, struct item, link);
		assert_int_equal(i->name, *names++);
	}
	assert_int_equal(*names, '\0');
}

static void members_stand_in_the_order_of_their_coming(void **state)
{
	(void)state;
	struct item a = { .name = 'a' }, b = { .name = 'b' };
	struct item c = { .name = 'c' };
	struct list l; /* item.link */
	list_init(&l);
	assert_true(list_is_empty(&l));
	assert_names(&l, "");
	list_push_back(&l, &b.link);
	list_push_back(&l, &c.link);
	list_push_front(&l, &a.link);
	assert_false(list_is_empty(&l));
	assert_names(&l, "abc");
	assert_ptr_equal(list_pop_front(&l), &a.link);
	assert_names(&l, "bc");
}

static void removing_twice_is_harmless(void **state)
{
	(void)state;
	struct item a = { .name = 'a' }, b = { .name = 'b' };
	struct list l; /* item.link */
	list_init(&l);
	list_push_back(&l, &a.link);
	list_push_back(&l, &b.link);
	list_remove(&a.link);
	list_remove(&a.link);
	assert_names(&l, "b");
	list_remove(&b.link);
	assert_true(list_is_empty(&l));
	assert_null(list_pop_front(&l));
}

static void a_member_may_leave_while_the_list_is_walked(void **state)
{
	(void)state;
	struct item items[4] = { { .name = 'a' },
				 { .name = 'b' },
				 { .name = 'c' },
				 { .name = 'd' } };
	struct list l; /* item.link */
	list_init(&l);
	for (size_t i = 0; i < ARRAY_LEN(items); i++)
		list_push_back(&l, &items[i].link);
	list_each (it, &l) {
		struct item *i = container_of(it, struct item, link);
		if (i->name != 'c')
			list_remove(it);
	}
	assert_names(&l, "c");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(members_stand_in_the_order_of_their_coming),
		cmocka_unit_test(removing_twice_is_harmless),
		cmocka_unit_test(a_member_may_leave_while_the_list_is_walked),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
