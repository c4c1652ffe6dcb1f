#include "cli/moving.h"
#include "cli/layers.h"

#include <errno.h>
#include <time.h>

#define RETRIES 4

/* *there grows to how far it came. */
static int move_once(struct call *c, const struct moving *m, FILE *out,
		     uint64_t *there, struct err *e)
{
	struct layers layers;
	layers_init(&layers, out);
	int failed = call_stream(c,
				 &(struct call_request){ .method = "POST",
							 .path = m->path,
							 .body = m->body },
				 layers_feed, &layers, e);
	if (!failed)
		failed = layers_end(&layers, e);
	*there = MAX(*there, layers_there(&layers));
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

int moving_run(struct call *c, const struct moving *m, FILE *out, struct err *e)
{
	auto_json *version = NULL;
	uint64_t there = 0, before = 0;
	/* Nobody there is told at once; waiting would not bring them. */
	if (call_json(c, "GET", "/version", STR(""), &version, e))
		return -1;
	for (int i = 0; move_once(c, m, out, &there, e); i++) {
		if (!may_pass(e))
			return -1;
		if (there > before)
			i = 0; /* each break has tries of its own */
		before = there;
		if (i == RETRIES)
			return err_wrap(e,
					"%s failed after %d retries; what is "
					"done is kept, the same command goes "
					"on from there",
					m->noun, RETRIES);
		fprintf(stderr, "%s\n", e->msg);
		fprintf(stderr, "Retrying %s (attempt %d/%d) in %ds...\n",
			m->noun, i + 1, RETRIES, 1 << i);
		wait_s(1 << i);
	}
	return 0;
}
