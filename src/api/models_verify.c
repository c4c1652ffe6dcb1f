/* POST /models/verify: one line of JSON a file, as it is read, and one at the
 * end. Reading goes on only as fast as the client takes the lines, and stops
 * when it leaves.
 *
 *   {"digest":"sha256:...","bytes":123}
 *   {"digest":"sha256:...","bytes":5,"problem":"it has changed: ..."}
 *   {"files":7,"of":7,"bytes":1234,"bad":1} */
#include "api/allowed.h"
#include "api/pieces.h"
#include "api/reply.h"
#include "api/routes.h"
#include "oci/verify.h"

#include <inttypes.h>

struct verifying {
	struct pieces pieces;
	struct verify *verify; /* owned; NULL before the plan is made */
	struct verify_step step;
	uint64_t files, bytes, bad;
};

static int step(struct pieces *p, struct err *e)
{
	struct verifying *v = container_of(p, struct verifying, pieces);
	if (!v->verify && verify_new(p->api->store, &v->verify, e))
		return -1;
	return verify_next(v->verify, &v->step);
}

static void fini(struct pieces *p)
{
	struct verifying *v = container_of(p, struct verifying, pieces);
	verify_free(v->verify);
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

static int tell(struct pieces *p, int outcome)
{
	struct verifying *v = container_of(p, struct verifying, pieces);
	auto_buf struct buf line;
	buf_init(&line, 1024);
	if (outcome == VERIFY_MORE)
		return 0;
	if (!exchange_is_started(p->x)) {
		exchange_add(p->x, "Content-Type", STR("application/x-ndjson"));
		exchange_start(p->x, 200, EXCHANGE_CHUNKED);
	}
	if (outcome == VERIFY_END) {
		put_end(v, &line);
		exchange_write(p->x, buf_str(&line));
		return PIECES_END;
	}
	v->files++;
	v->bytes += v->step.bytes;
	v->bad += outcome == VERIFY_BAD;
	put_file(v, &line);
	return exchange_write(p->x, buf_str(&line));
}

static const struct pieces_fns pieces_fns = { .make = step,
					      .send = tell,
					      .fini = fini };

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
	pieces_start(&v->pieces, app, x, &pieces_fns);
}
