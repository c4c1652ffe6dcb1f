#include "io/timer.h"

#include <time.h>
#include <uv.h>

struct timer_impl {
	uv_timer_t uv;
	void (*fn)(void *ctx);
	void *ctx;
};

void timer_init(struct timer *t, struct uv_loop_s *loop, void (*fn)(void *ctx),
		void *ctx)
{
	struct timer_impl *i = xcalloc(1, sizeof *i);
	uv_timer_init(loop, &i->uv);
	i->fn = fn;
	i->ctx = ctx;
	t->impl = i;
}

static void on_closed(uv_handle_t *h)
{
	free(container_of(h, struct timer_impl, uv));
}

void timer_fini(struct timer *t)
{
	struct timer_impl *i = steal(&t->impl);
	if (i)
		uv_close((uv_handle_t *)&i->uv, on_closed);
}

static void on_due(uv_timer_t *uv)
{
	struct timer_impl *i = container_of(uv, struct timer_impl, uv);
	i->fn(i->ctx);
}

void timer_start(struct timer *t, uint64_t ms)
{
	uv_timer_start(&t->impl->uv, on_due, ms, 0);
}

void timer_stop(struct timer *t)
{
	uv_timer_stop(&t->impl->uv);
}

bool timer_is_active(const struct timer *t)
{
	return t->impl && uv_is_active((const uv_handle_t *)&t->impl->uv);
}

uint64_t timer_now_ms(struct uv_loop_s *loop)
{
	return uv_now(loop);
}

uint64_t timer_now_ns(void)
{
	return uv_hrtime();
}
