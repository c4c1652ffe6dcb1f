/* service.h - what every command that keeps running has: the loop, its end by
 * SIGTERM or SIGINT, and the word that it is ready.
 *
 *   struct service sv;
 *   service_init(&sv);
 *   ... open things on &sv.loop; when they stand: service_ready(&sv, setup);
 *   service_run(&sv);    until a signal, or service_stop()
 *   ... close things
 *   service_fini(&sv);   waits until libuv has let go of all of them */
#pragma once
#include "base/err.h"
#include "docker/setup.h"

#include <uv.h>

struct service {
	uv_loop_t loop;
	uv_signal_t signals[2];
	bool is_ready;
};

void service_init(struct service *sv);
/* Tells systemd and --ready-fd, the first time that it is called. */
void service_ready(struct service *sv, const struct setup *s);
void service_run(struct service *sv);
void service_stop(struct service *sv);
void service_fini(struct service *sv);

/* Creates the folders above `path` that are missing: root's, 0755. */
must_use int service_make_folder(const char *path, struct err *e);
