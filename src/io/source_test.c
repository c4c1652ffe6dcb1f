#include "io/source.h"
#include "base/limits.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>
#include <uv.h>

enum { BYTES = 3 * LIMIT_SOURCE_PIECE_BYTES + 1234 };

struct fixture {
	uv_loop_t loop;
	struct lane *lane;
	char path[32];
	char *want; /* owned */
	struct source *source;
	int ready;
};

static void on_ready(void *ctx)
{
	struct fixture *f = ctx;
	f->ready++;
}

static void open_file(struct fixture *f)
{
	uv_loop_init(&f->loop);
	f->lane = lane_new(&f->loop, 1, NULL);
	snprintf(f->path, sizeof f->path, "/tmp/source-XXXXXX");
	int fd = mkstemp(f->path);
	assert_true(fd >= 0);
	f->want = xcalloc(1, BYTES);
	for (size_t i = 0; i < BYTES; i++)
		f->want[i] = (char)(i * 31 + i / 4096);
	assert_int_equal(write(fd, f->want, BYTES), BYTES);
	close(fd);
	f->ready = 0;
}

static void close_file(struct fixture *f)
{
	source_free(f->source);
	uv_run(&f->loop, UV_RUN_DEFAULT);
	lane_free(f->lane);
	assert_int_equal(uv_loop_close(&f->loop), 0);
	unlink(f->path);
	free(f->want);
}

/* Takes `n` bytes in small pieces, waiting where there are none yet. */
static void take(struct fixture *f, const char *want, size_t n)
{
	char room[10000];
	size_t at = 0;
	while (at < n) {
		size_t got =
			source_take(f->source, room, MIN(sizeof room, n - at));
		assert_memory_equal(room, want + at, got);
		at += got;
		if (!got)
			uv_run(&f->loop, UV_RUN_ONCE);
	}
}

static void a_part_comes_whole_and_ends(void **state)
{
	struct fixture f;
	struct err e;
	char byte;
	(void)state;
	open_file(&f);
	f.source = source_new(f.lane, f.path, 100, BYTES - 200, on_ready, &f);
	assert_int_equal(source_take(f.source, &byte, 1), 0);
	assert_int_equal(f.ready, 0);
	take(&f, f.want + 100, BYTES - 200);
	assert_true(f.ready >= 1);
	assert_int_equal(source_take(f.source, &byte, 1), 0);
	assert_false(source_has_failed(f.source, &e));
	close_file(&f);
}

static void after_a_rewind_it_comes_again(void **state)
{
	(void)state;
	for (size_t before = 0; before < BYTES; before += BYTES / 7) {
		struct fixture f;
		open_file(&f);
		f.source = source_new(f.lane, f.path, 0, BYTES, on_ready, &f);
		take(&f, f.want, before);
		/* With a read under way, and without. */
		if (before % 2)
			uv_run(&f.loop, UV_RUN_DEFAULT);
		source_rewind(f.source);
		take(&f, f.want, BYTES);
		close_file(&f);
	}
}

static void a_file_that_is_shorter_or_not_there_is_told(void **state)
{
	struct fixture f;
	struct err e;
	char room[1000];
	(void)state;
	open_file(&f);
	f.source = source_new(f.lane, f.path, 0, BYTES + 1, on_ready, &f);
	take(&f, f.want, 3 * LIMIT_SOURCE_PIECE_BYTES);
	while (!source_has_failed(f.source, &e)) {
		assert_int_equal(source_take(f.source, room, sizeof room), 0);
		uv_run(&f.loop, UV_RUN_ONCE);
	}
	assert_int_equal(e.code, ERR_CORRUPT);
	close_file(&f);
	open_file(&f);
	f.source = source_new(f.lane, "/nowhere/x", 0, 10, on_ready, &f);
	assert_int_equal(source_take(f.source, room, sizeof room), 0);
	uv_run(&f.loop, UV_RUN_DEFAULT);
	assert_int_equal(f.ready, 1);
	assert_true(source_has_failed(f.source, &e));
	assert_int_equal(e.code, ERR_SYSTEM);
	close_file(&f);
}

static void who_leaves_hears_nothing(void **state)
{
	struct fixture f;
	char byte;
	(void)state;
	open_file(&f);
	f.source = source_new(f.lane, f.path, 0, BYTES, on_ready, &f);
	assert_int_equal(source_take(f.source, &byte, 1), 0);
	source_free(f.source);
	f.source = NULL;
	uv_run(&f.loop, UV_RUN_DEFAULT);
	assert_int_equal(f.ready, 0);
	close_file(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_part_comes_whole_and_ends),
		cmocka_unit_test(after_a_rewind_it_comes_again),
		cmocka_unit_test(a_file_that_is_shorter_or_not_there_is_told),
		cmocka_unit_test(who_leaves_hears_nothing),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
