#include "llama/exif.h"

#include "base/buf.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static void put(struct buf *b, struct str s)
{
	assert_int_equal(buf_put(b, s.p, s.n), 0);
}

static void put_number(struct buf *b, uint32_t n, int bytes, bool is_big)
{
	for (int i = 0; i < bytes; i++) {
		char c = (char)(n >> 8 * (is_big ? bytes - 1 - i : i));
		put(b, (struct str){ &c, 1 });
	}
}

/* ---- the data: what a test makes of it stands here ---- */

struct data {
	bool is_big;
	uint32_t offset, n_entries; /* of the directory */
	uint32_t tag, type, count, value;
};

static struct data usual(uint32_t value)
{
	return (struct data){ false, 8, 3, 0x112, 3, 1, value };
}

static void put_entry(struct buf *b, bool is_big, uint32_t tag, uint32_t type,
		      uint32_t count)
{
	put_number(b, tag, 2, is_big);
	put_number(b, type, 2, is_big);
	put_number(b, count, 4, is_big);
}

/* Between two other entries. */
static void put_data(struct buf *b, const struct data *d)
{
	put(b, d->is_big ? STR("MM") : STR("II"));
	put_number(b, 42, 2, d->is_big);
	put_number(b, d->offset, 4, d->is_big);
	put_number(b, d->n_entries, 2, d->is_big);
	put_entry(b, d->is_big, 0x10f, 2, 4);
	put(b, STR("abc\0"));
	put_entry(b, d->is_big, d->tag, d->type, d->count);
	put_number(b, d->value, 2, d->is_big);
	put(b, STR("\0\0"));
	put_entry(b, d->is_big, 0x11a, 5, 1);
	put_number(b, 50, 4, d->is_big);
	put_number(b, 0, 4, d->is_big);
}

/* ---- the files ---- */

static void put_segment(struct buf *b, const char *marker, struct str name,
			struct str body)
{
	put(b, str_of(marker));
	put_number(b, (uint32_t)(2 + name.n + body.n), 2, true);
	put(b, name);
	put(b, body);
}

static void put_jpeg(struct buf *b, struct str tiff)
{
	put(b, STR("\xff\xd8"));
	put_segment(b, "\xff\xe0", STR("JFIF\0"), STR("\1\1\0\0\1\0\1\0\0"));
	put_segment(b, "\xff\xff\xff\xe1",
		    STR("http://ns.adobe.com/xap/1.0/\0"), STR("<x/>"));
	put_segment(b, "stray\xff\xe1", STR("Exif\0\0"), tiff);
	put(b, STR("\xff\xda\0\2"));
}

static void put_png(struct buf *b, struct str tiff)
{
	put(b, STR("\x89PNG\r\n\x1a\n\0\0\0\3IHDRabcsums"));
	put_number(b, (uint32_t)tiff.n, 4, true);
	put(b, STR("eXIf"));
	put(b, tiff);
	put(b, STR("sums\0\0\0\0IENDsums"));
}

static void put_webp(struct buf *b, struct str tiff)
{
	put(b, STR("RIFF\xff\xff\0\0WEBPVP8 \3\0\0\0odd\0EXIF"));
	put_number(b, (uint32_t)tiff.n, 4, false);
	put(b, tiff);
}

static void put_named_webp(struct buf *b, struct str tiff)
{
	auto_buf struct buf named;
	buf_init(&named, 1000);
	put(&named, STR("Exif\0\0"));
	put(&named, tiff);
	put_webp(b, buf_str(&named));
}

typedef void (*put_fn)(struct buf *b, struct str tiff);
static const put_fn kinds[] = { put_jpeg, put_png, put_webp, put_named_webp };

/* From bytes that end where their memory does. */
static unsigned read_exactly(struct str file)
{
	auto_free char *copy = xcalloc(file.n, 1);
	memcpy(copy, file.p, file.n);
	return exif_orientation((struct str){ copy, file.n });
}

static unsigned read_in(put_fn kind, const struct data *d)
{
	auto_buf struct buf tiff, file;
	buf_init(&tiff, 1000);
	buf_init(&file, 1000);
	put_data(&tiff, d);
	kind(&file, buf_str(&tiff));
	return read_exactly(buf_str(&file));
}

/* ---- the tests ---- */

static void every_kind_of_file_tells_it_in_both_byte_orders(void **state)
{
	(void)state;
	for (unsigned n = 1; n <= 8; n++) {
		struct data little = usual(n), big = usual(n);
		big.is_big = true;
		for (size_t k = 0; k < ARRAY_LEN(kinds); k++) {
			assert_int_equal(read_in(kinds[k], &little), n);
			assert_int_equal(read_in(kinds[k], &big), n);
		}
	}
}

static void what_makes_no_sense_is_upright(void **state)
{
	static const struct data odd[] = {
		{ false, 8, 3, 0x112, 3, 1, 0 }, /* such a number is none */
		{ false, 8, 3, 0x112, 3, 1, 9 },
		{ false, 8, 3, 0x112, 3, 1, 0xffff },
		{ false, 8, 3, 0x112, 4, 1, 6 }, /* of another type */
		{ false, 8, 3, 0x112, 3, 0, 6 }, /* none, or many of them */
		{ false, 8, 3, 0x112, 3, 2, 6 },
		{ false, 8, 3, 0x112, 3, UINT32_MAX, 6 },
		{ false, 8, 3, 0x113, 3, 1, 6 },
		{ false, 8, 1, 0x112, 3, 1, 6 }, /* it ends before ours */
		{ false, 8, 0, 0x112, 3, 1, 6 },
		{ false, UINT32_MAX, 3, 0x112, 3, 1, 6 }, /* beyond the end */
		{ false, 45, 3, 0x112, 3, 1, 6 },
		{ false, 0, 3, 0x112, 3, 1, 6 }, /* in its own head */
	};
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(odd); i++)
		for (size_t k = 0; k < ARRAY_LEN(kinds); k++)
			assert_int_equal(read_in(kinds[k], &odd[i]), 1);
	/* A count that is too high harms nothing. */
	struct data many = usual(6);
	many.n_entries = 0xffff;
	for (size_t k = 0; k < ARRAY_LEN(kinds); k++)
		assert_int_equal(read_in(kinds[k], &many), 6);
}

static void a_file_may_end_anywhere(void **state)
{
	auto_buf struct buf tiff, file;
	struct data d = usual(6);
	(void)state;
	buf_init(&tiff, 1000);
	buf_init(&file, 1000);
	put_data(&tiff, &d);
	for (size_t k = 0; k < ARRAY_LEN(kinds); k++) {
		buf_clear(&file);
		kinds[k](&file, buf_str(&tiff));
		unsigned last = 1;
		for (size_t n = 0; n <= file.n; n++) {
			unsigned got =
				read_exactly(str_head(buf_str(&file), n));
			assert_true(got == last || (last == 1 && got == 6));
			last = got;
		}
		assert_int_equal(last, 6);
	}
}

/* Sizes that lie: into what comes behind, and back to where they stand. */
static void parts_are_no_longer_than_their_file(void **state)
{
	static const struct str files[] = {
		STR("\xff\xd8\xff\xe1\0\0\xff\xe1\0\1\xff\xe1\xff\xff"
		    "Exif\0\0II*\0\x08\0\0\0\xff\xff"),
		STR("\xff\xd8\xff\xe1\0\x08"
		    "Exif\0\0II*\0\x08\0\0\0\1\0"
		    "\x12\1\3\0\1\0\0\0\6\0\0\0"),
		STR("\x89PNG\r\n\x1a\n\xff\xff\xff\xffIHDRsums\0\0\0\x1a"
		    "eXIfII*\0\x08\0\0\0\1\0\x12\1\3\0\1\0\0\0\6\0\0\0sums"),
		STR("\x89PNG\r\n\x1a\n\0\0\0\0IENDsums\0\0\0\x1a"
		    "eXIfII*\0\x08\0\0\0\1\0\x12\1\3\0\1\0\0\0\6\0\0\0sums"),
		STR("RIFF\0\0\0\0WEBPVP8 \xff\xff\xff\xffsums"
		    "EXIF\x1a\0\0\0II*\0\x08\0\0\0\1\0"
		    "\x12\1\3\0\1\0\0\0\6\0\0\0"),
		STR("GIF89aII*\0\x08\0\0\0\1\0\x12\1\3\0\1\0\0\0\6\0\0\0"),
		STR("\xff\xd8"),
		STR("\xff\xd8\xff\xff\xff\xff"),
		STR("\xff\xd8\xff\xda\0\2\xff\xe1\0\x22"
		    "Exif\0\0II*\0\x08\0"
		    "\0\0\1\0\x12\1\3\0\1\0\0\0\6\0\0\0"),
	};
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(files); i++)
		assert_int_equal(read_exactly(files[i]), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
			every_kind_of_file_tells_it_in_both_byte_orders),
		cmocka_unit_test(what_makes_no_sense_is_upright),
		cmocka_unit_test(a_file_may_end_anywhere),
		cmocka_unit_test(parts_are_no_longer_than_their_file),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
