#include "cli/pulling.h"
#include "cli/layers.h"

#include <errno.h>
#include <time.h>

#define RETRIES 4

static int pull_once(struct call *c, struct str body, FILE *out, struct err *e)
{
	struct layers layers;
	layers_init(&layers, out);
	int failed =
		call_stream(c,
			    &(struct call_request){ .method = "POST",
						    .path = "/models/create",
						    .body = body },
			    layers_feed, &layers, e);
	if (!failed)
		failed = layers_end(&layers, e);
	layers_fini(&layers);
	return failed;
}

/* The server, or the way to it, broke; what it answered would not change. */
static bool may_pass(const struct err *e)
{
	return e->code == ERR_ENGINE || e->code == ERR_ENGINE_SLOW ||
	       e->code == ERR_UNAVAILABLE;
}

static void wait_s(int seconds)
{
	struct timespec left = { .tv_sec = seconds };
	while (clock_nanosleep(CLOCK_MONOTONIC, 0, &left, &left) == EINTR)
		;
}

int pulling_run(struct call *c, const char *model, FILE *out, struct err *e)
{
	auto_json *request = json_pack("{s:s}", "from", model);
	auto_json *version = NULL;
	if (!request)
		return err_set(e, ERR_USAGE, "the name is not UTF-8");
	auto_free char *body = json_text(request);
	/* Nobody there is told at once; waiting would not bring them. */
	if (call_json(c, "GET", "/version", STR(""), &version, e))
		return -1;
	for (int i = 0; pull_once(c, str_of(body), out, e); i++) {
		if (e->code == ERR_UNSUPPORTED)
			return err_wrap(e, "this model cannot be run here (a "
					   "newer modeld may know it)");
		if (!may_pass(e))
			return -1;
		if (i == RETRIES)
			return err_wrap(e, "download failed after %d retries",
					RETRIES);
		fprintf(stderr, "%s\n", e->msg);
		fprintf(stderr, "Retrying download (attempt %d/%d) in %ds...\n",
			i + 1, RETRIES, 1 << i);
		wait_s(1 << i);
	}
	return 0;
}
