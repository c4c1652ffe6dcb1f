#include "llama/tool_names.h"
#include "base/limits.h"

static bool is_name(struct str name)
{
	for (size_t i = 0; i < name.n; i++) {
		unsigned char c = (unsigned char)name.p[i];
		if (c <= ' ' || c == 0x7f || strchr("\"'\\<>{}", c))
			return false;
	}
	return name.n > 0;
}

/* What is a sign in the names of llama.cpp's rules becomes a dash there, and
 * several in a row one. */
static void get_rule(struct str name, char *out)
{
	bool was_sign = false;
	for (size_t i = 0; i < name.n; i++) {
		char c = name.p[i];
		bool is_sign =
			!((c >= 'a' && c <= 'z') || c == '-' ||
			  (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9'));
		if (!is_sign || !was_sign)
			*out++ = is_sign ? '-' : c;
		was_sign = is_sign;
	}
	*out = '\0';
}

/* Of two functions with one rule the first could never be called. */
int tool_names_check(json_t *seen, struct str name, struct err *e)
{
	char rule[LIMIT_TOOL_NAME_BYTES + 1];
	if (name.n > LIMIT_TOOL_NAME_BYTES)
		return err_field(e, "tools",
				 "its name has %zu bytes, and may have %d",
				 name.n, LIMIT_TOOL_NAME_BYTES);
	if (!is_name(name))
		return err_field(e, "tools",
				 "its name must have letters, without spaces, "
				 "quotes and brackets");
	get_rule(name, rule);
	const char *other = json_string_value(json_object_get(seen, rule));
	if (other && !str_eq(name, other))
		return err_field(e, "tools",
				 "its name '%.*s' and that of another, '%s', "
				 "differ only in signs: rename one",
				 STR_ARG(name), other);
	json_object_set_new(seen, rule, json_stringn(name.p, name.n));
	return 0;
}
