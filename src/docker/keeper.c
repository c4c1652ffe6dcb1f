#include "docker/keeper.h"
#include "base/log.h"
#include "docker/net.h"
#include "docker/netwatch.h"
#include "docker/setup.h"
#include "io/job.h"

struct keeper {
	struct uv_loop_s *loop;
	const struct setup *setup;
	struct netwatch *watch; /* owned */
	void (*on_change)(void *ctx);
	void *ctx;
	struct networks networks;
	bool has_networks;
	char *target; /* owned, or NULL */
	bool is_busy; /* a job runs, on the copies below */
	bool is_dirty;
	bool is_freed;
	/* The job's own. */
	struct networks job_networks;
	char *job_target;
	bool job_has_networks;
};

static void drop_copies(struct keeper *k)
{
	networks_fini(&k->job_networks);
	free(steal(&k->job_target));
}

static void destroy(struct keeper *k)
{
	drop_copies(k);
	networks_fini(&k->networks);
	free(k->target);
	free(k);
}

static int work(void *ctx, struct err *e)
{
	struct keeper *k = ctx;
	return net_repair(k->setup,
			  k->job_has_networks ? &k->job_networks : NULL,
			  k->job_target, e);
}

static void start(struct keeper *k);

static void on_done(void *ctx, int outcome, const struct err *e)
{
	struct keeper *k = ctx;
	k->is_busy = false;
	if (k->is_freed) {
		destroy(k);
		return;
	}
	drop_copies(k);
	if (outcome < 0)
		log_error("the way in for containers is not as it should be: "
			  "%s",
			  e->msg);
	if (k->is_dirty)
		start(k);
	k->on_change(k->ctx);
}

static void start(struct keeper *k)
{
	k->is_dirty = k->is_busy;
	if (k->is_busy)
		return;
	k->is_busy = true;
	networks_copy(&k->networks, &k->job_networks);
	k->job_has_networks = k->has_networks;
	k->job_target = k->target ? xstrdup(k->target) : NULL;
	job_start(k->loop, work, on_done, k);
}

static void on_news(void *ctx)
{
	start(ctx);
}

void keeper_set(struct keeper *k, const struct networks *networks,
		const char *target)
{
	networks_fini(&k->networks);
	networks_copy(networks, &k->networks);
	k->has_networks = true;
	base_freep(&k->target);
	k->target = target ? xstrdup(target) : NULL;
	start(k);
}

int keeper_new(struct uv_loop_s *loop, const struct setup *s,
	       const struct ends *ends, void (*on_change)(void *ctx), void *ctx,
	       struct keeper **out, struct err *e)
{
	struct keeper *k = xcalloc(1, sizeof *k);
	k->loop = loop;
	k->setup = s;
	k->on_change = on_change;
	k->ctx = ctx;
	if (netwatch_new(loop, s, ends, on_news, k, &k->watch, e)) {
		destroy(k);
		return -1;
	}
	*out = k;
	return 0;
}

void keeper_free(struct keeper *k)
{
	if (!k)
		return;
	netwatch_free(steal(&k->watch));
	k->is_freed = true;
	if (!k->is_busy)
		destroy(k);
}
