/* follow.c - four folders have a fixed place ("spots"), and each container has
 * a folder in one of them. settle() opens the spots that are there and forgets
 * those that are gone or were replaced; it runs when something happened to one
 * of them, and every few seconds, since inotify does not see a file system
 * mounted over a folder. No folder is held open, so that such a file system can
 * be unmounted. */
#include "docker/follow.h"
#include "base/limits.h"
#include "base/list.h"
#include "base/log.h"
#include "docker/places.h"
#include "io/timer.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>
#include <uv.h>

#define SETTLE_MS 5000
#define RESUME_MS 250 /* how often paused folders are looked through */
#define BUCKETS 1024
/* Reads of the queue before the loop may do something else. */
#define READS 16
#define SELF (IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR)
#define APPEARS (IN_CREATE | IN_MOVED_TO)
#define WRITTEN (IN_CLOSE_WRITE | IN_MOVED_TO)

/* Each below the one before it, but BUILDKIT, which is below ROOT. ABOVE is the
 * nearest folder above a root that is not there. */
enum spot_id { ABOVE, ROOT, CONTAINERS, BUILDKIT, EXECUTOR, SPOTS };

struct spot {
	char *path; /* owned; NULL: it is not there */
	int wd;
	dev_t dev;
	ino_t ino;
};

/* A container's. `level` says how many looks it has used up lately; see
 * LIMIT_HOSTS_LOOKS. */
struct folder {
	struct list by_wd;   /* in follow.by_wd, unless it is paused */
	struct list by_name; /* in follow.by_name */
	struct list link;    /* in follow.folders, .dirty or .paused */
	int wd;		     /* -1: it is paused */
	char id[65];
	bool is_blamed; /* its last look failed; that was logged */
	double level;
	uint64_t level_ms;
	uint64_t resume_ms;
};

struct follow {
	struct uv_loop_s *loop;
	const struct hosts_rule *rule;
	char *root;
	int inotify;
	uv_poll_t *poll; /* owned; libuv closes it later than us */
	struct spot spots[SPOTS];
	struct list by_wd[BUCKETS], by_name[BUCKETS];
	struct list folders, dirty, paused; /* folder.link */
	size_t n_folders;
	struct timer settling, resuming, rescan;
	uint64_t rescan_ms; /* when all was looked at last */
	bool is_unsettled, is_overrun, is_short_of_watches, is_crowded;
};

/* ---- watches ---- */

/* By way of the descriptor, so that the folder watched is the one opened. */
static int watch(struct follow *f, int fd, uint32_t mask)
{
	char path[32];
	snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
	int wd = inotify_add_watch(f->inotify, path, mask);
	if (wd < 0 && errno == ENOSPC && !f->is_short_of_watches) {
		f->is_short_of_watches = true;
		log_error("the kernel gives no more inotify watches, so the "
			  "name may come late to new containers; raise "
			  "fs.inotify.max_user_watches");
	}
	return wd;
}

static struct list *wd_bucket(struct follow *f, int wd)
{
	return &f->by_wd[(unsigned)wd % BUCKETS];
}

static struct list *name_bucket(struct follow *f, const char *id)
{
	char head[9];
	snprintf(head, sizeof head, "%s", id);
	return &f->by_name[strtoul(head, NULL, 16) % BUCKETS];
}

static struct folder *find_by_wd(struct follow *f, int wd)
{
	list_each (l, wd_bucket(f, wd)) {
		struct folder *d = container_of(l, struct folder, by_wd);
		if (d->wd == wd)
			return d;
	}
	return NULL;
}

static struct folder *find_by_name(struct follow *f, const char *id)
{
	list_each (l, name_bucket(f, id)) {
		struct folder *d = container_of(l, struct folder, by_name);
		if (strcmp(d->id, id) == 0)
			return d;
	}
	return NULL;
}

/* ---- containers' folders ---- */

static void unwatch(struct follow *f, struct folder *d)
{
	if (d->wd >= 0)
		inotify_rm_watch(f->inotify, d->wd);
	d->wd = -1;
	list_remove(&d->by_wd);
}

static void drop(struct follow *f, struct folder *d)
{
	unwatch(f, d);
	list_remove(&d->by_name);
	list_remove(&d->link);
	f->n_folders--;
	free(d);
}

static void drop_all(struct follow *f)
{
	struct list *lists[] = { &f->folders, &f->dirty, &f->paused };
	for (size_t i = 0; i < ARRAY_LEN(lists); i++)
		while (!list_is_empty(lists[i]))
			drop(f,
			     container_of(lists[i]->next, struct folder, link));
}

static void move(struct folder *d, struct list *to)
{
	list_remove(&d->link);
	list_push_back(to, &d->link);
}

static void pause_until(struct follow *f, struct folder *d, uint64_t ms)
{
	unwatch(f, d);
	d->resume_ms = ms;
	move(d, &f->paused);
	if (!timer_is_active(&f->resuming))
		timer_start(&f->resuming, RESUME_MS);
}

/* Counts a look that read so many bytes. */
static void pay(struct follow *f, struct folder *d, size_t bytes)
{
	uint64_t now = timer_now_ms(f->loop);
	double drained =
		(double)(now - d->level_ms) / (double)LIMIT_HOSTS_LOOK_MS;
	d->level = MAX(0.0, d->level - drained) + 1.0 +
		   (double)bytes / (double)LIMIT_HOSTS_LOOK_BYTES;
	d->level_ms = now;
	if (d->level <= LIMIT_HOSTS_LOOKS || d->wd < 0)
		return;
	double over = d->level - LIMIT_HOSTS_LOOKS + 1.0;
	pause_until(f, d, now + (uint64_t)(over * LIMIT_HOSTS_LOOK_MS));
	log_debug("a container writes its hosts file all the time "
		  "container=%.12s",
		  d->id);
}

/* The folder at a spot; -1: it is not there. */
static int open_at(const struct follow *f, enum spot_id id)
{
	const char *path = f->spots[id].path;
	return path ? places_open(AT_FDCWD, path, true) : -1;
}

static void look(struct follow *f, struct folder *d)
{
	struct hosts_file_look done;
	struct err e;
	auto_close int dir = open_at(f, CONTAINERS);
	if (dir < 0)
		return; /* settle() comes to it */
	int r = places_apply(dir, d->id, f->rule, &done, &e);
	if (r < 0 && !d->is_blamed)
		log_warn("the name is not given to a container "
			 "container=%.12s error=\"%s\"",
			 d->id, e.msg);
	d->is_blamed = r < 0;
	if (done.is_changed || done.is_taken)
		log_debug("hosts file container=%.12s %s", d->id,
			  done.is_taken ? "has the user's own line"
					: "changed");
	pay(f, d, done.bytes);
}

/* Watches it and then looks. False: it is not there any more. */
static bool listen_to(struct follow *f, struct folder *d)
{
	auto_close int dir = open_at(f, CONTAINERS);
	auto_close int fd = dir < 0 ? -1 : places_open(dir, d->id, false);
	if (fd < 0)
		return false;
	d->wd = watch(f, fd, WRITTEN | SELF);
	if (d->wd < 0) {
		pause_until(f, d, timer_now_ms(f->loop) + LIMIT_HOSTS_LOOK_MS);
	} else {
		list_push_back(wd_bucket(f, d->wd), &d->by_wd);
		move(d, &f->folders);
	}
	look(f, d);
	return true;
}

static void add(void *ctx, int dir, const char *id)
{
	struct follow *f = ctx;
	struct folder *d = find_by_name(f, id);
	(void)dir;
	if (d)
		return;
	if (f->n_folders == LIMIT_HOSTS_FOLDERS) {
		if (!f->is_crowded)
			log_error("more than %d containers; the name is not "
				  "given to further ones",
				  LIMIT_HOSTS_FOLDERS);
		f->is_crowded = true;
		return;
	}
	d = xcalloc(1, sizeof *d);
	snprintf(d->id, sizeof d->id, "%s", id);
	d->wd = -1;
	list_init(&d->by_wd);
	list_init(&d->link);
	list_push_back(name_bucket(f, id), &d->by_name);
	f->n_folders++;
	if (!listen_to(f, d))
		drop(f, d);
}

static void on_resume(void *ctx)
{
	struct follow *f = ctx;
	uint64_t now = timer_now_ms(f->loop);
	list_each (l, &f->paused) {
		struct folder *d = container_of(l, struct folder, link);
		if (now >= d->resume_ms && !listen_to(f, d))
			drop(f, d);
	}
	if (!list_is_empty(&f->paused))
		timer_start(&f->resuming, RESUME_MS);
}

/* ---- BuildKit's files ---- */

/* A step cannot write its own, which is mounted read-only, so looks at these
 * are not counted. */
static void look_at_step(void *ctx, int dir, const char *name)
{
	struct follow *f = ctx;
	struct hosts_file file = { dir, name, false };
	struct hosts_file_look done;
	struct err e;
	if (hosts_file_apply(&file, f->rule, &done, &e) < 0)
		log_warn("the name is not given to a build step file=%s "
			 "error=\"%s\"",
			 name, e.msg);
}

/* ---- spots ---- */

static void close_spot(struct follow *f, enum spot_id id)
{
	struct spot *s = &f->spots[id];
	if (!s->path)
		return;
	if (s->wd >= 0)
		inotify_rm_watch(f->inotify, s->wd);
	free(s->path);
	*s = (struct spot){ .wd = -1 };
	if (id == CONTAINERS)
		drop_all(f);
}

/* Watches it, if it is there and is not watched already; forgets what was there
 * before. True if it is new. */
static bool open_spot(struct follow *f, enum spot_id id, const char *path,
		      uint32_t mask)
{
	struct spot *s = &f->spots[id];
	struct stat st;
	auto_close int fd = places_open(AT_FDCWD, path, true);
	bool is_there = fd >= 0 && fstat(fd, &st) == 0;
	if (is_there && s->path && s->wd >= 0 && st.st_dev == s->dev &&
	    st.st_ino == s->ino)
		return false;
	close_spot(f, id);
	if (!is_there)
		return false;
	*s = (struct spot){ xstrdup(path), watch(f, fd, mask | SELF), st.st_dev,
			    st.st_ino };
	return true;
}

/* The nearest folder above the root that is there. */
static void watch_above(struct follow *f)
{
	auto_free char *path = xstrdup(f->root);
	char *slash;
	while ((slash = strrchr(path, '/')) != NULL) {
		bool is_top = slash == path;
		slash[is_top] = '\0';
		open_spot(f, ABOVE, path, APPEARS);
		if (f->spots[ABOVE].path || is_top)
			return;
	}
}

static void each_at(struct follow *f, enum spot_id id,
		    bool (*accept)(const char *name),
		    void (*fn)(void *ctx, int dir, const char *name))
{
	auto_close int dir = open_at(f, id);
	if (dir >= 0)
		places_each(dir, accept, fn, f);
}

static void settle(struct follow *f)
{
	auto_free char *containers =
		xasprintf("%s/" PLACES_CONTAINERS, f->root);
	auto_free char *buildkit = xasprintf("%s/" PLACES_BUILDKIT, f->root);
	auto_free char *executor = xasprintf("%s/" PLACES_EXECUTOR, buildkit);
	f->is_unsettled = false;
	timer_start(&f->settling, SETTLE_MS);
	open_spot(f, ROOT, f->root, APPEARS);
	if (f->spots[ROOT].path) {
		close_spot(f, ABOVE);
	} else {
		watch_above(f);
		/* It may have come while we were at it. */
		open_spot(f, ROOT, f->root, APPEARS);
	}
	if (open_spot(f, CONTAINERS, containers, APPEARS))
		each_at(f, CONTAINERS, places_is_container, add);
	open_spot(f, BUILDKIT, buildkit, APPEARS);
	if (open_spot(f, EXECUTOR, executor, WRITTEN))
		each_at(f, EXECUTOR, places_is_step, look_at_step);
}

static void on_settle(void *ctx)
{
	settle(ctx);
}

void follow_look(struct follow *f)
{
	f->is_overrun = false;
	f->rescan_ms = timer_now_ms(f->loop);
	timer_stop(&f->rescan);
	settle(f);
	auto_close int dir = open_at(f, CONTAINERS);
	list_each (l, &f->folders) {
		struct folder *d = container_of(l, struct folder, link);
		/* That it went may be among the events that were lost. */
		if (faccessat(dir, d->id, F_OK, AT_SYMLINK_NOFOLLOW) < 0)
			drop(f, d);
		else
			look(f, d);
	}
	each_at(f, CONTAINERS, places_is_container, add);
	each_at(f, EXECUTOR, places_is_step, look_at_step);
}

static void on_rescan(void *ctx)
{
	follow_look(ctx);
}

/* ---- events ---- */

static void on_spot(struct follow *f, enum spot_id id,
		    const struct inotify_event *ev)
{
	auto_close int dir = open_at(f, id);
	if (ev->mask & (IN_IGNORED | IN_UNMOUNT | SELF))
		f->is_unsettled = true;
	else if (id == CONTAINERS && places_is_container(ev->name))
		add(f, dir, ev->name);
	else if (id == EXECUTOR && places_is_step(ev->name))
		look_at_step(f, dir, ev->name);
	else if (id == ABOVE || id == ROOT || id == BUILDKIT)
		f->is_unsettled = true;
}

static void on_event(struct follow *f, const struct inotify_event *ev)
{
	if (ev->mask & IN_Q_OVERFLOW) {
		f->is_overrun = true;
		return;
	}
	for (enum spot_id id = 0; id < SPOTS; id++) {
		if (!f->spots[id].path || f->spots[id].wd != ev->wd)
			continue;
		/* The kernel has dropped this watch already. */
		if (ev->mask & IN_IGNORED)
			f->spots[id].wd = -1;
		on_spot(f, id, ev);
		return;
	}
	struct folder *d = find_by_wd(f, ev->wd);
	if (!d)
		return;
	if (ev->mask & IN_IGNORED)
		drop(f, d);
	else if (ev->len && (strcmp(ev->name, "hosts") == 0 ||
			     strcmp(ev->name, "hostname") == 0))
		move(d, &f->dirty); /* Docker writes the hostname last */
}

/* Many events for one file cost one look. */
static void on_readable(uv_poll_t *poll, int status, int events)
{
	struct follow *f = poll->data;
	union {
		struct inotify_event align;
		char bytes[16384];
	} buf;
	(void)status;
	(void)events;
	for (int i = 0; i < READS; i++) {
		ssize_t n = read(f->inotify, buf.bytes, sizeof buf.bytes);
		if (n <= 0)
			break;
		for (char *p = buf.bytes; p < buf.bytes + n;) {
			const struct inotify_event *ev = (const void *)p;
			on_event(f, ev);
			p += sizeof *ev + ev->len;
		}
	}
	while (!list_is_empty(&f->dirty)) {
		struct folder *d =
			container_of(f->dirty.next, struct folder, link);
		move(d, &f->folders);
		look(f, d);
	}
	if (f->is_unsettled)
		settle(f);
	if (f->is_overrun && !timer_is_active(&f->rescan)) {
		uint64_t next = f->rescan_ms + LIMIT_HOSTS_RESCAN_MS;
		uint64_t now = timer_now_ms(f->loop);
		timer_start(&f->rescan, next > now ? next - now : 0);
	}
}

/* ---- all of it ---- */

int follow_new(struct uv_loop_s *loop, const struct hosts_rule *rule,
	       struct follow **out, struct err *e)
{
	int fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	if (fd < 0)
		return err_sys(e, "start inotify");
	struct follow *f = xcalloc(1, sizeof *f);
	f->loop = loop;
	f->rule = rule;
	f->inotify = fd;
	for (size_t i = 0; i < SPOTS; i++)
		f->spots[i].wd = -1;
	for (size_t i = 0; i < BUCKETS; i++) {
		list_init(&f->by_wd[i]);
		list_init(&f->by_name[i]);
	}
	list_init(&f->folders);
	list_init(&f->dirty);
	list_init(&f->paused);
	timer_init(&f->settling, loop, on_settle, f);
	timer_init(&f->resuming, loop, on_resume, f);
	timer_init(&f->rescan, loop, on_rescan, f);
	f->poll = xcalloc(1, sizeof *f->poll);
	int r = uv_poll_init(loop, f->poll, fd);
	assert(r == 0);
	f->poll->data = f;
	uv_poll_start(f->poll, UV_READABLE, on_readable);
	*out = f;
	return 0;
}

static void on_poll_closed(uv_handle_t *h)
{
	free(h);
}

void follow_free(struct follow *f)
{
	if (!f)
		return;
	for (enum spot_id id = 0; id < SPOTS; id++)
		close_spot(f, id);
	drop_all(f);
	timer_fini(&f->settling);
	timer_fini(&f->resuming);
	timer_fini(&f->rescan);
	uv_close((uv_handle_t *)f->poll, on_poll_closed);
	close(f->inotify);
	free(f->root);
	free(f);
}

void follow_set_root(struct follow *f, const char *root)
{
	for (enum spot_id id = 0; id < SPOTS; id++)
		close_spot(f, id);
	free(f->root);
	f->root = xstrdup(root);
	f->rescan_ms = timer_now_ms(f->loop);
	settle(f);
}

const char *follow_root(const struct follow *f)
{
	return f->root;
}
