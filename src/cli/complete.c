#include "cli/complete.h"
#include "base/err.h"
#include "cli/commands.h"

#include <assert.h>

#define MODELS_BYTES (1u << 20)

/* cobra's ShellCompDirective: default, and no file names. */
enum directive { FILES = 0, NO_FILES = 4 };

struct request {
	struct str word; /* to be completed */
	bool with_help;
	struct buf *out;
};

static const char *const shells[] = { "bash", "zsh", "fish" };

static int put(const struct request *r, struct str name, const char *help)
{
	if (name.n < r->word.n || memcmp(name.p, r->word.p, r->word.n))
		return 0;
	return r->with_help && *help
		       ? buf_printf(r->out, "%.*s\t%s\n", STR_ARG(name), help)
		       : buf_printf(r->out, "%.*s\n", STR_ARG(name));
}

static int put_commands(const struct request *r)
{
	for (const struct cmd *c = commands_table; c->name; c++)
		if (put(r, str_of(c->name), c->help))
			return BUF_FULL;
	return 0;
}

static int put_flags(const struct request *r, const struct cmd *c)
{
	for (const struct cmd_flag *f = c->flags; f->name; f++) {
		auto_free char *name = xasprintf("--%s", f->name);
		if (put(r, str_of(name), f->help))
			return BUF_FULL;
	}
	return put(r, STR("--help"), "Show the help");
}

static int put_models(const struct request *r, complete_models_fn models)
{
	auto_buf struct buf names;
	buf_init(&names, MODELS_BYTES);
	models(&names);
	struct str rest = buf_str(&names), name;
	while (str_split(&rest, '\n', &name))
		if (name.n && put(r, name, ""))
			return BUF_FULL;
	return 0;
}

static int put_operands(const struct request *r, const struct cmd *c,
			int n_before, complete_models_fn models)
{
	switch (c->operand) {
	case CMD_NOTHING:
		return 0;
	case CMD_MODEL:
		return n_before ? 0 : put_models(r, models);
	case CMD_MODELS:
		return put_models(r, models);
	case CMD_COMMAND:
		return n_before ? 0 : put_commands(r);
	case CMD_SHELL:
		for (size_t i = 0; !n_before && i < ARRAY_LEN(shells); i++)
			if (put(r, str_of(shells[i]), ""))
				return BUF_FULL;
		return 0;
	}
	assert(!"a kind of argument without candidates");
	return 0;
}

/* The flag that waits for its value in this word, or NULL. */
static const struct cmd_flag *waiting(const struct cmd *c, const char *word)
{
	bool is_long = !strncmp(word, "--", 2);
	for (const struct cmd_flag *f = c->flags; f->name; f++) {
		bool is_this = is_long ? !strcmp(word + 2, f->name)
				       : word[0] == '-' && f->letter &&
						 word[1] == f->letter &&
						 !word[2];
		if (is_this && f->kind != CMD_BOOL)
			return f;
	}
	return NULL;
}

/* After the command's name. */
static int put_arguments(const struct request *r, const struct cmd *c, int n,
			 char *const words[], complete_models_fn models,
			 enum directive *then)
{
	const struct cmd_flag *value_of = NULL;
	int n_before = 0;
	for (int i = 0; i + 1 < n; i++) {
		if (value_of)
			value_of = NULL;
		else if (words[i][0] == '-')
			value_of = waiting(c, words[i]);
		else
			n_before++;
	}
	if (value_of) {
		*then = strcmp(value_of->value, "PATH") ? NO_FILES : FILES;
		return 0;
	}
	return str_starts(r->word, "-") ? put_flags(r, c)
					: put_operands(r, c, n_before, models);
}

int complete_put(int n, char *const words[], bool with_help,
		 complete_models_fn models, struct buf *out)
{
	const struct request r = { str_of(n ? words[n - 1] : ""), with_help,
				   out };
	enum directive then = NO_FILES;
	const struct cmd *c;
	struct err unused; /* an unknown command has no candidates */
	int full = 0;
	if (n <= 1)
		full = put_commands(&r);
	else if (commands_find(words[0], &c, &unused) == 0)
		full = put_arguments(&r, c, n - 1, words + 1, models, &then);
	return full ? BUF_FULL : buf_printf(out, ":%d\n", (int)then);
}

/* The scripts only carry words to the program and candidates back. A candidate
 * line "name<tab>help" is cut at the tab where a shell shows no help. */
const char *complete_script(const char *shell)
{
	if (!strcmp(shell, "bash"))
		return "_docker_model() {\n"
		       "\tlocal out IFS=$'\\n'\n"
		       "\tlocal words=(\"${COMP_WORDS[@]:1:COMP_CWORD}\")\n"
		       "\tif declare -F _get_comp_words_by_ref >/dev/null; "
		       "then\n"
		       "\t\tlocal cur prev cword\n"
		       "\t\t_get_comp_words_by_ref -n := cur prev words "
		       "cword\n"
		       "\t\twords=(\"${words[@]:1:cword}\")\n"
		       "\tfi\n"
		       "\tout=($(docker-model __completeNoDesc "
		       "\"${words[@]}\" 2>/dev/null))\n"
		       "\t[[ ${out[-1]} == :0 ]] && compopt -o default\n"
		       "\tunset 'out[-1]'\n"
		       "\tCOMPREPLY=(\"${out[@]}\")\n"
		       "\tdeclare -F __ltrim_colon_completions >/dev/null &&\n"
		       "\t\t__ltrim_colon_completions \"${words[-1]}\"\n"
		       "}\n"
		       "complete -F _docker_model docker-model\n";
	if (!strcmp(shell, "zsh"))
		return "#compdef docker-model\n"
		       "_docker-model() {\n"
		       "\tlocal line last\n"
		       "\tlocal -a out found\n"
		       "\tout=(\"${(@f)$(docker-model __complete "
		       "\"${(@)words[2,CURRENT]}\" 2>/dev/null)}\")\n"
		       "\tlast=${out[-1]}\n"
		       "\tfor line in \"${(@)out[1,-2]}\"; do\n"
		       "\t\tfound+=(\"${${line//:/\\\\:}/$'\\t'/:}\")\n"
		       "\tdone\n"
		       "\t(( $#found )) && _describe docker-model found\n"
		       "\t[[ $last == :0 ]] && _files\n"
		       "}\n"
		       "compdef _docker-model docker-model\n";
	if (!strcmp(shell, "fish"))
		return "function __docker_model_complete\n"
		       "\tset -l words (commandline -opc) (commandline -ct)\n"
		       "\tset -l out (docker-model __complete $words[2..-1] "
		       "2>/dev/null)\n"
		       "\ttest \"$out[-1]\" = :0; and "
		       "__fish_complete_path (commandline -ct)\n"
		       "\tprintf '%s\\n' $out[1..-2]\n"
		       "end\n"
		       "complete -c docker-model -f -a "
		       "'(__docker_model_complete)'\n";
	return NULL;
}
