#include "oci/ranges.h"
#include "base/buf.h"
#include "base/limits.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

static void chunks_are_handed_out_in_order_and_once(void **state)
{
	struct ranges r;
	size_t i;
	(void)state;
	ranges_init(&r, 250, 100);
	assert_int_equal(r.n, 3);
	assert_int_equal(ranges_chunk_size(&r, 2), 50);
	for (size_t want = 0; want < 3; want++) {
		assert_true(ranges_take(&r, &i));
		assert_int_equal(i, want);
	}
	assert_false(ranges_take(&r, &i));
	ranges_give_back(&r, 1);
	assert_true(ranges_take(&r, &i));
	assert_int_equal(i, 1);
	ranges_fini(&r);
}

static void the_prefix_is_what_can_be_hashed(void **state)
{
	struct ranges r;
	size_t i;
	(void)state;
	ranges_init(&r, 250, 100);
	ranges_add(&r, 1, 100);
	ranges_add(&r, 0, 30);
	assert_int_equal(ranges_prefix(&r), 30);
	assert_int_equal(ranges_total(&r), 130);
	ranges_add(&r, 0, 70);
	assert_int_equal(ranges_prefix(&r), 200);
	assert_true(ranges_take(&r, &i));
	assert_int_equal(i, 2);
	ranges_add(&r, 2, 50);
	assert_true(ranges_is_whole(&r));
	assert_int_equal(ranges_prefix(&r), 250);
	ranges_set_prefix(&r, 120);
	assert_int_equal(ranges_prefix(&r), 120);
	assert_false(ranges_is_whole(&r));
	ranges_fini(&r);
	ranges_init(&r, 0, 100);
	assert_true(ranges_is_whole(&r));
	ranges_fini(&r);
}

static void write_text(const struct ranges *r, struct buf *out)
{
	char header[RANGES_HEADER_BYTES], slot[RANGES_SLOT_BYTES];
	buf_init(out, 1 << 20);
	ranges_put_header(r, header);
	assert_int_equal(buf_put(out, header, sizeof header), 0);
	for (size_t i = 0; i < r->n; i++) {
		ranges_put_slot(r->chunks[i].done, slot);
		assert_int_equal(buf_put(out, slot, sizeof slot), 0);
	}
	assert_int_equal(out->n, ranges_text_bytes(r));
}

static void what_is_written_is_read_again(void **state)
{
	struct ranges r, again;
	auto_buf struct buf text;
	(void)state;
	ranges_init(&r, 250, 100);
	ranges_add(&r, 0, 100);
	ranges_add(&r, 2, 7);
	write_text(&r, &text);
	assert_true(ranges_read(buf_str(&text), 250, &again));
	assert_int_equal(ranges_prefix(&again), 100);
	assert_int_equal(ranges_total(&again), 107);
	ranges_fini(&again);
	/* Of another blob, cut anywhere, or with more than there can be. */
	assert_false(ranges_read(buf_str(&text), 251, &again));
	for (size_t n = 0; n < text.n; n++)
		assert_false(
			ranges_read(str_head(buf_str(&text), n), 250, &again));
	text.p[RANGES_HEADER_BYTES] = 101;
	assert_false(ranges_read(buf_str(&text), 250, &again));
	ranges_fini(&r);
}

static void the_number_of_chunks_has_a_ceiling(void **state)
{
	struct ranges r;
	(void)state;
	ranges_init(&r, LIMIT_RANGES_CHUNKS * 10ull, 10);
	assert_int_equal(r.n, LIMIT_RANGES_CHUNKS);
	ranges_fini(&r);
	ranges_init(&r, LIMIT_RANGES_CHUNKS * 10ull + 1, 10);
	assert_int_equal(r.chunk_bytes, 20);
	ranges_fini(&r);
	ranges_init(&r, LIMIT_BLOB_BYTES, LIMIT_PULL_CHUNK_BYTES);
	assert_true(r.n <= LIMIT_RANGES_CHUNKS);
	ranges_fini(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(chunks_are_handed_out_in_order_and_once),
		cmocka_unit_test(the_prefix_is_what_can_be_hashed),
		cmocka_unit_test(what_is_written_is_read_again),
		cmocka_unit_test(the_number_of_chunks_has_a_ceiling),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
