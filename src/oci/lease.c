#include "oci/lease.h"
#include "oci/folder.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define LEASE_FILE ".leases"

struct lease {
	struct digest digest;
	int holders;
	bool is_marked;
};

/* ---- between processes ---- */

/* The file, or -1. Somebody may have removed it with all of the folder. */
static int file(struct lease_set *l)
{
	struct stat st;
	if (l->fd >= 0 && fstat(l->fd, &st) == 0 && st.st_nlink)
		return l->fd;
	base_closep(&l->fd);
	if (l->folder && !l->folder->is_read_only)
		l->fd = openat(l->folder->fd, LEASE_FILE,
			       O_RDONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW,
			       0644);
	return l->fd;
}

/* The blob's byte in the file, which holds none: 60 bits of its digest. */
static struct flock byte_of(const struct digest *d, short type)
{
	char start[16];
	snprintf(start, sizeof start, "%s", d->hex);
	return (struct flock){ .l_type = type,
			       .l_whence = SEEK_SET,
			       .l_start = (off_t)strtoull(start, NULL, 16),
			       .l_len = 1 };
}

/* Locks of one open file do not meet each other, so a store's own leases are
 * not seen here. What cannot be locked is leased within this process. */
static void tell_others(struct lease_set *l, const struct digest *d, bool held)
{
	struct flock lock = byte_of(d, held ? F_RDLCK : F_UNLCK);
	if (file(l) >= 0)
		(void)fcntl(l->fd, F_OFD_SETLK, &lock);
}

static bool is_held_by_others(struct lease_set *l, const struct digest *d)
{
	struct flock lock = byte_of(d, F_WRLCK);
	return file(l) >= 0 && fcntl(l->fd, F_OFD_GETLK, &lock) == 0 &&
	       lock.l_type != F_UNLCK;
}

/* ---- the set ---- */

void lease_set_init(struct lease_set *l, struct folder *f)
{
	*l = (struct lease_set){ .folder = f, .fd = -1 };
	pthread_mutex_init(&l->lock, NULL);
}

void lease_set_fini(struct lease_set *l)
{
	pthread_mutex_destroy(&l->lock);
	base_closep(&l->fd);
	free(l->all);
}

static struct lease *find(struct lease_set *l, const struct digest *d)
{
	for (size_t i = 0; i < l->n; i++)
		if (digest_eq(&l->all[i].digest, d))
			return &l->all[i];
	return NULL;
}

void lease_take(struct lease_set *l, const struct digest *d)
{
	pthread_mutex_lock(&l->lock);
	struct lease *x = find(l, d);
	if (!x && l->n == l->cap) {
		l->cap = l->cap ? 2 * l->cap : 16;
		l->all = xrealloc(l->all, l->cap * sizeof *l->all);
	}
	if (!x) {
		x = &l->all[l->n++];
		*x = (struct lease){ .digest = *d };
	}
	if (x->holders++ == 0)
		tell_others(l, d, true);
	pthread_mutex_unlock(&l->lock);
}

bool lease_give(struct lease_set *l, const struct digest *d)
{
	bool is_marked = false;
	pthread_mutex_lock(&l->lock);
	struct lease *x = find(l, d);
	if (x && --x->holders == 0) {
		is_marked = x->is_marked;
		*x = l->all[--l->n];
		tell_others(l, d, false);
	}
	pthread_mutex_unlock(&l->lock);
	return is_marked;
}

bool lease_mark(struct lease_set *l, const struct digest *d)
{
	pthread_mutex_lock(&l->lock);
	struct lease *x = find(l, d);
	if (x)
		x->is_marked = true;
	bool is_held = x || is_held_by_others(l, d);
	pthread_mutex_unlock(&l->lock);
	return is_held;
}
