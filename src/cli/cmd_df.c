#include "cli/call.h"
#include "cli/commands.h"
#include "cli/human.h"
#include "cli/table.h"
#include "cli/term.h"

static void put(struct table *t, const char *type, double bytes)
{
	char size[HUMAN_BYTES];
	human_size(bytes, size);
	table_put(t, str_of(type));
	table_put(t, str_of(size));
}

int cmd_df(const struct cmd_line *in, struct err *e)
{
	static const char *const titles[] = { "TYPE", "SIZE", NULL };
	auto_(call) c = NULL;
	auto_json *df = NULL;
	double models = 0, engine = 0;
	(void)in;
	if (call_open(&c, e) ||
	    call_json(c, "GET", "/engines/df", STR(""), &df, e) ||
	    json_get_num(df, "models_disk_usage", 0, 1e18, &models, e) ||
	    json_get_num(df, "default_backend_disk_usage", 0, 1e18, &engine, e))
		return -1;
	auto_(table) t = table_new(titles);
	put(t, "Models", models);
	if (engine > 0)
		put(t, "Inference engine", engine);
	return table_print(t, e);
}
