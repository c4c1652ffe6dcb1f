/* POST /models/verify: one line of JSON a file, as it is read, and one at the
 * end. Reading goes on only as fast as the client takes the lines, and stops
 * when it leaves.
 *
 *   {"digest":"sha256:...","bytes":123}
 *   {"digest":"sha256:...","bytes":5,"problem":"it has changed: ..."}
 *   {"files":7,"of":7,"bytes":1234,"bad":1} */
#include "api/allowed.h"
#include "api/reply.h"
#include "api/routes.h"
#include "io/job.h"
#include "oci/verify.h"

#include <inttypes.h>

struct verifying {
	struct api *api;
	struct http_exchange *x; /* NULL: the client has gone */
	struct verify *verify;	 /* owned; NULL before the plan is made */
	struct verify_step step;
	uint64_t files, bytes, bad;
	bool is_working, is_full;
};

static void verifying_free(struct verifying *v)
{
	verify_free(v->verify);
	free(v);
}

static int step(void *ctx, struct err *e)
{
	struct verifying *v = ctx;
	if (!v->verify && verify_new(v->api->store, &v->verify, e))
		return -1;
	return verify_next(v->verify, &v->step, e);
}

static void on_step(void *ctx, int outcome, const struct err *e);

static void next(struct verifying *v)
{
	v->is_working = true;
	job_start(v->api->loop, step, on_step, v);
}

static void put_file(struct verifying *v, struct buf *line)
{
	const struct verify_step *s = &v->step;
	/* It has room for all of this. */
	if (buf_printf(line, "{\"digest\":\"sha256:%s\",\"bytes\":%" PRIu64,
		       s->digest.hex, s->bytes) ||
	    (s->problem[0] && (buf_puts(line, ",\"problem\":") ||
			       buf_put_json(line, str_of(s->problem)))) ||
	    buf_puts(line, "}\n"))
		abort();
}

static void put_end(struct verifying *v, struct buf *line)
{
	if (buf_printf(line,
		       "{\"files\":%" PRIu64 ",\"of\":%zu,\"bytes\":%" PRIu64
		       ",\"bad\":%" PRIu64 "}\n",
		       v->files, verify_count(v->verify), v->bytes, v->bad))
		abort();
}

static void tell(struct verifying *v, int outcome)
{
	auto_buf struct buf line;
	buf_init(&line, 1024);
	if (!exchange_is_started(v->x)) {
		exchange_add(v->x, "Content-Type", STR("application/x-ndjson"));
		exchange_start(v->x, 200, EXCHANGE_CHUNKED);
	}
	if (outcome == VERIFY_END) {
		put_end(v, &line);
		exchange_write(v->x, buf_str(&line));
		exchange_end(v->x);
		verifying_free(v);
		return;
	}
	v->files++;
	v->bytes += v->step.bytes;
	v->bad += outcome == VERIFY_BAD;
	put_file(v, &line);
	v->is_full = exchange_write(v->x, buf_str(&line)) == STREAM_FULL;
	if (!v->is_full)
		next(v);
}

static void on_step(void *ctx, int outcome, const struct err *e)
{
	struct verifying *v = ctx;
	v->is_working = false;
	if (v->x && outcome == VERIFY_MORE) {
		next(v);
		return;
	}
	if (v->x && outcome >= 0) {
		tell(v, outcome);
		return;
	}
	if (v->x && exchange_is_started(v->x))
		exchange_abort(v->x);
	else if (v->x)
		reply_text_error(v->x, e);
	verifying_free(v);
}

static void on_drain(void *ctx)
{
	struct verifying *v = ctx;
	if (!v->is_full || v->is_working)
		return;
	v->is_full = false;
	next(v);
}

static void on_gone(void *ctx)
{
	struct verifying *v = ctx;
	v->x = NULL;
	if (!v->is_working)
		verifying_free(v);
}

static const struct exchange_fns exchange_fns = { .on_gone = on_gone,
						  .on_drain = on_drain };

void models_verify(void *app, struct http_exchange *x,
		   const struct route_match *m)
{
	struct err e;
	(void)m;
	if (allowed_all(x, &e)) {
		reply_text_error(x, &e);
		return;
	}
	struct verifying *v = xcalloc(1, sizeof *v);
	v->api = app;
	v->x = x;
	exchange_set_fns(x, &exchange_fns, v);
	next(v);
}
