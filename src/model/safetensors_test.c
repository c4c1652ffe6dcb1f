#include "model/safetensors.h"
#include "base/limits.h"
#include "model/gguf_make.h"
#include "model/safetensors_make.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

/* Takes `data_bytes` bytes of tensors after this header. */
static int read_one(const char *header, size_t data_bytes,
		    struct safetensors **out, struct err *e)
{
	auto_buf struct buf file;
	buf_init(&file, 64u << 20);
	make_safetensors(&file, header, data_bytes);
	auto_close int fd = make_fd((const uint8_t *)file.p, file.n);
	return safetensors_read(fd, out, e);
}

static void a_header_is_read(void **state)
{
	(void)state;
	struct err e = { 0 };
	auto_(safetensors) s = NULL;
	if (read_one("{\"__metadata__\":{\"format\":\"pt\",\"a\":\"\\u00e4\"},"
		     "\"b\":{\"dtype\":\"F32\",\"shape\":[2,1],"
		     "\"data_offsets\":[8,16]},"
		     "\"a\":{\"dtype\":\"BF16\",\"shape\":[4],"
		     "\"data_offsets\":[0,8]},"
		     "\"empty\":{\"dtype\":\"F4\",\"shape\":[0,9],"
		     "\"data_offsets\":[16,16]},"
		     "\"four\":{\"dtype\":\"F4\",\"shape\":[2],"
		     "\"data_offsets\":[16,17]},"
		     "\"one\":{\"dtype\":\"I64\",\"shape\":[],"
		     "\"data_offsets\":[17,25]}}   ",
		     25, &s, &e))
		fail_msg("%s", e.msg);
	assert_int_equal(s->n_tensors, 5);
	assert_int_equal(s->elements, 2 + 4 + 0 + 2 + 1);
	assert_string_equal(s->dtype, "mixed");
	assert_int_equal(s->n_pairs, 2);
	assert_string_equal(s->pairs[0].key, "a");
	assert_string_equal(s->pairs[0].value, "\xc3\xa4");
	assert_string_equal(s->pairs[1].value, "pt");
}

static void one_type_is_named(void **state)
{
	(void)state;
	struct err e = { 0 };
	auto_(safetensors) one = NULL;
	auto_(safetensors) newer = NULL;
	auto_(safetensors) none = NULL;
	assert_int_equal(read_one("{\"a\":{\"dtype\":\"BF16\",\"shape\":[2,3],"
				  "\"data_offsets\":[0,12]}}",
				  12, &one, &e),
			 0);
	assert_string_equal(one->dtype, "BF16");
	assert_int_equal(one->elements, 6);
	/* How large its numbers are is not ours to say. */
	assert_int_equal(read_one("{\"a\":{\"dtype\":\"F8_X\",\"shape\":[2,3],"
				  "\"data_offsets\":[0,5]}}",
				  5, &newer, &e),
			 0);
	assert_string_equal(newer->dtype, "F8_X");
	assert_int_equal(read_one("{}", 0, &none, &e), 0);
	assert_string_equal(none->dtype, "unknown");
}

#define T(dtype, shape, places)                            \
	"{\"t\":{\"dtype\":\"" dtype "\",\"shape\":" shape \
	",\"data_offsets\":" places "}}"

static void wrong_headers_are_refused(void **state)
{
	(void)state;
	static const struct {
		const char *header;
		size_t bytes;
	} bad[] = {
		{ "", 0 },
		{ "7", 0 },
		{ "[]", 0 },
		{ " {}", 0 },
		{ "{", 0 },
		{ "{}", 1 },
		{ "{\"t\":1}", 0 },
		{ "{\"__metadata__\":[]}", 0 },
		{ "{\"__metadata__\":{\"a\":1}}", 0 },
		{ "{\"__metadata__\":{\"a\":\"\\u0000\"}}", 0 },
		{ "{\"__metadata__\":{},\"__metadata__\":{}}", 0 },
		{ "{\"t\":{}}", 0 },
		{ T("F32", "[1]", "[0,4,8]"), 4 },
		{ T("F32", "[1]", "[0]"), 4 },
		{ T("F32", "[1]", "[0,-4]"), 4 },
		{ T("F32", "[-1]", "[0,4]"), 4 },
		{ T("F32", "[1.0]", "[0,4]"), 4 },
		{ T("F32", "1", "[0,4]"), 4 },
		{ T("F32", "[2]", "[0,4]"), 4 },
		{ T("F32", "[1]", "[4,0]"), 4 },
		{ T("F32", "[1]", "[0,4]"), 3 },
		{ T("F32", "[1]", "[0,4]"), 5 },
		{ T("F32", "[1]", "[1,5]"), 5 },
		{ T("F4", "[1]", "[0,1]"), 1 }, /* half a byte */
		{ T("F32", "[4294967296,4294967296]", "[0,0]"), 0 },
		{ T("F64", "[4611686018427387904]", "[0,0]"), 0 },
		{ T("F32", "[18446744073709551616]", "[0,4]"), 4 },
		/* an overlap, and a hole */
		{ "{\"a\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":"
		  "[0,2]},\"b\":{\"dtype\":\"U8\",\"shape\":[2],"
		  "\"data_offsets\":[1,3]}}",
		  3 },
		{ "{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":"
		  "[0,1]},\"b\":{\"dtype\":\"U8\",\"shape\":[1],"
		  "\"data_offsets\":[2,3]}}",
		  3 },
	};
	struct err e;
	struct safetensors *s;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		e.msg[0] = '\0';
		if (read_one(bad[i].header, bad[i].bytes, &s, &e) == 0)
			fail_msg("taken: %s", bad[i].header);
		assert_int_equal(e.code, ERR_INVALID);
		assert_non_null(strstr(e.msg, "safetensors"));
	}
}

static void the_length_of_the_header_is_not_believed(void **state)
{
	(void)state;
	static const unsigned char huge[] =
		"\xff\xff\xff\xff\xff\xff\xff\xff{}";
	static const unsigned char over[] = "\x03\0\0\0\0\0\0\0{}";
	struct err e;
	struct safetensors *s;
	for (size_t n = 0; n < 8; n++) {
		auto_close int fd = make_fd(huge, n);
		assert_int_equal(safetensors_read(fd, &s, &e), -1);
	}
	auto_close int fd = make_fd(huge, sizeof huge - 1);
	assert_int_equal(safetensors_read(fd, &s, &e), -1);
	assert_non_null(strstr(e.msg, "longer than the file"));
	auto_close int fd2 = make_fd(over, sizeof over - 1);
	assert_int_equal(safetensors_read(fd2, &s, &e), -1);
	assert_non_null(strstr(e.msg, "longer than the file"));
}

static void the_header_has_a_ceiling(void **state)
{
	(void)state;
	struct err e;
	auto_(safetensors) s = NULL;
	struct safetensors *none;
	auto_free char *text = xcalloc(1, LIMIT_SAFETENSORS_HEADER_BYTES + 2);
	memset(text, ' ', LIMIT_SAFETENSORS_HEADER_BYTES);
	memcpy(text, "{}", 2);
	assert_int_equal(read_one(text, 0, &s, &e), 0);
	text[LIMIT_SAFETENSORS_HEADER_BYTES] = ' ';
	assert_int_equal(read_one(text, 0, &none, &e), -1);
	assert_int_equal(e.code, ERR_TOO_LARGE);
}

/* A tree of them would take hundreds of megabytes. */
static void what_is_in_the_header_has_a_ceiling(void **state)
{
	(void)state;
	struct err e;
	struct safetensors *s;
	auto_buf struct buf text, keys;
	buf_init(&text, LIMIT_SAFETENSORS_HEADER_BYTES);
	buf_init(&keys, LIMIT_SAFETENSORS_HEADER_BYTES);
	int full = buf_puts(&text, "{\"a\":[0");
	for (size_t i = 0; i < LIMIT_SAFETENSORS_MARKS / 2; i++)
		full |= buf_puts(&text, ",{}");
	assert_int_equal(full | buf_puts(&text, "]}"), 0);
	assert_int_equal(read_one(text.p, 0, &s, &e), -1);
	assert_int_equal(e.code, ERR_TOO_LARGE);
	full = buf_puts(&keys, "{\"__metadata__\":{\"\":\"\"");
	for (size_t i = 0; i < LIMIT_SAFETENSORS_KEYS; i++)
		full |= buf_printf(&keys, ",\"%zu\":\"\"", i);
	assert_int_equal(full | buf_puts(&keys, "}}"), 0);
	assert_int_equal(read_one(keys.p, 0, &s, &e), -1);
	assert_int_equal(e.code, ERR_TOO_LARGE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_header_is_read),
		cmocka_unit_test(one_type_is_named),
		cmocka_unit_test(wrong_headers_are_refused),
		cmocka_unit_test(the_length_of_the_header_is_not_believed),
		cmocka_unit_test(the_header_has_a_ceiling),
		cmocka_unit_test(what_is_in_the_header_has_a_ceiling),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
