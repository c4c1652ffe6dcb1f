#include "oci/ref.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#define HEX "5a96dbf73cc29ef46fbe3d0b3e09b15ec6a238ecc3be99fc1eeda2a74f7bf7ea"

static void names_become_exact(void **state)
{
	(void)state;
	static const char *const cases[][2] = {
		{ "smollm2", "docker.io/ai/smollm2:latest" },
		{ "  smollm2\t", "docker.io/ai/smollm2:latest" },
		{ "smollm2:", "docker.io/ai/smollm2:latest" },
		{ "SmolLM2:135M-Q4_1", "docker.io/ai/smollm2:135M-Q4_1" },
		{ "ai/smollm2:v1", "docker.io/ai/smollm2:v1" },
		{ "docker.io/ai/smollm2", "docker.io/ai/smollm2:latest" },
		{ "index.docker.io/ai/x", "docker.io/ai/x:latest" },
		{ "localhost/x", "localhost/x:latest" },
		{ "localhost:5000/ai/x:v1", "localhost:5000/ai/x:v1" },
		{ "LOCALHOST:5000/X", "localhost:5000/x:latest" },
		{ "[::1]:5000/x/y", "[::1]:5000/x/y:latest" },
		{ "hf.co/Bartowski/X-GGUF:Q4_K_M",
		  "huggingface.co/bartowski/x-gguf:Q4_K_M" },
		{ "HF.co/org/x", "huggingface.co/org/x:latest" },
		{ "hf.co/Org/X@V1.0", "huggingface.co/org/x:latest--V1.0" },
		{ "hf.co/Org/X@v1:Q8_0", "huggingface.co/org/x:Q8_0--v1" },
		{ "hf.co/Org/X:Q8_0@v1", "huggingface.co/org/x:Q8_0--v1" },
		{ "huggingface.co/o/x@main:Q8", "huggingface.co/o/x:Q8" },
		{ "hf.co/o/x:Q8@sha256:" HEX, "huggingface.co/o/x:Q8" },
		{ "my.host/a__b/c--d.e_f", "my.host/a__b/c--d.e_f:latest" },
		{ "5a96dbf73cc", "docker.io/ai/5a96dbf73cc:latest" },
		{ "5A96dbf73cc2", "docker.io/ai/5a96dbf73cc2:latest" },
		{ "any@sha256:" HEX, "docker.io/ai/any:latest" },
	};
	struct ref r;
	struct err e;
	char text[REF_TEXT_BYTES];
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		if (ref_parse(str_of(cases[i][0]), NULL, &r, &e))
			fail_msg("%s: %s", cases[i][0], e.msg);
		assert_string_equal(ref_text(&r, text), cases[i][1]);
	}
}

static void ids_are_never_names(void **state)
{
	(void)state;
	struct ref r;
	struct err e;
	assert_int_equal(ref_parse(STR("5a96dbf73cc2"), NULL, &r, &e), 0);
	assert_int_equal(r.kind, REF_SHORT_ID);
	assert_string_equal(r.short_id, "5a96dbf73cc2");
	assert_string_equal(r.repository, "");
	static const char *const ids[] = { HEX, "sha256:" HEX,
					   "x/y:z@sha256:" HEX };
	for (size_t i = 0; i < ARRAY_LEN(ids); i++) {
		assert_int_equal(ref_parse(str_of(ids[i]), NULL, &r, &e), 0);
		assert_int_equal(r.kind, REF_ID);
		assert_string_equal(r.digest.hex, HEX);
	}
	assert_string_equal(r.repository, "x/y");
}

static void a_default_registry_takes_the_place_of_docker_hub(void **state)
{
	(void)state;
	struct ref r;
	struct err e;
	char text[REF_TEXT_BYTES];
	assert_int_equal(ref_parse(STR("x"), "reg.local:5000", &r, &e), 0);
	assert_string_equal(ref_text(&r, text), "reg.local:5000/ai/x:latest");
	assert_int_equal(ref_parse(STR("docker.io/a/x"), "reg.local", &r, &e),
			 0);
	assert_string_equal(ref_text(&r, text), "docker.io/a/x:latest");
}

static void wrong_names_say_what_is_wrong(void **state)
{
	(void)state;
	static const char *const bad[] = {
		"",
		"   ",
		"ai/up x:v1",
		"ai//x",
		"/x",
		"ai/x/",
		"ai/-x",
		"ai/x-",
		"ai/a..b",
		"ai/a___b",
		"ai/a._b",
		"../../etc/passwd",
		"ai/x:.tag",
		"ai/x:a b",
		"ai/x:a/b:c d",
		"host.:5000/x",
		"host.com:port/x",
		"host.com:99999/x",
		"-a.com/x",
		"[::1/x",
		"[zz]:1/x",
		"ai/x@sha256:12",
		"ai/x@md5:" HEX,
		"@sha256:" HEX,
		"ai/\xc3\xa4",
	};
	struct ref r;
	struct err e;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		if (ref_parse(str_of(bad[i]), NULL, &r, &e) == 0)
			fail_msg("taken: %s", bad[i]);
		assert_int_equal(e.code, ERR_INVALID);
	}
	assert_int_equal(ref_parse((struct str){ "a\0b", 3 }, NULL, &r, &e),
			 -1);
}

static void lengths_are_limited(void **state)
{
	(void)state;
	struct ref r;
	struct err e;
	char text[LIMIT_REFERENCE_BYTES + 2];
	memset(text, 'a', sizeof text);
	/* "docker.io/ai/" and 242 letters are 255. */
	assert_int_equal(ref_parse((struct str){ text, 242 }, NULL, &r, &e), 0);
	assert_int_equal(ref_parse((struct str){ text, 243 }, NULL, &r, &e),
			 -1);
	text[1] = ':';
	assert_int_equal(ref_parse((struct str){ text, 130 }, NULL, &r, &e), 0);
	assert_int_equal(strlen(r.tag), 128);
	assert_int_equal(ref_parse((struct str){ text, 131 }, NULL, &r, &e),
			 -1);
	assert_int_equal(ref_parse((struct str){ text, LIMIT_REFERENCE_BYTES },
				   NULL, &r, &e),
			 -1);
	assert_null(strstr(e.msg, "1024"));
	assert_int_equal(
		ref_parse((struct str){ text, LIMIT_REFERENCE_BYTES + 1 }, NULL,
			  &r, &e),
		-1);
	assert_non_null(strstr(e.msg, "1024"));
}

static void people_see_the_short_form(void **state)
{
	(void)state;
	static const char *const cases[][3] = {
		{ NULL, "docker.io/ai/smollm2:latest", "smollm2" },
		{ NULL, "docker.io/ai/smollm2:v1", "smollm2:v1" },
		{ NULL, "index.docker.io/ai/x:v1", "x:v1" },
		{ NULL, "docker.io/me/x:latest", "me/x" },
		{ NULL, "huggingface.co/org/x:Q4", "huggingface.co/org/x:Q4" },
		{ "reg.local", "reg.local/ai/x:latest", "x" },
		{ "reg.local", "reg.local:5/ai/x:v", "reg.local:5/ai/x:v" },
		{ "reg.local", "docker.io/ai/x:v", "docker.io/ai/x:v" },
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct str s = ref_familiar(str_of(cases[i][1]), cases[i][0]);
		assert_true(str_eq(s, cases[i][2]));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_become_exact),
		cmocka_unit_test(ids_are_never_names),
		cmocka_unit_test(
			a_default_registry_takes_the_place_of_docker_hub),
		cmocka_unit_test(wrong_names_say_what_is_wrong),
		cmocka_unit_test(lengths_are_limited),
		cmocka_unit_test(people_see_the_short_form),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
