/* cmd.h - what a command is, and what was typed for it.
 *
 * A command is a row of the table in commands.c, its flags are a table too;
 * parsing, --help, completion and the "did you mean" all read these rows, so
 * that no text repeats them. Nothing here talks to a server. */
#pragma once
#include "base/buf.h"
#include "base/err.h"

enum cmd_flag_kind { CMD_BOOL, CMD_TEXT, CMD_INT, CMD_NUMBER };

struct cmd_flag {
	const char *name;
	char letter; /* 0: none */
	enum cmd_flag_kind kind;
	const char *value; /* what it takes, for the help; NULL for CMD_BOOL */
	const char *help;
};

/* What the arguments are; completion offers those. */
enum cmd_operand {
	CMD_NOTHING,
	CMD_MODEL, /* the first only */
	CMD_MODELS,
	CMD_COMMAND,
	CMD_SHELL,
};

struct cmd_line;

struct cmd {
	const char *name;
	const char *alias; /* NULL: none */
	const char *args;  /* "SOURCE TARGET" */
	const char *help;  /* one line */
	int min, max;	   /* arguments; max CMD_MANY: no limit */
	enum cmd_operand operand;
	const struct cmd_flag *flags; /* ends with a row without a name */
	/* Does it: 0, or -1 with the reason that main.c prints. */
	int (*run)(const struct cmd_line *in, struct err *e);
};

#define CMD_MANY (-1)

struct cmd_given {
	const struct cmd_flag *flag;
	const char *value; /* NULL for a CMD_BOOL that is on */
};

/* Borrows the strings of argv; owns the two arrays. */
struct cmd_line {
	const struct cmd *cmd;
	const char **args;
	size_t n_args;
	struct cmd_given *given; /* in the order typed */
	size_t n_given;
	bool wants_help; /* -h or --help: nothing else was checked */
};

/* `argv` is what follows the command's name. -1 (ERR_USAGE) says what is wrong
 * and where the help is. In both cases fini it. */
must_use int cmd_parse(const struct cmd *cmd, int argc, char *const argv[],
		       struct cmd_line *out, struct err *e);
void cmd_line_fini(struct cmd_line *in);

/* The values that were typed; the flag must be one of the command's. The last
 * one counts, cmd_text() is NULL without any. */
bool cmd_is_set(const struct cmd_line *in, const char *flag);
/* Also one that was switched off: "--think=false". */
bool cmd_is_given(const struct cmd_line *in, const char *flag);
const char *cmd_text(const struct cmd_line *in, const char *flag);
/* The i-th value of a flag that may be repeated, or NULL. */
const char *cmd_nth(const struct cmd_line *in, const char *flag, size_t i);
/* The arguments from number `from`, joined by spaces; the caller frees it. */
char *cmd_join(const struct cmd_line *in, size_t from) must_use;

/* The page that --help shows. */
must_use int cmd_put_help(const struct cmd *cmd, struct buf *out);
/* How many single-letter edits make `b` of `a`: for "did you mean". */
size_t cmd_distance(const char *a, const char *b);
