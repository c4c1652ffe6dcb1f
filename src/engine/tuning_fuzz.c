/* Settings from anybody who may manage: read, shown, and read again the same.
 */
#include "engine/tuning.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct tuning a = { 0 }, b = { 0 };
	enum engine_mode mode;
	struct err e;
	auto_json *body = NULL;
	struct str text = { (const char *)data, n };
	if (json_parse(text, &body, &e))
		return 0;
	if (tuning_parse(body, &a, &mode, &e) >= 0) {
		assert(tuning_parse(a.config, &b, &mode, &e) >= 0);
		assert(tuning_same(&a, &b) && a.n_args == b.n_args);
		for (size_t i = 0; i < a.n_args; i++)
			assert(strcmp(a.args[i], b.args[i]) == 0);
	}
	tuning_fini(&a);
	tuning_fini(&b);
	return 0;
}
