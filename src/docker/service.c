#include "docker/service.h"
#include "io/notify.h"

#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

static void on_signal(uv_signal_t *signal, int number)
{
	(void)number;
	service_stop(container_of(signal->loop, struct service, loop));
}

void service_init(struct service *sv)
{
	static const int numbers[] = { SIGTERM, SIGINT };
	*sv = (struct service){ 0 };
	signal(SIGPIPE, SIG_IGN);
	int r = uv_loop_init(&sv->loop);
	assert(r == 0);
	for (size_t i = 0; i < ARRAY_LEN(numbers); i++) {
		uv_signal_init(&sv->loop, &sv->signals[i]);
		uv_signal_start(&sv->signals[i], on_signal, numbers[i]);
		/* They alone do not keep the loop going. */
		uv_unref((uv_handle_t *)&sv->signals[i]);
	}
}

void service_ready(struct service *sv, const struct setup *s)
{
	if (sv->is_ready)
		return;
	sv->is_ready = true;
	notify_systemd("READY=1");
	if (s->ready_fd < 0)
		return;
	if (write(s->ready_fd, "\n", 1) < 0)
		log_warn("ready-fd cannot be written error=\"%s\"",
			 strerror(errno));
	close(s->ready_fd);
}

void service_run(struct service *sv)
{
	uv_run(&sv->loop, UV_RUN_DEFAULT);
}

void service_stop(struct service *sv)
{
	notify_systemd("STOPPING=1");
	uv_stop(&sv->loop);
}

void service_fini(struct service *sv)
{
	for (size_t i = 0; i < ARRAY_LEN(sv->signals); i++)
		uv_close((uv_handle_t *)&sv->signals[i], NULL);
	uv_run(&sv->loop, UV_RUN_DEFAULT);
	int r = uv_loop_close(&sv->loop);
	assert(r == 0); /* else a handle was left open */
}

int service_make_folder(const char *path, struct err *e)
{
	auto_free char *folder = xstrdup(path);
	for (char *p = folder + 1; *p; p++) {
		if (*p != '/')
			continue;
		*p = '\0';
		if (mkdir(folder, 0755) < 0 && errno != EEXIST)
			return err_sys(e, "create the folder %s", folder);
		*p = '/';
	}
	return 0;
}
