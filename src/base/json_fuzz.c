#include "base/json.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

#define NAME "model"

/* json_scan_str() against jansson, which builds the whole tree: what one takes
 * the other takes, and the string is the same. Where they differ on purpose:
 * jansson refuses numbers that do not fit a C type, we refuse deep nesting and
 * the name in other capitals. */
static void check_found(struct str text, const char *found)
{
	json_error_t je;
	auto_json *j = json_loadb(text.p, text.n, 0, &je);
	if (!j) {
		assert(json_error_code(&je) == json_error_numeric_overflow);
		return;
	}
	const json_t *member = json_object_get(j, NAME);
	if (!found)
		assert(!member);
	else
		assert(!strcmp(json_string_value(member), found));
}

static void check_refused(struct str text, const struct err *e)
{
	struct err ignored;
	auto_json *j = NULL;
	if (json_parse(text, &j, &ignored))
		return;
	const json_t *member = json_object_get(j, NAME);
	assert(!json_is_object(j) || (member && !json_is_string(member)) ||
	       strstr(e->msg, "nested too deeply") ||
	       strstr(e->msg, "must be written so"));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct str text = { n ? (const char *)data : "", n };
	struct err e = { .msg = "" };
	auto_free char *found = NULL;
	int r = json_scan_str(text, NAME, &found, &e);
	if (r == -1)
		check_refused(text, &e);
	else
		check_found(text, r == JSON_ABSENT ? NULL : found);
	assert((r == 0) == (found != NULL));
	return 0;
}
