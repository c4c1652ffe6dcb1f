#include "cli/commands.h"

/* clang-format off */
#define FLAG(name, letter, kind, value, help) \
	{ name, letter, CMD_##kind, value, help }
#define END { 0 }

static const struct cmd_flag none[] = { END };
static const struct cmd_flag configure[] = {
	FLAG("context-size", 0, INT, "N", "Tokens of a request with its answer"),
	FLAG("gpu-memory-utilization", 0, NUMBER, "F", "For vLLM only"),
	FLAG("hf_overrides", 0, TEXT, "JSON", "For vLLM only"),
	FLAG("keep-alive", 0, TEXT, "TIME", "Unload it after so long: 5m, 0, -1"),
	FLAG("mode", 0, TEXT, "MODE", "completion, embedding, reranking"),
	FLAG("reset", 0, BOOL, NULL, "Remove its settings"),
	FLAG("speculative-draft-model", 0, TEXT, "MODEL", "A smaller model that drafts for it"),
	FLAG("speculative-min-acceptance-rate", 0, NUMBER, "F", "How sure it must be of a token"),
	FLAG("speculative-num-tokens", 0, INT, "N", "Tokens of a draft, at most"),
	FLAG("think", 0, BOOL, NULL, "Let it reason, or not: --think=false"),
	END
};
static const struct cmd_flag connect[] = {
	FLAG("address", 0, TEXT, "IP", "The address that containers reach"),
	FLAG("docker-host", 0, TEXT, "PATH", "The socket of another Docker Engine"),
	FLAG("dry-run", 0, BOOL, NULL, "Only say what would be done"),
	FLAG("modeld", 0, TEXT, "PATH", "The socket of the modeld that is meant"),
	FLAG("no-socket", 0, BOOL, NULL, "Leave the Docker socket to Docker"),
	END
};
static const struct cmd_flag disconnect[] = {
	FLAG("dry-run", 0, BOOL, NULL, "Only say what would be done"),
	END
};
static const struct cmd_flag enable[] = {
	FLAG("containers", 0, TEXT, "WHAT", "They may: off, inference or full"),
	FLAG("tcp", 0, TEXT, "PORT", "Listen on this port of localhost, or off"),
	END
};
static const struct cmd_flag export[] = {
	FLAG("format", 0, TEXT, "NAME", "docker, or oci: an OCI image layout"),
	FLAG("output", 'o', TEXT, "FILE", "Write it there, not to stdout"),
	END
};
static const struct cmd_flag force[] = {
	FLAG("force", 'f', BOOL, NULL, "Do not ask"),
	END
};
static const struct cmd_flag inspect[] = {
	FLAG("openai", 0, BOOL, NULL, "Show it as the OpenAI API does"),
	FLAG("remote", 'r', BOOL, NULL, "What its registry has, without pulling it"),
	END
};
static const struct cmd_flag key[] = {
	FLAG("classes", 0, TEXT, "LIST", "It may: infer, manage, inspect (infer)"),
	FLAG("expires", 0, TEXT, "TIME", "Until when it works: 30d, 12h, a time"),
	FLAG("file", 0, TEXT, "PATH", "The file of keys"),
	FLAG("models", 0, TEXT, "LIST", "Only these; * is any text: ai/*"),
	FLAG("parallel", 0, INT, "N", "Requests open at the same time"),
	FLAG("requests-per-minute", 0, INT, "N", "Requests in a minute"),
	FLAG("tokens-per-minute", 0, INT, "N", "Tokens in a minute"),
	END
};
static const struct cmd_flag list[] = {
	FLAG("json", 0, BOOL, NULL, "Show everything, as JSON"),
	FLAG("openai", 0, BOOL, NULL, "Show the list of the OpenAI API"),
	FLAG("openaiurl", 0, TEXT, "URL", "List the models of this OpenAI API"),
	FLAG("quiet", 'q', BOOL, NULL, "Show only model IDs"),
	END
};
static const struct cmd_flag load[] = {
	FLAG("input", 'i', TEXT, "FILE", "Read it from there, not from stdin"),
	END
};
static const struct cmd_flag logs[] = {
	FLAG("follow", 'f', BOOL, NULL, "Go on with new lines as they come"),
	FLAG("no-engines", 0, BOOL, NULL, "Leave out the engines' lines"),
	END
};
static const struct cmd_flag package[] = {
	FLAG("chat-template", 0, TEXT, "PATH", "Chat template (Jinja) to add"),
	FLAG("context-size", 0, INT, "N", "Context size to run it with"),
	FLAG("dduf", 0, TEXT, "PATH", "The model: a DDUF file"),
	FLAG("format", 0, TEXT, "NAME", "docker, or cncf: as CNCF ModelPack"),
	FLAG("from", 0, TEXT, "MODEL", "The model: this one, changed"),
	FLAG("gguf", 0, TEXT, "PATH", "The model; of a split one, the first file"),
	FLAG("license", 'l', TEXT, "PATH", "License to add; may be repeated"),
	FLAG("mmproj", 0, TEXT, "PATH", "Multimodal projector (GGUF) to add"),
	FLAG("push", 0, BOOL, NULL, "Push it to the registry in its name, too"),
	FLAG("safetensors-dir", 0, TEXT, "DIR", "The model: all files of a folder"),
	END
};
static const struct cmd_flag requests[] = {
	FLAG("follow", 'f', BOOL, NULL, "Show new requests as they end"),
	FLAG("include-existing", 0, BOOL, NULL, "With --follow: those before, too"),
	FLAG("model", 0, TEXT, "MODEL", "Only those to this model"),
	END
};
static const struct cmd_flag rm[] = {
	FLAG("force", 'f', BOOL, NULL, "Remove it with all its names"),
	END
};
static const struct cmd_flag run[] = {
	FLAG("detach", 'd', BOOL, NULL, "Only load the model"),
	FLAG("max-tokens", 0, INT, "N", "Longest answer, in tokens"),
	FLAG("openaiurl", 0, TEXT, "URL", "Ask this OpenAI API instead"),
	FLAG("seed", 0, INT, "N", "Seed of the random choices"),
	FLAG("system", 0, TEXT, "TEXT", "System message"),
	FLAG("temperature", 0, NUMBER, "F", "0 always takes the likeliest token"),
	END
};
static const struct cmd_flag status[] = {
	FLAG("json", 0, BOOL, NULL, "As JSON"),
	END
};
static const struct cmd_flag unload[] = {
	FLAG("all", 0, BOOL, NULL, "Unload every model"),
	FLAG("backend", 0, TEXT, "NAME", "Only on this engine"),
	END
};

#define CMD(name, alias, args, help, min, max, operand, flags, fn) \
	{ name, alias, args, help, min, max, CMD_##operand, flags, fn }

const struct cmd commands_table[] = {
	CMD("completion", NULL, "bash|zsh|fish", "Write the completion script for a shell",
	    1, 1, SHELL, none, cmd_completion),
	CMD("configure", "config", "MODEL [-- FLAG...] | show [MODEL]",
	    "Set how a model is started: context, sampling, time to stay",
	    1, CMD_MANY, MODEL, configure, cmd_configure),
	CMD("connect", NULL, "", "Let containers and the Docker socket reach models",
	    0, 0, NOTHING, connect, cmd_connect),
	CMD("df", NULL, "", "Show the disk space that models and engines take",
	    0, 0, NOTHING, none, cmd_df),
	CMD("disconnect", NULL, "", "Undo what connect did",
	    0, 0, NOTHING, disconnect, cmd_disconnect),
	CMD("doctor", NULL, "", "Look for what is wrong, and say what to do",
	    0, 0, NOTHING, none, cmd_doctor),
	CMD("enable", NULL, "", "Change a setting of the server, for good",
	    0, 0, NOTHING, enable, cmd_enable),
	CMD("export", NULL, "MODEL", "Write a model as a tar, to carry it elsewhere",
	    1, 1, MODEL, export, cmd_export),
	CMD("help", NULL, "[COMMAND]", "Show the commands, or one of them",
	    0, 1, COMMAND, none, cmd_help),
	CMD("inspect", NULL, "MODEL", "Show everything about a model, as JSON",
	    1, 1, MODEL, inspect, cmd_inspect),
	CMD("key", NULL, "(add NAME | list | rm NAME)", "Make, list or remove API keys",
	    1, 2, NOTHING, key, cmd_key),
	CMD("list", "ls", "[MODEL]", "List the models that are here",
	    0, 1, MODEL, list, cmd_list),
	CMD("load", NULL, "[MODEL]", "Take in a model from a tar, and give it a name",
	    0, 1, NOTHING, load, cmd_load),
	CMD("logs", NULL, "", "Show the server's and the engines' last lines",
	    0, 0, NOTHING, logs, cmd_logs),
	CMD("package", NULL, "MODEL", "Make a model of files, or of another model",
	    1, 1, NOTHING, package, cmd_package),
	CMD("prune", NULL, "", "Remove what no name reaches",
	    0, 0, NOTHING, force, cmd_prune),
	CMD("ps", NULL, "", "List the models that are loaded",
	    0, 0, NOTHING, none, cmd_ps),
	CMD("pull", NULL, "MODEL", "Get a model from a registry",
	    1, 1, NOTHING, none, cmd_pull),
	CMD("purge", NULL, "", "Remove all models",
	    0, 0, NOTHING, force, cmd_purge),
	CMD("push", NULL, "MODEL", "Bring a model to the registry in its name",
	    1, 1, MODEL, none, cmd_push),
	CMD("requests", NULL, "", "Show the last requests to models, and their answers",
	    0, 0, NOTHING, requests, cmd_requests),
	CMD("rm", NULL, "MODEL...", "Remove models or names of models",
	    1, CMD_MANY, MODELS, rm, cmd_rm),
	CMD("run", NULL, "MODEL [PROMPT]", "Ask a model, or chat with it",
	    1, CMD_MANY, MODEL, run, cmd_run),
	CMD("status", NULL, "", "Show whether the server runs, and its engines",
	    0, 0, NOTHING, status, cmd_status),
	CMD("tag", NULL, "SOURCE TARGET", "Give a model another name",
	    2, 2, MODEL, none, cmd_tag),
	CMD("unload", "stop", "(MODEL... | --all)", "Take models out of memory",
	    0, CMD_MANY, MODELS, unload, cmd_unload),
	CMD("verify", NULL, "", "Read every model again and compare it with its digest",
	    0, 0, NOTHING, none, cmd_verify),
	CMD("version", NULL, "", "Show the versions of client and server",
	    0, 0, NOTHING, none, cmd_version),
	{ 0 }
};
/* clang-format on */

/* The names that are nearest to what was typed: "'ls'" or "'rm' or 'run'". */
static void nearest(const char *typed, struct buf *out)
{
	size_t best = 3; /* more edits than two is another word */
	for (const struct cmd *c = commands_table; c->name; c++) {
		const char *const names[] = { c->name, c->alias };
		for (size_t i = 0; i < 2 && names[i]; i++) {
			size_t d = cmd_distance(typed, names[i]);
			if (d > best || d >= strlen(names[i]) || d == 3)
				continue;
			if (d < best)
				buf_clear(out);
			best = d;
			/* Full: fewer names are shown. */
			if (buf_printf(out, "%s'%s'", out->n ? " or " : "",
				       names[i]))
				return;
		}
	}
}

int commands_find(const char *name, const struct cmd **out, struct err *e)
{
	auto_buf struct buf near;
	buf_init(&near, 100);
	for (const struct cmd *c = commands_table; c->name; c++) {
		if (!strcmp(c->name, name) ||
		    (c->alias && !strcmp(c->alias, name))) {
			*out = c;
			return 0;
		}
	}
	nearest(name, &near);
	if (near.n)
		return err_set(e, ERR_USAGE,
			       "there is no command '%s'; did you mean %s?",
			       name, near.p);
	return err_set(e, ERR_USAGE,
		       "there is no command '%s'; 'docker model help' lists "
		       "them",
		       name);
}

int commands_put_help(struct buf *out)
{
	if (buf_puts(out, "Usage:  docker model COMMAND\n\n"
			  "Run language models and talk to them\n\n"
			  "Commands:\n"))
		return BUF_FULL;
	for (const struct cmd *c = commands_table; c->name; c++)
		if (buf_printf(out, "  %-11s %s\n", c->name, c->help))
			return BUF_FULL;
	return buf_puts(out, "\nRun 'docker model COMMAND --help' for more "
			     "on one of them.\n");
}
