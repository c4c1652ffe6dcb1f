#include "cli/call.h"
#include "cli/commands.h"
#include "cli/human.h"
#include "cli/modelname.h"
#include "cli/table.h"

#include <stdio.h>
#include <time.h>

#define KEEP_ALIVE_S (5 * 60) /* the server's, when it names none */
#define UNTIL_BYTES (HUMAN_BYTES + 16)

/* One element of GET /engines/ps; what is absent stays empty. */
struct running {
	struct str backend, model, mode, last_used, keep_alive;
	bool in_use, loading;
};

static int read_running(const json_t *j, struct running *out, struct err *e)
{
	*out = (struct running){ 0 };
	if (json_get_str(j, "backend_name", &out->backend, e) ||
	    json_get_str(j, "model_name", &out->model, e) ||
	    json_get_str(j, "mode", &out->mode, e) ||
	    json_get_str(j, "last_used", &out->last_used, e) ||
	    json_get_str(j, "keep_alive", &out->keep_alive, e) ||
	    json_get_bool(j, "in_use", &out->in_use, e) ||
	    json_get_bool(j, "loading", &out->loading, e))
		return err_wrap(e, "the server's list of loaded models");
	return 0;
}

static void until(const struct running *r, int64_t now, char out[UNTIL_BYTES])
{
	int64_t keep = KEEP_ALIVE_S, used = 0;
	char left[HUMAN_BYTES];
	const char *words = NULL;
	bool has_keep = human_parse_duration(r->keep_alive, &keep);
	if (r->loading)
		words = "Loading...";
	else if (has_keep && keep < 0)
		words = "Forever";
	else if (r->in_use)
		words = "In use";
	else if (!human_parse_time(r->last_used, &used) || used + keep <= now)
		words = "Expiring";
	if (words) {
		snprintf(out, UNTIL_BYTES, "%s", words);
		return;
	}
	human_duration(used + keep - now, left);
	snprintf(out, UNTIL_BYTES, "%s from now", left);
}

int cmd_ps(const struct cmd_line *in, struct err *e)
{
	static const char *const titles[] = { "MODEL NAME", "BACKEND", "MODE",
					      "UNTIL", NULL };
	auto_(call) c = NULL;
	auto_json *list = NULL;
	size_t i;
	json_t *item;
	(void)in;
	if (call_open(&c, e) ||
	    call_json(c, "GET", "/engines/ps", STR(""), &list, e))
		return -1;
	auto_(table) t = table_new(titles);
	json_array_foreach(list, i, item)
	{
		struct running r;
		char text[UNTIL_BYTES];
		if (read_running(item, &r, e))
			return -1;
		until(&r, (int64_t)time(NULL), text);
		table_put(t, str_starts(r.model, "sha256:")
				     ? modelname_short_id(r.model)
				     : modelname_short(r.model));
		table_put(t, r.backend);
		table_put(t, r.mode);
		table_put(t, str_of(text));
	}
	return table_print(t, e);
}
