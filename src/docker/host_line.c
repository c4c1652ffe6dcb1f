#include "docker/host_line.h"
#include "base/log.h"
#include "docker/places.h"
#include "io/timer.h"

#include <fcntl.h>
#include <uv.h>

/* Whoever writes it is given this long to finish. */
#define SETTLE_MS 100

/* The folder is watched, since editors rename a new file over the old one, and
 * the file, since it may be mounted there from elsewhere. */
enum { FOLDER, FILE_ITSELF, WATCHES };

struct host_line {
	const char *path;
	const struct hosts_rule *rule;
	uv_fs_event_t *watches[WATCHES]; /* owned; libuv closes them later */
	struct timer soon;
	bool is_told; /* that the administrator's own line was left alone */
};

static struct str folder_of(const char *path)
{
	ptrdiff_t slash = str_find_last(str_of(path), '/');
	if (slash < 0)
		return STR(".");
	return str_head(str_of(path), slash ? (size_t)slash : 1);
}

static const char *name_of(const char *path)
{
	const char *slash = strrchr(path, '/');
	return slash ? slash + 1 : path;
}

static int apply(const char *path, const struct hosts_rule *rule,
		 struct hosts_file_look *done, struct err *e)
{
	auto_free char *folder = str_dup(folder_of(path));
	auto_close int dir = places_open(AT_FDCWD, folder, true);
	struct hosts_file file = { dir, name_of(path), false };
	if (dir < 0)
		return err_sys(e, "open %s", folder);
	int r = hosts_file_apply(&file, rule, done, e);
	if (r < 0)
		return err_wrap(e, "%s", folder);
	return r;
}

bool host_line_apply(const char *path, const struct hosts_rule *rule)
{
	struct hosts_file_look done;
	struct err e;
	if (apply(path, rule, &done, &e) >= 0)
		return true;
	log_warn("the host's hosts file is left as it is error=\"%s\"", e.msg);
	return false;
}

/* ---- watching ---- */

static void on_change(uv_fs_event_t *w, const char *name, int events,
		      int status)
{
	struct host_line *h = w->data;
	(void)events;
	(void)status;
	if (w == h->watches[FILE_ITSELF] || !name ||
	    strcmp(name, name_of(h->path)) == 0)
		timer_start(&h->soon, SETTLE_MS);
}

static void watch(struct host_line *h, int which, const char *path)
{
	uv_fs_event_stop(h->watches[which]);
	int r = uv_fs_event_start(h->watches[which], on_change, path, 0);
	if (r && r != UV_ENOENT)
		log_warn("changes of the host's hosts file are not seen "
			 "path=%s error=\"%s\"",
			 path, uv_strerror(r));
}

static void look(void *ctx)
{
	struct host_line *h = ctx;
	struct hosts_file_look done;
	struct err e;
	watch(h, FILE_ITSELF, h->path);
	int r = apply(h->path, h->rule, &done, &e);
	if (r < 0)
		log_warn("the host itself does not get the name error=\"%s\"",
			 e.msg);
	else if (r == HOSTS_FILE_ABSENT)
		log_info("the host has no hosts file path=%s", h->path);
	else if (done.is_taken && !h->is_told)
		log_info("the host's hosts file names us already and is left "
			 "alone path=%s name=%s",
			 h->path, h->rule->name);
	h->is_told = r == 0 && done.is_taken;
}

struct host_line *host_line_new(struct uv_loop_s *loop, const char *path,
				const struct hosts_rule *rule)
{
	struct host_line *h = xcalloc(1, sizeof *h);
	auto_free char *folder = str_dup(folder_of(path));
	h->path = path;
	h->rule = rule;
	timer_init(&h->soon, loop, look, h);
	for (int i = 0; i < WATCHES; i++) {
		h->watches[i] = xcalloc(1, sizeof *h->watches[i]);
		uv_fs_event_init(loop, h->watches[i]);
		h->watches[i]->data = h;
	}
	watch(h, FOLDER, folder);
	look(h);
	return h;
}

static void on_closed(uv_handle_t *w)
{
	free(w);
}

void host_line_free(struct host_line *h)
{
	if (!h)
		return;
	for (int i = 0; i < WATCHES; i++)
		uv_close((uv_handle_t *)h->watches[i], on_closed);
	timer_fini(&h->soon);
	free(h);
}
