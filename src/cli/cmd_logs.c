#include "cli/call.h"
#include "cli/commands.h"
#include "cli/term.h"

static int show(void *ctx, struct str piece, struct err *e)
{
	(void)ctx;
	(void)e;
	term_put(piece);
	term_flush();
	return 0;
}

int cmd_logs(const struct cmd_line *in, struct err *e)
{
	auto_(call) c = NULL;
	auto_free char *path =
		xasprintf("/logs?follow=%s&no-engines=%s",
			  cmd_is_set(in, "follow") ? "true" : "false",
			  cmd_is_set(in, "no-engines") ? "true" : "false");
	if (call_open(&c, e))
		return -1;
	return call_stream(
		c, &(struct call_request){ .method = "GET", .path = path },
		show, NULL, e);
}
