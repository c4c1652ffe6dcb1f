/* POST /models/load: a tar comes in with the body and goes into the store.
 *
 * The loop copies a piece, stops the body, and has a job feed it to load.h,
 * which hashes and writes; then the body goes on. So at most one piece waits in
 * memory, and a slow disk slows the client. */
#include "api/allowed.h"
#include "api/api.h"
#include "api/reply.h"
#include "api/routes.h"
#include "base/limits.h"
#include "base/log.h"
#include "io/lane.h"
#include "model/load.h"

struct loading {
	struct api *api;
	struct http_exchange *x; /* NULL: the client has gone */
	struct load *load;	 /* owned */
	struct lane_job job;
	struct buf piece; /* what the job works on */
	bool is_working;
	bool is_last; /* the body is over */
	struct digest id;
};

static int give_up(void *ctx, struct err *e)
{
	struct loading *l = ctx;
	(void)e;
	load_free(l->load);
	return 0;
}

static void on_given_up(void *ctx, int outcome, const struct err *e)
{
	struct loading *l = ctx;
	(void)outcome;
	(void)e;
	buf_fini(&l->piece);
	free(l);
}

/* It may have to remove files. */
static void loading_free(struct loading *l)
{
	job_start(l->api->loop, give_up, on_given_up, l);
}

static void on_gone(void *ctx)
{
	struct loading *l = ctx;
	l->x = NULL;
	if (!l->is_working)
		loading_free(l);
}

static const struct exchange_fns exchange_fns = { .on_gone = on_gone };

static int feed(void *ctx, struct err *e)
{
	struct loading *l = ctx;
	if (l->is_last)
		return load_end(l->load, &l->id, e);
	return load_feed(l->load, buf_str(&l->piece), e);
}

static void tell_done(struct loading *l)
{
	char id[DIGEST_TEXT_BYTES];
	log_info("model stored id=%s", l->id.hex);
	reply_json(l->x, 200,
		   json_pack("{s:s, s:s, s:i, s:{s:s, s:i, s:i}, s:s}", "type",
			     "success", "message", "Model loaded successfully",
			     "total", 0, "layer", "id", digest_text(&l->id, id),
			     "size", 0, "current", 0, "mode", "pull"));
}

static void on_fed(void *ctx, int outcome, const struct err *e)
{
	struct loading *l = ctx;
	l->is_working = false;
	if (l->x && outcome == 0 && !l->is_last) {
		exchange_body_resume(l->x);
		return;
	}
	if (l->x && outcome == 0) {
		tell_done(l);
	} else if (l->x) {
		struct err why = *e;
		err_wrap(&why, "error while loading model");
		reply_text_error(l->x, &why);
	}
	loading_free(l);
}

static void on_piece(void *ctx, struct str piece)
{
	struct loading *l = ctx;
	l->is_last = piece.n == 0;
	l->is_working = true;
	buf_clear(&l->piece);
	if (buf_put(&l->piece, piece.p, piece.n))
		abort();
	exchange_body_pause(l->x);
	lane_start(l->api->bulk, &l->job, feed, on_fed, l);
}

void models_load(void *app, struct http_exchange *x,
		 const struct route_match *m)
{
	struct err e;
	(void)m;
	/* It comes without a name, and so is nobody's in particular. */
	if (allowed_all(x, &e)) {
		reply_text_error(x, &e);
		return;
	}
	struct loading *l = xcalloc(1, sizeof *l);
	l->api = app;
	l->x = x;
	l->load = load_new(l->api->store);
	/* The most that a connection gives at once. */
	buf_init(&l->piece, LIMIT_PIPELINED_BYTES + LIMIT_READ_BYTES);
	exchange_set_fns(x, &exchange_fns, l);
	exchange_stream(x, 0, on_piece, l);
}
