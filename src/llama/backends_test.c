/* The processor's code that is chosen is the one ggml itself would choose. */
#include "llama/backends.h"

#include "base/base.h"

#include <dlfcn.h>
#include <glob.h>
#include <llama.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

/* How good ggml calls a library for this processor; 0: it does not run. */
static int score_of(const char *path)
{
	int (*score)(void);
	void *lib = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	assert_non_null(lib);
	*(void **)&score = dlsym(lib, "ggml_backend_score");
	int out = score ? score() : 0;
	dlclose(lib);
	return out;
}

static void test_the_best_is_chosen(void **state)
{
	Dl_info here;
	glob_t all = { 0 };
	int best = 0;
	(void)state;
	assert_true(dladdr((void *)llama_backend_init, &here));
	auto_free char *folder = xstrdup(here.dli_fname);
	*strrchr(folder, '/') = '\0';
	if (ggml_backend_reg_count() == 0)
		backends_load(folder);
	ggml_backend_dev_t cpu =
		ggml_backend_dev_by_type(GGML_BACKEND_DEVICE_TYPE_CPU);
	assert_non_null(cpu);
	auto_free char *pattern = xasprintf("%s/libggml-cpu-*.so", folder);
	if (glob(pattern, 0, NULL, &all) == GLOB_NOMATCH)
		return; /* it is built in */
	for (size_t i = 0; i < all.gl_pathc; i++)
		best = MAX(best, score_of(all.gl_pathv[i]));
	assert_true(dladdr(ggml_backend_reg_get_proc_address(
				   ggml_backend_dev_backend_reg(cpu),
				   "ggml_threadpool_new"),
			   &here));
	assert_int_equal(score_of(here.dli_fname), best);
	globfree(&all);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_the_best_is_chosen),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
