/* options_rows.h - the one table of modeld's options: flag, variable, member of
 * the configuration file and --help come from a row. */
#pragma once
#include "base/str.h"
#include "modeld/options.h"

struct options_row {
	const char *name, *arg;
	const char *env; /* or NULL */
	bool in_file;	 /* with the name's '-' as '_' */
	int (*set)(struct options *o, const char *text, struct err *e);
	const char *help;
};

/* NULL: there is none. */
const struct options_row *options_rows_find(struct str name);
/* The i-th, or NULL behind the last. */
const struct options_row *options_rows_get(size_t i);
/* Prints what --help says. */
void options_rows_help(void);
