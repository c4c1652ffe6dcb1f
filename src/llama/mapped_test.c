#include "llama/mapped.h"

#include "base/base.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <cmocka.h>

#define PAGES 256

static size_t page;

struct file {
	char path[64];
	size_t size;
	char *map;
};

static void make(struct file *f, int rights, int kind)
{
	*f = (struct file){ .path = "/tmp/mapped_test-XXXXXX" };
	auto_close int fd = mkstemp(f->path);
	assert_true(fd >= 0);
	f->size = PAGES * page;
	auto_free char *text = xcalloc(f->size, 1);
	memset(text, 'x', f->size);
	assert_int_equal(write(fd, text, f->size), (ssize_t)f->size);
	f->map = mmap(NULL, f->size, rights, kind | MAP_POPULATE, fd, 0);
	assert_true(f->map != MAP_FAILED);
}

static void unmake(struct file *f)
{
	munmap(f->map, f->size);
	unlink(f->path);
}

/* Pages of it in this process's memory, from one to before another. */
static int resident(const struct file *f, size_t from, size_t to)
{
	int n = 0;
	auto_close int fd = open("/proc/self/pagemap", O_RDONLY);
	for (size_t i = from; i < to; i++) {
		uint64_t entry;
		off_t at = (off_t)(((uintptr_t)f->map / page + i) * 8);
		assert_int_equal(pread(fd, &entry, 8, at), 8);
		n += (int)(entry >> 63);
	}
	return n;
}

static void test_pages_go_and_come_back_as_they_were(void **state)
{
	struct file one, other;
	struct mapped m;
	(void)state;
	make(&one, PROT_READ, MAP_SHARED);
	make(&other, PROT_READ, MAP_SHARED);
	mapped_copied(one.map, one.size);
	mapped_take(&m);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(resident(&one, 0, PAGES), PAGES);
		mapped_forget(&m);
		assert_int_equal(resident(&one, 0, PAGES), 0);
		for (size_t k = 0; k < one.size; k++)
			assert_int_equal(one.map[k], 'x');
	}
	assert_int_equal(resident(&other, 0, PAGES), PAGES);
	mapped_fini(&m);
	unmake(&one);
	unmake(&other);
}

/* Two parts, of which one is told in halves and last first, begin and end
 * within pages; between them lies much, between the halves little. */
static void test_only_what_was_copied_goes(void **state)
{
	struct file f;
	struct mapped m;
	(void)state;
	make(&f, PROT_READ, MAP_SHARED);
	mapped_copied(f.map + 220 * page, 9 * page + 1);
	mapped_copied(f.map + 200 * page - 1, 20 * page - 99);
	mapped_copied(f.map + 100 * page + 1, 10 * page);
	mapped_take(&m);
	mapped_forget(&m);
	assert_int_equal(resident(&f, 0, 101), 101);
	assert_int_equal(resident(&f, 101, 110), 0);
	assert_int_equal(resident(&f, 110, 200), 90);
	assert_int_equal(resident(&f, 200, 229), 0);
	assert_int_equal(resident(&f, 229, PAGES), PAGES - 229);
	mapped_fini(&m);
	unmake(&f);
}

static void test_what_is_not_as_in_the_file_stays(void **state)
{
	struct file f;
	struct mapped m;
	auto_free char *heap = xcalloc(PAGES, page);
	(void)state;
	memset(heap, 'z', PAGES * page);
	make(&f, PROT_READ | PROT_WRITE, MAP_PRIVATE);
	f.map[5] = 'y';
	assert_int_equal(mprotect(f.map, f.size, PROT_READ), 0);
	mapped_copied(f.map, f.size);
	mapped_copied(heap, PAGES * page);
	mapped_take(&m);
	mapped_forget(&m);
	assert_int_equal(f.map[5], 'y');
	for (size_t i = 0; i < PAGES * page; i++)
		assert_int_equal(heap[i], 'z');
	mapped_fini(&m);
	unmake(&f);
}

static void test_what_was_taken_is_not_taken_again(void **state)
{
	struct file f;
	struct mapped first, second;
	(void)state;
	make(&f, PROT_READ, MAP_SHARED);
	mapped_copied(f.map, f.size);
	mapped_take(&first);
	mapped_take(&second);
	assert_int_equal(second.n, 0);
	mapped_forget(&second);
	assert_int_equal(resident(&f, 0, PAGES), PAGES);
	mapped_fini(&first);
	mapped_fini(&second);
	unmake(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_pages_go_and_come_back_as_they_were),
		cmocka_unit_test(test_only_what_was_copied_goes),
		cmocka_unit_test(test_what_is_not_as_in_the_file_stays),
		cmocka_unit_test(test_what_was_taken_is_not_taken_again),
	};
	page = (size_t)sysconf(_SC_PAGESIZE);
	mapped_open();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
