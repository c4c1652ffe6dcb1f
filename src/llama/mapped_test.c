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

#define PAGES 16

struct file {
	char path[64];
	size_t size;
	char *map;
};

static void make(struct file *f, int rights, int kind)
{
	*f = (struct file){ .path = "/tmp/mapped test-XXXXXX" };
	auto_close int fd = mkstemp(f->path);
	assert_true(fd >= 0);
	f->size = PAGES * (size_t)sysconf(_SC_PAGESIZE);
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

/* Pages of it in this process's memory. */
static int resident(const struct file *f)
{
	int n = 0;
	auto_close int fd = open("/proc/self/pagemap", O_RDONLY);
	size_t page = f->size / PAGES;
	for (size_t i = 0; i < PAGES; i++) {
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
	(void)state;
	make(&one, PROT_READ, MAP_SHARED);
	make(&other, PROT_READ, MAP_SHARED);
	mapped_forget(one.path);
	assert_int_equal(resident(&one), 0);
	assert_int_equal(resident(&other), PAGES);
	for (size_t i = 0; i < one.size; i++)
		assert_int_equal(one.map[i], 'x');
	mapped_forget("/nowhere/at all");
	unmake(&one);
	unmake(&other);
}

static void test_what_is_not_as_in_the_file_stays(void **state)
{
	struct file f;
	(void)state;
	make(&f, PROT_READ | PROT_WRITE, MAP_PRIVATE);
	f.map[5] = 'y';
	assert_int_equal(mprotect(f.map, f.size, PROT_READ), 0);
	mapped_forget(f.path);
	assert_int_equal(f.map[5], 'y');
	unmake(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_pages_go_and_come_back_as_they_were),
		cmocka_unit_test(test_what_is_not_as_in_the_file_stays),
	};
	mapped_open();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
