#include "model/gguf.h"
#include "base/limits.h"
#include "model/gguf_make.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>

static int read_bytes(const struct buf *b, size_t n, struct gguf_file **out,
		      struct err *e)
{
	auto_close int fd = make_fd(b->p, n);
	return gguf_read(fd, out, e);
}

static const char *value(const struct gguf_file *g, const char *key)
{
	for (size_t i = 0; i < g->n_pairs; i++) {
		if (strcmp(g->pairs[i].key, key) == 0)
			return g->pairs[i].value;
	}
	return "(none)";
}

#define BUILD(name)               \
	auto_buf struct buf name; \
	buf_init(&name, 64u << 20)

static void values_become_text_as_docker_model_runner_has_them(void **state)
{
	(void)state;
	struct err e;
	auto_(gguf_file) g = NULL;
	char text[4096] = "";
	BUILD(b);
	make_every_kind(&b);
	assert_int_equal(read_bytes(&b, b.n, &g, &e), 0);

	FILE *f = fopen("tests/data/store/config-dummy.json", "r");
	assert_non_null(f);
	assert_true(fread(text, 1, sizeof text - 1, f) > 0);
	fclose(f);
	auto_(model_config) want = NULL;
	assert_int_equal(model_config_parse(str_of(text), &want, &e), 0);
	assert_int_equal(g->n_pairs, want->n_gguf);
	for (size_t i = 0; i < g->n_pairs; i++) {
		assert_string_equal(g->pairs[i].key, want->gguf[i].key);
		assert_string_equal(g->pairs[i].value, want->gguf[i].value);
	}
	assert_int_equal(g->elements, 183);
	assert_int_equal(g->tensor_bytes, 864);
	assert_string_equal(g->architecture, "llama");
	assert_string_equal(g->quantization, "Unknown");
	assert_int_equal(g->context_size, 0);
}

static void what_a_person_asks_for_is_found(void **state)
{
	(void)state;
	struct err e;
	auto_(gguf_file) g = NULL;
	BUILD(b);
	make_small_model(&b);
	assert_int_equal(read_bytes(&b, b.n, &g, &e), 0);
	assert_string_equal(g->architecture, "llama");
	assert_string_equal(g->quantization, "MOSTLY_Q4_K_M");
	assert_int_equal(g->context_size, 8192);
	assert_int_equal(g->elements, 256);
	assert_int_equal(g->tensor_bytes, 144);
	assert_string_equal(value(g, "tokenizer.chat_template"),
			    "{{ messages }}");
}

static void long_arrays_are_left_out_and_nested_ones_empty(void **state)
{
	(void)state;
	struct err e;
	auto_(gguf_file) g = NULL;
	BUILD(b);
	make_start(&b, 0, 5);
	make_key(&b, "a50", MAKE_ARRAY);
	make_array(&b, MAKE_U8, 50);
	make_bytes(&b, (char[50]){ 0 }, 50);
	make_key(&b, "a51", MAKE_ARRAY);
	make_array(&b, MAKE_U8, 51);
	make_bytes(&b, (char[51]){ 0 }, 51);
	make_key(&b, "s51", MAKE_ARRAY);
	make_array(&b, MAKE_STRING, 51);
	for (int i = 0; i < 51; i++)
		make_string(&b, "token");
	make_key(&b, "nested", MAKE_ARRAY);
	make_array(&b, MAKE_ARRAY, 2);
	make_array(&b, MAKE_U8, 1);
	make_uint(&b, 1, 1);
	make_array(&b, MAKE_STRING, 1);
	make_string(&b, "x");
	make_key(&b, "nothing", MAKE_ARRAY);
	make_array(&b, MAKE_U8, 0);
	assert_int_equal(read_bytes(&b, b.n, &g, &e), 0);
	assert_int_equal(strlen(value(g, "a50")), 50 + 49 * 2);
	assert_string_equal(value(g, "a51"), "(none)");
	assert_string_equal(value(g, "s51"), "(none)");
	assert_string_equal(value(g, "nested"), "");
	assert_string_equal(value(g, "nothing"), "");
}

static void odd_floats_are_written_as_go_does(void **state)
{
	(void)state;
	struct err e;
	auto_(gguf_file) g = NULL;
	BUILD(b);
	make_start(&b, 0, 3);
	make_key(&b, "nan", MAKE_F32);
	make_uint(&b, 0x7fc00000, 4);
	make_key(&b, "inf", MAKE_F64);
	make_uint(&b, 0x7ff0000000000000, 8);
	make_key(&b, "minus", MAKE_F32);
	make_uint(&b, 0xff800000, 4);
	assert_int_equal(read_bytes(&b, b.n, &g, &e), 0);
	assert_string_equal(value(g, "nan"), "NaN");
	assert_string_equal(value(g, "inf"), "+Inf");
	assert_string_equal(value(g, "minus"), "-Inf");
}

static void a_file_cut_anywhere_is_an_error(void **state)
{
	(void)state;
	struct err e;
	struct gguf_file *g;
	BUILD(b);
	make_every_kind(&b);
	for (size_t n = 0; n < b.n; n++) {
		if (read_bytes(&b, n, &g, &e) == 0)
			fail_msg("taken: %zu of %zu bytes", n, b.n);
		assert_int_equal(e.code, ERR_INVALID);
	}
}

static void expect_wrong(const struct buf *b, enum err_code code,
			 const char *words)
{
	struct err e;
	struct gguf_file *g;
	assert_int_equal(read_bytes(b, b->n, &g, &e), -1);
	assert_int_equal(e.code, code);
	if (!strstr(e.msg, words))
		fail_msg("\"%s\" is not in: %s", words, e.msg);
}

static void other_files_and_versions_are_named(void **state)
{
	(void)state;
	BUILD(other);
	make_bytes(&other, "PK\3\4 and more", 12);
	expect_wrong(&other, ERR_INVALID, "not a GGUF file");
	BUILD(one);
	make_bytes(&one, "GGUF\1\0\0\0", 8);
	expect_wrong(&one, ERR_UNSUPPORTED, "version 1 ");
	BUILD(big_endian);
	make_bytes(&big_endian, "GGUF\0\0\0\3", 8);
	expect_wrong(&big_endian, ERR_UNSUPPORTED, "big-endian");
	struct err e;
	struct gguf_file *g;
	int fds[2];
	assert_int_equal(pipe(fds), 0);
	assert_int_equal(gguf_read(fds[0], &g, &e), -1);
	assert_non_null(strstr(e.msg, "regular file"));
	close(fds[0]);
	close(fds[1]);
}

static void lying_lengths_cost_nothing(void **state)
{
	(void)state;
	static const uint64_t lies[] = { UINT64_MAX, UINT64_MAX / 2, 1u << 31,
					 1000 };
	for (size_t i = 0; i < ARRAY_LEN(lies); i++) {
		BUILD(key);
		make_start(&key, 0, 1);
		make_uint(&key, lies[i], 8);
		expect_wrong(&key, ERR_INVALID, "ends in its header");
		BUILD(text);
		make_start(&text, 0, 1);
		make_key(&text, "k", MAKE_STRING);
		make_uint(&text, lies[i], 8);
		expect_wrong(&text, ERR_INVALID, "ends in its header");
		BUILD(array);
		make_start(&array, 0, 1);
		make_key(&array, "k", MAKE_ARRAY);
		make_array(&array, MAKE_F64, lies[i]);
		expect_wrong(&array, ERR_INVALID, "ends in its header");
	}
	BUILD(tensors);
	make_start(&tensors, LIMIT_GGUF_TENSORS + 1, 0);
	expect_wrong(&tensors, ERR_INVALID, "too many");
	BUILD(keys);
	make_start(&keys, 0, LIMIT_GGUF_KEYS + 1);
	expect_wrong(&keys, ERR_INVALID, "too many");
	BUILD(keys_at_limit);
	make_start(&keys_at_limit, 0, LIMIT_GGUF_KEYS);
	expect_wrong(&keys_at_limit, ERR_INVALID, "ends in its header");
}

static void wrong_values_are_refused(void **state)
{
	(void)state;
	BUILD(type);
	make_start(&type, 0, 1);
	make_key(&type, "k", (enum gguf_make_type)13);
	expect_wrong(&type, ERR_INVALID, "unknown type");
	BUILD(array);
	make_start(&array, 0, 1);
	make_key(&array, "k", MAKE_ARRAY);
	make_array(&array, (enum gguf_make_type)99, 1);
	make_uint(&array, 0, 8);
	expect_wrong(&array, ERR_INVALID, "unknown type");
	BUILD(deep);
	make_start(&deep, 0, 1);
	make_key(&deep, "k", MAKE_ARRAY);
	for (int i = 0; i < 8; i++)
		make_array(&deep, MAKE_ARRAY, 1);
	make_array(&deep, MAKE_U8, 0);
	expect_wrong(&deep, ERR_INVALID, "too deeply");
	BUILD(twice);
	make_start(&twice, 0, 2);
	make_text(&twice, "k", "a");
	make_text(&twice, "k", "b");
	expect_wrong(&twice, ERR_INVALID, "given twice");
	BUILD(nul);
	make_start(&nul, 0, 1);
	make_key(&nul, "k", MAKE_STRING);
	make_uint(&nul, 3, 8);
	make_bytes(&nul, "a\0b", 3);
	expect_wrong(&nul, ERR_INVALID, "NUL");
	BUILD(alignment);
	make_start(&alignment, 0, 1);
	make_u32(&alignment, "general.alignment", 24);
	expect_wrong(&alignment, ERR_INVALID, "power of two");
}

static void wrong_tensors_are_refused(void **state)
{
	(void)state;
	BUILD(type);
	make_start(&type, 1, 0);
	make_tensor(&type, "t", 32, 4, 0);
	make_data(&type, 4096);
	expect_wrong(&type, ERR_UNSUPPORTED, "type 4");
	BUILD(block);
	make_start(&block, 1, 0);
	make_tensor(&block, "t", 33, 2, 0);
	make_data(&block, 4096);
	expect_wrong(&block, ERR_INVALID, "wrong shape");
	BUILD(offset);
	make_start(&offset, 1, 0);
	make_tensor(&offset, "t", 1, 0, 16);
	make_data(&offset, 4096);
	expect_wrong(&offset, ERR_INVALID, "wrong shape or place");
	BUILD(outside);
	make_start(&outside, 1, 0);
	make_tensor(&outside, "t", 1, 0, 4096);
	make_data(&outside, 4096);
	expect_wrong(&outside, ERR_INVALID, "is cut");
	BUILD(far);
	make_start(&far, 1, 0);
	make_tensor(&far, "t", 32, 0, UINT64_MAX - 31);
	make_data(&far, 64);
	expect_wrong(&far, ERR_INVALID, "wrong shape or place");
	BUILD(huge);
	make_start(&huge, 2, 0);
	make_tensor(&huge, "t", INT64_MAX - 31, 0, 0);
	make_tensor(&huge, "t", INT64_MAX, 24, 0);
	expect_wrong(&huge, ERR_INVALID, "wrong shape");
	BUILD(dims);
	make_start(&dims, 1, 0);
	make_string(&dims, "t");
	make_uint(&dims, 5, 4);
	make_data(&dims, 100);
	expect_wrong(&dims, ERR_INVALID, "too many dimensions");
	BUILD(product);
	make_start(&product, 1, 0);
	make_string(&product, "t");
	make_uint(&product, 2, 4);
	make_uint(&product, 1ull << 33, 8);
	make_uint(&product, 1ull << 33, 8);
	make_data(&product, 100);
	expect_wrong(&product, ERR_INVALID, "too large");
	BUILD(negative);
	make_start(&negative, 1, 0);
	make_tensor(&negative, "t", (uint64_t)INT64_MAX + 1, 24, 0);
	expect_wrong(&negative, ERR_INVALID, "too large");
	BUILD(empty);
	make_start(&empty, 1, 0);
	make_tensor(&empty, "t", 0, 0, 0);
	expect_wrong(&empty, ERR_INVALID, "is empty");
}

static void tensors_that_share_bytes_are_refused(void **state)
{
	(void)state;
	BUILD(same);
	make_start(&same, 2, 0);
	make_tensor(&same, "a", 32, 0, 0);
	make_tensor(&same, "b", 32, 0, 0);
	make_data(&same, 4096);
	expect_wrong(&same, ERR_INVALID, "in another one");
	BUILD(half);
	make_start(&half, 2, 0);
	make_tensor(&half, "a", 32, 0, 0);
	make_tensor(&half, "b", 32, 0, 96);
	make_data(&half, 4096);
	expect_wrong(&half, ERR_INVALID, "in another one");
	BUILD(before);
	make_start(&before, 2, 0);
	make_tensor(&before, "a", 32, 0, 128);
	make_tensor(&before, "b", 32, 0, 0);
	make_data(&before, 4096);
	expect_wrong(&before, ERR_INVALID, "before it");
	struct err e;
	auto_(gguf_file) g = NULL;
	BUILD(beside);
	make_start(&beside, 2, 0);
	make_tensor(&beside, "a", 32, 0, 0);
	make_tensor(&beside, "b", 32, 0, 128);
	make_data(&beside, 256);
	assert_int_equal(read_bytes(&beside, beside.n, &g, &e), 0);
}

static void names_of_tensors_are_limited(void **state)
{
	(void)state;
	struct err e;
	char name[65] = "";
	for (size_t n = 63; n <= 64; n++) {
		auto_(gguf_file) g = NULL;
		memset(name, 'n', n);
		BUILD(b);
		make_start(&b, 1, 0);
		make_tensor(&b, name, 32, 0, 0);
		make_data(&b, 128);
		assert_int_equal(read_bytes(&b, b.n, &g, &e), n > 63 ? -1 : 0);
	}
}

static void strings_are_limited(void **state)
{
	(void)state;
	struct err e;
	for (size_t n = LIMIT_GGUF_STRING_BYTES;
	     n <= LIMIT_GGUF_STRING_BYTES + 1; n++) {
		struct gguf_file *g = NULL;
		auto_free char *text = xcalloc(1, n + 1);
		memset(text, 'x', n);
		BUILD(b);
		make_start(&b, 0, 1);
		make_text(&b, "k", text);
		assert_int_equal(read_bytes(&b, b.n, &g, &e),
				 n > LIMIT_GGUF_STRING_BYTES ? -1 : 0);
		gguf_file_free(g);
	}
}

static void keys_and_all_texts_together_are_limited(void **state)
{
	(void)state;
	struct err e;
	for (size_t n = LIMIT_GGUF_KEY_BYTES; n <= LIMIT_GGUF_KEY_BYTES + 1;
	     n++) {
		auto_(gguf_file) g = NULL;
		auto_free char *key = xcalloc(1, n + 1);
		memset(key, 'k', n);
		BUILD(b);
		make_start(&b, 0, 1);
		make_text(&b, key, "");
		assert_int_equal(read_bytes(&b, b.n, &g, &e),
				 n > LIMIT_GGUF_KEY_BYTES ? -1 : 0);
	}
	/* Two texts and their keys of one letter. */
	for (size_t n = LIMIT_GGUF_METADATA_BYTES / 2 - 1;
	     n <= LIMIT_GGUF_METADATA_BYTES / 2; n++) {
		auto_(gguf_file) g = NULL;
		auto_free char *text = xcalloc(1, n + 1);
		memset(text, 't', n);
		BUILD(b);
		make_start(&b, 0, 2);
		make_text(&b, "a", text);
		make_text(&b, "b", text);
		assert_int_equal(read_bytes(&b, b.n, &g, &e),
				 n == LIMIT_GGUF_METADATA_BYTES / 2 ? -1 : 0);
	}
}

static void numbers_are_shortened_for_people(void **state)
{
	(void)state;
	static const struct {
		uint64_t n;
		const char *parameters;
		const char *size;
	} rows[] = {
		{ 0, "0", "0B" },
		{ 183, "183", "183B" },
		{ 999, "999", "999B" },
		{ 1000, "1K", "1000B" },
		{ 1024, "1.02K", "1KiB" },
		{ 134515008, "134.52M", "128.28MiB" },
		{ 96567296, "96.57M", "92.09MiB" },
		{ 7000000000, "7B", "6.52GiB" },
		{ 1u << 30, "1.07B", "1GiB" },
		{ 5000000000000000, "5000T", "4547.47TiB" },
	};
	char text[GGUF_TEXT_BYTES];
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		gguf_parameters_text(rows[i].n, text);
		assert_string_equal(text, rows[i].parameters);
		gguf_size_text(rows[i].n, text);
		assert_string_equal(text, rows[i].size);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
			values_become_text_as_docker_model_runner_has_them),
		cmocka_unit_test(what_a_person_asks_for_is_found),
		cmocka_unit_test(
			long_arrays_are_left_out_and_nested_ones_empty),
		cmocka_unit_test(odd_floats_are_written_as_go_does),
		cmocka_unit_test(a_file_cut_anywhere_is_an_error),
		cmocka_unit_test(other_files_and_versions_are_named),
		cmocka_unit_test(lying_lengths_cost_nothing),
		cmocka_unit_test(wrong_values_are_refused),
		cmocka_unit_test(wrong_tensors_are_refused),
		cmocka_unit_test(tensors_that_share_bytes_are_refused),
		cmocka_unit_test(names_of_tensors_are_limited),
		cmocka_unit_test(strings_are_limited),
		cmocka_unit_test(keys_and_all_texts_together_are_limited),
		cmocka_unit_test(numbers_are_shortened_for_people),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
