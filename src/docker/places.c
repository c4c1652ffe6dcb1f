#include "docker/places.h"
#include "base/log.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#define ID_LENGTH 64

bool places_is_container(const char *name)
{
	return strlen(name) == ID_LENGTH &&
	       strspn(name, "0123456789abcdef") == ID_LENGTH;
}

bool places_is_step(const char *name)
{
	struct str s = str_of(name);
	return str_eq(s, "hosts") ||
	       (str_starts(s, "hosts.") && !str_ends(s, ".tmp"));
}

int places_open(int dir, const char *name, bool follows_links)
{
	return openat(dir, name,
		      O_PATH | O_DIRECTORY | O_CLOEXEC |
			      (follows_links ? 0 : O_NOFOLLOW));
}

void places_each(int dir, bool (*accept)(const char *name),
		 void (*fn)(void *ctx, int dir, const char *name), void *ctx)
{
	int fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *entry;
	if (!d) {
		log_warn("a folder cannot be read error=\"%s\"",
			 strerror(errno));
		if (fd >= 0)
			close(fd);
		return;
	}
	while ((entry = readdir(d)) != NULL)
		if (accept(entry->d_name))
			fn(ctx, dir, entry->d_name);
	closedir(d);
}

int places_apply(int dir, const char *id, const struct hosts_rule *r,
		 struct hosts_file_look *out, struct err *e)
{
	auto_close int fd = places_open(dir, id, false);
	struct hosts_file file = { fd, "hosts", true };
	*out = (struct hosts_file_look){ 0 };
	if (fd < 0)
		return errno == ENOENT || errno == ENOTDIR
			       ? HOSTS_FILE_ABSENT
			       : err_sys(e, "open the folder %s", id);
	return hosts_file_apply(&file, r, out, e);
}

/* ---- all of them, once ---- */

struct pass {
	const struct hosts_rule *rule;
	struct places_count count;
};

static void count(struct pass *p, const char *name, int outcome,
		  const struct hosts_file_look *look, const struct err *e)
{
	if (outcome == HOSTS_FILE_ABSENT)
		return;
	p->count.files++;
	p->count.changed += look->is_changed;
	if (outcome == 0)
		return;
	/* Only the container itself makes it so large, for itself alone. */
	p->count.failed += e->code != ERR_TOO_LARGE;
	log_warn("a hosts file is left as it is folder=%s error=\"%s\"", name,
		 e->msg);
}

static void on_container(void *ctx, int dir, const char *name)
{
	struct pass *p = ctx;
	struct hosts_file_look look;
	struct err e;
	int r = places_apply(dir, name, p->rule, &look, &e);
	count(p, name, r, &look, &e);
}

static void on_step(void *ctx, int dir, const char *name)
{
	struct pass *p = ctx;
	struct hosts_file file = { dir, name, false };
	struct hosts_file_look look;
	struct err e;
	int r = hosts_file_apply(&file, p->rule, &look, &e);
	count(p, PLACES_EXECUTOR, r, &look, &e);
}

struct places_count places_once(const char *root, const struct hosts_rule *r)
{
	struct pass p = { .rule = r };
	auto_close int top = places_open(AT_FDCWD, root, true);
	auto_close int containers = places_open(top, PLACES_CONTAINERS, true);
	auto_close int executor =
		places_open(top, PLACES_BUILDKIT "/" PLACES_EXECUTOR, true);
	if (containers >= 0)
		places_each(containers, places_is_container, on_container, &p);
	if (executor >= 0)
		places_each(executor, places_is_step, on_step, &p);
	return p.count;
}
