/* commands.h - the table of everything that docker-model can do.
 *
 * Adding a command is a row in commands.c, a declaration here, and a file
 * cmd_NAME.c with the function. */
#pragma once
#include "cli/cmd.h"

/* Ends with a row without a name. */
extern const struct cmd commands_table[];

/* By name or alias. -1 (ERR_USAGE) names the nearest ones. */
must_use int commands_find(const char *name, const struct cmd **out,
			   struct err *e);
/* The list that `docker model` alone shows. */
must_use int commands_put_help(struct buf *out);

int cmd_completion(const struct cmd_line *in, struct err *e);
int cmd_configure(const struct cmd_line *in, struct err *e);
int cmd_connect(const struct cmd_line *in, struct err *e);
int cmd_df(const struct cmd_line *in, struct err *e);
int cmd_disconnect(const struct cmd_line *in, struct err *e);
int cmd_doctor(const struct cmd_line *in, struct err *e);
int cmd_enable(const struct cmd_line *in, struct err *e);
int cmd_export(const struct cmd_line *in, struct err *e);
int cmd_help(const struct cmd_line *in, struct err *e);
int cmd_inspect(const struct cmd_line *in, struct err *e);
int cmd_key(const struct cmd_line *in, struct err *e);
int cmd_list(const struct cmd_line *in, struct err *e);
int cmd_load(const struct cmd_line *in, struct err *e);
int cmd_logs(const struct cmd_line *in, struct err *e);
int cmd_package(const struct cmd_line *in, struct err *e);
int cmd_prune(const struct cmd_line *in, struct err *e);
int cmd_pull(const struct cmd_line *in, struct err *e);
int cmd_purge(const struct cmd_line *in, struct err *e);
int cmd_ps(const struct cmd_line *in, struct err *e);
int cmd_push(const struct cmd_line *in, struct err *e);
int cmd_requests(const struct cmd_line *in, struct err *e);
int cmd_rm(const struct cmd_line *in, struct err *e);
int cmd_run(const struct cmd_line *in, struct err *e);
int cmd_status(const struct cmd_line *in, struct err *e);
int cmd_tag(const struct cmd_line *in, struct err *e);
int cmd_unload(const struct cmd_line *in, struct err *e);
int cmd_verify(const struct cmd_line *in, struct err *e);
int cmd_version(const struct cmd_line *in, struct err *e);
