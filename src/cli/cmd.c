#include "cli/cmd.h"

#include <assert.h>
#include <errno.h>
#include <math.h>

static const struct cmd_flag help_flag = { "help", 'h', CMD_BOOL, NULL,
					   "Show this page" };

static int usage(const struct cmd *cmd, struct err *e, const char *what)
{
	return err_set(e, ERR_USAGE, "%s; see 'docker model %s --help'", what,
		       cmd->name);
}

static const struct cmd_flag *find(const struct cmd *cmd, struct str name)
{
	if (str_eq(name, help_flag.name))
		return &help_flag;
	for (const struct cmd_flag *f = cmd->flags; f->name; f++)
		if (str_eq(name, f->name))
			return f;
	return NULL;
}

static const struct cmd_flag *find_letter(const struct cmd *cmd, char letter)
{
	if (letter == help_flag.letter)
		return &help_flag;
	for (const struct cmd_flag *f = cmd->flags; f->name; f++)
		if (f->letter && f->letter == letter)
			return f;
	return NULL;
}

static bool is_number(const char *text, enum cmd_flag_kind kind)
{
	char *end = NULL;
	errno = 0;
	if (kind == CMD_INT)
		strtoll(text, &end, 10);
	else if (!isfinite(strtod(text, &end)))
		return false;
	return end != text && !*end && !errno;
}

/* Notes a flag and its value, once both are known. */
static int give(struct cmd_line *in, const struct cmd_flag *f,
		const char *value, struct err *e)
{
	if (f->kind == CMD_BOOL && value) {
		if (strcmp(value, "true") && strcmp(value, "false")) {
			auto_free char *what = xasprintf(
				"--%s is on or off: it takes no value but true "
				"or false, not '%s'",
				f->name, value);
			return usage(in->cmd, e, what);
		}
		if (!strcmp(value, "true"))
			value = NULL;
	}
	if ((f->kind == CMD_INT || f->kind == CMD_NUMBER) &&
	    !is_number(value, f->kind)) {
		auto_free char *what =
			xasprintf("--%s needs a %snumber, not '%s'", f->name,
				  f->kind == CMD_INT ? "whole " : "", value);
		return usage(in->cmd, e, what);
	}
	if (f == &help_flag)
		in->wants_help = true;
	else
		in->given[in->n_given++] = (struct cmd_given){ f, value };
	return 0;
}

/* argv[*i] is "--name", "--name=value" or "--name value". */
static int long_flag(struct cmd_line *in, int argc, char *const argv[], int *i,
		     struct err *e)
{
	const char *typed = argv[*i];
	const char *equals = strchr(typed, '=');
	struct str name = { typed + 2, equals ? (size_t)(equals - typed) - 2
					      : strlen(typed) - 2 };
	const struct cmd_flag *f = find(in->cmd, name);
	const char *value = equals ? equals + 1 : NULL;
	if (!f) {
		auto_free char *what =
			xasprintf("there is no flag --%.*s", STR_ARG(name));
		return usage(in->cmd, e, what);
	}
	if (!value && f->kind != CMD_BOOL) {
		if (*i + 1 == argc) {
			auto_free char *what =
				xasprintf("--%s needs a value", f->name);
			return usage(in->cmd, e, what);
		}
		value = argv[++*i];
	}
	return give(in, f, value, e);
}

/* argv[*i] is "-abc": flags without a value, the last may have one, glued on
 * ("-n5", "-n=5") or as the next argument. */
static int short_flags(struct cmd_line *in, int argc, char *const argv[],
		       int *i, struct err *e)
{
	for (const char *p = argv[*i] + 1; *p; p++) {
		const struct cmd_flag *f = find_letter(in->cmd, *p);
		if (!f) {
			auto_free char *what =
				xasprintf("there is no flag -%c", *p);
			return usage(in->cmd, e, what);
		}
		if (f->kind == CMD_BOOL) {
			if (give(in, f, NULL, e))
				return -1;
			continue;
		}
		const char *value = p[1] == '=' ? p + 2 : p + 1;
		if (!*value && *i + 1 == argc) {
			auto_free char *what =
				xasprintf("-%c needs a value", *p);
			return usage(in->cmd, e, what);
		}
		return give(in, f, *value ? value : argv[++*i], e);
	}
	return 0;
}

static int check_count(const struct cmd_line *in, struct err *e)
{
	const struct cmd *cmd = in->cmd;
	int n = (int)in->n_args;
	if (n >= cmd->min && (n <= cmd->max || cmd->max == CMD_MANY))
		return 0;
	const char *bound = cmd->min == cmd->max ? ""
			    : n < cmd->min	 ? "at least "
						 : "at most ";
	int want = n < cmd->min ? cmd->min : cmd->max;
	auto_free char *what =
		want ? xasprintf("'docker model %s' needs %s%d argument%s "
				 "(%s), not %d",
				 cmd->name, bound, want, want == 1 ? "" : "s",
				 cmd->args, n)
		     : xasprintf("'docker model %s' takes no arguments",
				 cmd->name);
	return usage(cmd, e, what);
}

int cmd_parse(const struct cmd *cmd, int argc, char *const argv[],
	      struct cmd_line *out, struct err *e)
{
	size_t n_letters = 0;
	for (int i = 0; i < argc; i++)
		n_letters += strlen(argv[i]);
	*out = (struct cmd_line){
		.cmd = cmd,
		.args = xcalloc((size_t)argc, sizeof *out->args),
		.given = xcalloc(n_letters, sizeof *out->given),
	};
	for (int i = 0; i < argc; i++) {
		const char *typed = argv[i];
		int failed = 0;
		if (!strcmp(typed, "--")) {
			while (++i < argc)
				out->args[out->n_args++] = argv[i];
			break;
		}
		if (!strncmp(typed, "--", 2))
			failed = long_flag(out, argc, argv, &i, e);
		else if (typed[0] == '-' && typed[1])
			failed = short_flags(out, argc, argv, &i, e);
		else
			out->args[out->n_args++] = typed;
		if (out->wants_help)
			return 0;
		if (failed)
			return -1;
	}
	return check_count(out, e);
}

void cmd_line_fini(struct cmd_line *in)
{
	free(in->args);
	free(in->given);
}

static const struct cmd_given *last(const struct cmd_line *in, const char *flag)
{
	assert(find(in->cmd, str_of(flag)));
	for (size_t i = in->n_given; i > 0; i--)
		if (!strcmp(in->given[i - 1].flag->name, flag))
			return &in->given[i - 1];
	return NULL;
}

bool cmd_is_set(const struct cmd_line *in, const char *flag)
{
	const struct cmd_given *g = last(in, flag);
	/* A CMD_BOOL with a value was switched off again. */
	return g && (g->flag->kind != CMD_BOOL || !g->value);
}

bool cmd_is_given(const struct cmd_line *in, const char *flag)
{
	return last(in, flag) != NULL;
}

const char *cmd_text(const struct cmd_line *in, const char *flag)
{
	const struct cmd_given *g = last(in, flag);
	return g ? g->value : NULL;
}

const char *cmd_nth(const struct cmd_line *in, const char *flag, size_t i)
{
	assert(find(in->cmd, str_of(flag)));
	for (size_t k = 0; k < in->n_given; k++)
		if (!strcmp(in->given[k].flag->name, flag) && i-- == 0)
			return in->given[k].value;
	return NULL;
}

char *cmd_join(const struct cmd_line *in, size_t from)
{
	size_t n = 1;
	for (size_t i = from; i < in->n_args; i++)
		n += strlen(in->args[i]) + 1;
	char *text = xcalloc(n, 1);
	char *p = text;
	for (size_t i = from; i < in->n_args; i++) {
		if (i > from)
			*p++ = ' ';
		p = stpcpy(p, in->args[i]);
	}
	return text;
}

static int put_flag(const struct cmd_flag *f, size_t width, struct buf *out)
{
	char letter[] = "-x, ";
	letter[1] = f->letter;
	auto_free char *name =
		xasprintf("--%s %s", f->name, f->value ? f->value : "");
	return buf_printf(out, "  %s%-*s  %s\n", f->letter ? letter : "    ",
			  (int)width, name, f->help);
}

int cmd_put_help(const struct cmd *cmd, struct buf *out)
{
	size_t width = sizeof "--help " - 1;
	for (const struct cmd_flag *f = cmd->flags; f->name; f++) {
		size_t n = strlen(f->name) + 3;
		width = MAX(width, n + (f->value ? strlen(f->value) : 0));
	}
	if (buf_printf(out, "Usage:  docker model %s%s%s%s\n\n%s\n", cmd->name,
		       cmd->flags->name ? " [OPTIONS]" : "",
		       *cmd->args ? " " : "", cmd->args, cmd->help) ||
	    (cmd->alias &&
	     buf_printf(out, "\nAliases:\n  docker model %s, docker model %s\n",
			cmd->name, cmd->alias)) ||
	    buf_puts(out, "\nOptions:\n"))
		return BUF_FULL;
	for (const struct cmd_flag *f = cmd->flags; f->name; f++)
		if (put_flag(f, width, out))
			return BUF_FULL;
	return put_flag(&help_flag, width, out);
}

size_t cmd_distance(const char *a, const char *b)
{
	/* Levenshtein's table, one row at a time. */
	size_t n = strlen(b);
	auto_free size_t *row = xcalloc(n + 1, sizeof *row);
	for (size_t j = 0; j <= n; j++)
		row[j] = j;
	for (size_t i = 1; *a; a++, i++) {
		size_t diagonal = row[0];
		row[0] = i;
		for (size_t j = 1; j <= n; j++) {
			size_t swap = diagonal + (*a != b[j - 1]);
			diagonal = row[j];
			row[j] = MIN(MIN(row[j], row[j - 1]) + 1, swap);
		}
	}
	return row[n];
}
