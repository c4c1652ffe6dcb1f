#include "docker/take.h"
#include "base/limits.h"
#include "docker/service.h"
#include "docker/take_name.h"
#include "docker/take_probe.h"

#include <unistd.h>

/* An Engine makes its socket, then sets owner and mode: that is waited for. */
#define SETTLE_MS 20
/* A front that was gone must answer so often before it gets the name again. */
#define STEADY_ANSWERS 2

struct taker {
	struct service service;
	const struct setup *setup;
	struct take_name name;
	struct take_probe probe;
	uv_fs_event_t folder;
	struct timer settle;
	unsigned answers; /* since the front was gone */
	bool has_failed;  /* the name could not be taken, and it was said */
	bool is_lost;	  /* the Engine's socket has no name, and it was said */
	struct err err;	  /* why it ended, or "" */
};

static void fail(struct taker *t, const struct err *e)
{
	if (!t->service.is_ready) {
		t->err = *e;
		service_stop(&t->service);
	} else if (!t->has_failed) {
		log_error("the Docker socket is not taken error=\"%s\"",
			  e->msg);
	}
	t->has_failed = true;
}

static void tell(struct taker *t, int got)
{
	t->has_failed = false;
	if (got == TAKE_NO_ENGINE && !t->service.is_ready)
		log_info("waits for Docker Engine socket=%s", t->name.name);
	if (got == 0)
		log_info("took the Docker socket name=%s engine=%s",
			 t->name.name, t->name.engine);
	if (got == TAKE_LOST && !t->is_lost)
		log_error("Docker Engine's socket %s was removed: restart "
			  "Docker Engine",
			  t->name.engine);
	t->is_lost = got == TAKE_LOST;
	service_ready(&t->service, t->setup);
}

static void on_settled(void *ctx)
{
	struct taker *t = ctx;
	struct err e;
	if (t->probe.is_dead)
		return;
	int got = take_name_take(&t->name, &e);
	if (got < 0)
		fail(t, &e);
	else
		tell(t, got);
}

/* Has the name changed hands? Has the Engine's other name gone? */
static void look(struct taker *t)
{
	bool is_lost = access(t->name.engine, F_OK) != 0;
	if (t->answers >= STEADY_ANSWERS && !t->probe.is_dead &&
	    (!take_name_is_ours(&t->name) || is_lost != t->is_lost) &&
	    !timer_is_active(&t->settle))
		timer_start(&t->settle, SETTLE_MS);
}

static void on_change(uv_fs_event_t *h, const char *file, int events,
		      int status)
{
	struct taker *t = container_of(h, struct taker, folder);
	(void)events;
	(void)status;
	if (!file || strcmp(file, strrchr(t->name.name, '/') + 1) == 0)
		look(t);
}

/* ---- the front ---- */

static void on_alive(void *ctx, bool is_new)
{
	struct taker *t = ctx;
	if (!t->service.is_ready) {
		t->answers = STEADY_ANSWERS;
		on_settled(t);
		return;
	}
	/* One that is started again and again is not steady. */
	t->answers = is_new ? 1 : t->answers + (t->answers < STEADY_ANSWERS);
	look(t);
}

static void release(struct taker *t)
{
	struct err e;
	timer_stop(&t->settle);
	int got = take_name_release(&t->name, &e);
	if (got < 0)
		log_error("the Docker socket is not released error=\"%s\"",
			  e.msg);
	else if (got == 0)
		log_info("released the Docker socket name=%s", t->name.name);
}

static void on_dead(void *ctx)
{
	struct taker *t = ctx;
	struct err e;
	if (!t->service.is_ready) {
		err_set(&e, ERR_UNAVAILABLE,
			"the front does not answer at %s, so the Docker socket "
			"stays the Engine's; start modeld-docker front first",
			t->setup->listen);
		fail(t, &e);
		return;
	}
	log_warn("the front does not answer");
	t->answers = 0;
	release(t);
}

/* ---- start and end ---- */

static int watch(struct taker *t, struct err *e)
{
	auto_free char *folder = xstrdup(t->name.name);
	*MAX(strrchr(folder, '/'), folder + 1) = '\0';
	int r = uv_fs_event_start(&t->folder, on_change, folder, 0);
	return r ? err_set(e, ERR_SYSTEM, "watch %s: %s", folder,
			   uv_strerror(r))
		 : 0;
}

int take_run(const struct setup *s, struct err *e)
{
	auto_free struct taker *t = xcalloc(1, sizeof *t);
	t->setup = s;
	if (take_name_init(&t->name, s, e)) {
		take_name_fini(&t->name);
		return -1;
	}
	service_init(&t->service);
	timer_init(&t->settle, &t->service.loop, on_settled, t);
	uv_fs_event_init(&t->service.loop, &t->folder);
	int got = watch(t, e);
	if (got == 0) {
		take_probe_init(&t->probe, &t->service.loop, s->listen,
				on_alive, on_dead, t);
		service_run(&t->service);
		if (t->err.msg[0]) {
			*e = t->err;
			got = -1;
		}
		take_probe_fini(&t->probe);
		release(t);
	}
	uv_close((uv_handle_t *)&t->folder, NULL);
	timer_fini(&t->settle);
	service_fini(&t->service);
	take_name_fini(&t->name);
	return got;
}

int take_release(const struct setup *s, struct err *e)
{
	struct take_name n;
	int got = take_name_init(&n, s, e);
	if (got == 0) {
		got = take_name_release(&n, e);
		if (got == 0)
			log_info("released the Docker socket name=%s", n.name);
		else if (got == TAKE_NO_ENGINE)
			log_info("removed our socket name=%s, for no Docker "
				 "Engine listens",
				 n.name);
		else if (got == TAKE_ALREADY)
			log_debug("the Docker socket is not ours name=%s",
				  n.name);
	}
	take_name_fini(&n);
	return got;
}
