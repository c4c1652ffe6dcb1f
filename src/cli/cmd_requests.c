#include "cli/call.h"
#include "cli/commands.h"
#include "cli/term.h"
#include "http/sse.h"
#include "base/limits.h"

#include <stdio.h>

struct stream {
	struct sse_decoder events;
	bool is_greeted;
};

/* The first event only says that we are connected. */
static void on_event(void *ctx, struct str data)
{
	struct stream *s = ctx;
	if (s->is_greeted) {
		term_put(data);
		term_put(STR("\n"));
		term_flush();
	} else {
		fprintf(stderr, "Connected to request stream. Press Ctrl+C to "
				"stop.\n");
	}
	s->is_greeted = true;
}

static int on_piece(void *ctx, struct str piece, struct err *e)
{
	struct stream *s = ctx;
	return sse_decode(&s->events, piece, on_event, s, e);
}

static int follow(struct call *c, const char *path, struct err *e)
{
	struct stream s = { 0 };
	struct call_request ask = { .method = "GET",
				    .path = path,
				    .accepts = SSE_TYPE,
				    .is_interruptible = true };
	sse_decoder_init(&s.events, LIMIT_REPLY_BODY_BYTES);
	int got = call_stream(c, &ask, on_piece, &s, e);
	sse_decoder_fini(&s.events);
	if (got == 0)
		fprintf(stderr, "Stream closed by server.\n");
	return got < 0 ? -1 : 0;
}

int cmd_requests(const struct cmd_line *in, struct err *e)
{
	auto_(call) c = NULL;
	auto_json *all = NULL;
	const char *model = cmd_text(in, "model");
	auto_free char *name = call_escape(model ? model : "");
	auto_free char *path = xasprintf(
		"/engines/requests%s%s%s%s", model ? "?model=" : "?", name,
		model ? "&" : "",
		cmd_is_set(in, "include-existing") ? "include_existing=true"
						   : "");
	if (cmd_is_set(in, "include-existing") && !cmd_is_set(in, "follow"))
		return err_set(e, ERR_USAGE,
			       "--include-existing is for --follow; without "
			       "it the existing requests are all there is");
	if (call_open(&c, e))
		return -1;
	if (cmd_is_set(in, "follow"))
		return follow(c, path, e);
	if (call_json(c, "GET", path, STR(""), &all, e))
		return -1;
	term_put_json(all);
	return 0;
}
