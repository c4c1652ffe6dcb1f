#include "docker/take_probe.h"
#include "base/limits.h"
#include "docker/front_relay.h"
#include "io/stream.h"

#include <assert.h>

/* After a connection that broke. The front's supervisor is as quick. */
#define AGAIN_MS 20

static const struct stream_fns fns;

static void send_ping(struct take_probe *p)
{
	struct str ping = STR(FRONT_PING);
	p->got = 0;
	stream_write(p->s, &ping, 1);
	if (!timer_is_active(&p->deadline))
		timer_start(&p->deadline, LIMIT_PROBE_MS);
}

static void on_ask(void *ctx)
{
	struct take_probe *p = ctx;
	struct err e;
	if (!p->s) {
		p->has_answered = false;
		int got = stream_connect(p->loop, p->address, &fns, p, NULL,
					 &p->s, &e);
		assert(got == 0); /* the path was used before */
		stream_resume(p->s);
	}
	send_ping(p);
}

/* Refused, broken, or not the front: another try, until the deadline. */
static void on_lost(struct take_probe *p)
{
	stream_free(steal(&p->s));
	if (!timer_is_active(&p->deadline) && !p->is_dead)
		timer_start(&p->deadline, LIMIT_PROBE_MS);
	timer_start(&p->ask, AGAIN_MS);
}

static void on_deadline(void *ctx)
{
	struct take_probe *p = ctx;
	stream_free(steal(&p->s));
	timer_start(&p->ask, AGAIN_MS);
	if (p->is_dead)
		return;
	p->is_dead = true;
	p->on_dead(p->ctx);
}

static void on_data(void *ctx, struct str data)
{
	struct take_probe *p = ctx;
	struct str pong = STR(FRONT_PONG);
	size_t n = p->got < pong.n ? MIN(data.n, pong.n - p->got) : 0;
	if (n && memcmp(data.p, pong.p + p->got, n) != 0) {
		on_lost(p);
		return;
	}
	bool is_new = !p->has_answered;
	p->got += data.n;
	if (p->got < pong.n)
		return;
	timer_stop(&p->deadline);
	p->has_answered = true;
	p->is_dead = false;
	timer_start(&p->ask, LIMIT_PROBE_MS);
	if (n) /* else the rest of an answer that counts already */
		p->on_alive(p->ctx, is_new);
}

static void on_end(void *ctx)
{
	on_lost(ctx);
}

static void on_fail(void *ctx, const struct err *e)
{
	(void)e;
	on_lost(ctx);
}

static const struct stream_fns fns = { on_data, on_end, NULL, on_fail };

void take_probe_init(struct take_probe *p, struct uv_loop_s *loop,
		     const char *path, void (*on_alive)(void *ctx, bool is_new),
		     void (*on_dead)(void *ctx), void *ctx)
{
	*p = (struct take_probe){ .loop = loop,
				  .on_alive = on_alive,
				  .on_dead = on_dead,
				  .ctx = ctx };
	p->address = xasprintf(STREAM_UNIX_PREFIX "%s", path);
	timer_init(&p->ask, loop, on_ask, p);
	timer_init(&p->deadline, loop, on_deadline, p);
	timer_start(&p->ask, 0);
}

void take_probe_fini(struct take_probe *p)
{
	stream_free(steal(&p->s));
	timer_fini(&p->ask);
	timer_fini(&p->deadline);
	free(steal(&p->address));
}
