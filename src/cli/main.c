/* docker-model: `docker model ...`, or alone. */
#include "cli/call.h"
#include "cli/commands.h"
#include "cli/complete.h"
#include "cli/modelname.h"
#include "cli/plugin.h"
#include "cli/term.h"

#include <signal.h>
#include <stdio.h>

#define COMPLETE_BYTES (4u << 20)
/* A shell that waits for candidates must not hang. */
#define COMPLETE_MS 1000

/* The names of the store; none if the server is not there or slow. */
static void put_model_names(struct buf *out)
{
	auto_(call) c = NULL;
	auto_buf struct buf text;
	auto_json *models = NULL;
	struct err unused;
	size_t i, k;
	json_t *model, *tag;
	buf_init(&text, COMPLETE_BYTES);
	if (call_open(&c, &unused) ||
	    call_text(c,
		      &(struct call_request){ .method = "GET",
					      .path = "/models",
					      .limit_ms = COMPLETE_MS },
		      &text, &unused) ||
	    json_parse(buf_str(&text), &models, &unused))
		return;
	json_array_foreach(models, i, model)
	{
		json_array_foreach(json_object_get(model, "tags"), k, tag)
		{
			struct str name = str_of(json_string_value(tag));
			if (!name.p)
				continue;
			name = modelname_short(name);
			if (buf_printf(out, "%.*s\n", STR_ARG(name)))
				return;
		}
	}
}

static int complete(int argc, char *const argv[], bool with_help, struct err *e)
{
	auto_buf struct buf out;
	buf_init(&out, COMPLETE_BYTES);
	if (complete_put(argc, argv, with_help, put_model_names, &out))
		return err_set(e, ERR_TOO_LARGE, "too many candidates");
	term_put(buf_str(&out));
	return 0;
}

static int help(const struct cmd *about, struct err *e)
{
	return cmd_help(
		&(struct cmd_line){ .args = (const char *[]){ about->name },
				    .n_args = 1 },
		e);
}

static int run(int argc, char *const argv[], struct err *e)
{
	const struct cmd *cmd;
	struct cmd_line in;
	if (argc == 0 || !strcmp(argv[0], "--help") || !strcmp(argv[0], "-h"))
		return cmd_help(&(struct cmd_line){ 0 }, e);
	if (commands_find(argv[0], &cmd, e))
		return -1;
	int failed = cmd_parse(cmd, argc - 1, argv + 1, &in, e);
	if (!failed)
		failed = in.wants_help ? help(cmd, e) : cmd->run(&in, e);
	cmd_line_fini(&in);
	return failed;
}

static int dispatch(int argc, char *const argv[], struct err *e)
{
	bool with_help = argc && !strcmp(argv[0], "__complete");
	bool is_complete =
		with_help || (argc && !strcmp(argv[0], "__completeNoDesc"));
	if (argc && !strcmp(argv[0], PLUGIN_METADATA)) {
		term_put(str_of(plugin_metadata()));
		return 0;
	}
	argc -= is_complete;
	argv += is_complete;
	int skip = plugin_skip_globals(argc, argv);
	return is_complete ? complete(argc - skip, argv + skip, with_help, e)
			   : run(argc - skip, argv + skip, e);
}

int main(int argc, char **argv)
{
	struct err e = { 0 }, late;
	/* A server that closes its end is an error, not our death; term.h
	 * restores the habit for stdout. */
	signal(SIGPIPE, SIG_IGN);
	plugin_follow_docker();
	int failed = dispatch(argc - 1, argv + 1, &e);
	if (term_finish(&late) && !failed) {
		e = late;
		failed = -1;
	}
	if (!failed)
		return 0;
	auto_free char *line = term_cell(str_of(e.msg));
	fprintf(stderr, "docker-model: %s\n", line);
	return err_exit_status(e.code);
}
