#include "cli/connection_config.h"
#include "cli/jsonfile.h"
#include "oci/digest.h"

#include <stdio.h>
#include <unistd.h>

#define MADE_BY "made_by"

static char *mark_of(const json_t *file)
{
	char digest[DIGEST_TEXT_BYTES];
	auto_json *rest = json_copy((json_t *)file);
	json_object_del(rest, MADE_BY);
	auto_free char *text = jsonfile_text(rest);
	struct digest d = digest_of(str_of(text));
	return xasprintf("docker model connect, %s", digest_text(&d, digest));
}

static bool is_ours(const json_t *file)
{
	const char *mark = json_string_value(json_object_get(file, MADE_BY));
	auto_free char *want = mark_of(file);
	return mark && !strcmp(mark, want);
}

static bool has(const json_t *file, const struct connection_change *c)
{
	const char *now = json_string_value(json_object_get(file, c->member));
	return now && !strcmp(now, c->value);
}

int connection_config_set(const char *path,
			  const struct connection_change *changes, size_t n,
			  bool is_dry, struct err *e)
{
	auto_json *file = NULL;
	int got = jsonfile_read(path, &file, e);
	if (got < 0)
		return -1;
	bool ours = got == JSONFILE_ABSENT || is_ours(file), is_new = false;
	for (size_t i = 0; i < n; i++) {
		if (!changes[i].value || has(file, &changes[i]))
			continue;
		is_new = true;
		json_object_set_new(file, changes[i].member,
				    json_string(changes[i].value));
	}
	if (!is_new)
		return CONNECTION_CONFIG_SAME;
	if (ours) {
		auto_free char *mark = mark_of(file);
		json_object_set_new(file, MADE_BY, json_string(mark));
	} else {
		json_object_del(file, MADE_BY);
	}
	return is_dry ? 0 : jsonfile_write(path, file, e);
}

int connection_config_forget(const char *path, struct err *e)
{
	auto_json *file = NULL;
	auto_free char *folder = xstrdup(path);
	if (jsonfile_read(path, &file, e) < 0)
		return -1;
	if (!is_ours(file))
		return CONNECTION_CONFIG_SAME;
	if (unlink(path) < 0)
		return err_sys(e, "remove %s", path);
	/* Only if nothing else is in it. */
	*strrchr(folder, '/') = '\0';
	rmdir(folder);
	return 0;
}
