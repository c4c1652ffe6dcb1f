#include "io/source.h"
#include "base/limits.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

/* One of the two is taken from while the job fills the other. */
struct piece {
	char *p; /* owned; NULL before the first read */
	size_t n, taken;
};

struct source {
	struct lane *lane;
	struct lane_job job;
	char *path; /* owned */
	int fd;	    /* -1: not open yet */
	uint64_t offset, bytes;
	uint64_t at;	  /* of the next read, from 0 to bytes */
	uint64_t read_at; /* what the job works on */
	size_t read_n;
	struct piece front, back;
	void (*on_ready)(void *ctx); /* NULL: it was freed */
	void *ctx;
	bool is_reading;
	bool is_stale;	/* what is being read is of the time before a rewind */
	bool is_wanted; /* somebody had to wait */
	bool has_failed;
	struct err failed;
};

static void destroy(struct source *s)
{
	if (s->fd >= 0)
		close(s->fd);
	free(s->front.p);
	free(s->back.p);
	free(s->path);
	free(s);
}

static int read_back(void *ctx, struct err *e)
{
	struct source *s = ctx;
	if (s->fd < 0)
		s->fd = open(s->path, O_RDONLY | O_CLOEXEC);
	if (s->fd < 0)
		return err_sys(e, "%s", s->path);
	if (!s->back.p)
		s->back.p = xcalloc(1, LIMIT_SOURCE_PIECE_BYTES);
	s->back.n = s->back.taken = 0;
	while (s->back.n < s->read_n) {
		ssize_t n = pread(s->fd, s->back.p + s->back.n,
				  s->read_n - s->back.n,
				  (off_t)(s->offset + s->read_at + s->back.n));
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_sys(e, "%s", s->path);
		if (n == 0)
			return err_set(e, ERR_CORRUPT,
				       "%s is shorter than it should be",
				       s->path);
		s->back.n += (size_t)n;
	}
	return 0;
}

static void read_on(struct source *s);

static void on_read(void *ctx, int outcome, const struct err *e)
{
	struct source *s = ctx;
	s->is_reading = false;
	if (!s->on_ready) {
		destroy(s);
		return;
	}
	if (s->is_stale) {
		s->is_stale = false;
		s->back.n = s->back.taken = 0;
		read_on(s);
		return;
	}
	if (outcome) {
		s->has_failed = true;
		s->failed = *e;
	} else {
		s->at += s->back.n;
	}
	if (s->is_wanted) {
		s->is_wanted = false;
		s->on_ready(s->ctx);
	}
}

static void read_on(struct source *s)
{
	if (s->is_reading || s->has_failed || s->at == s->bytes ||
	    s->back.taken < s->back.n)
		return;
	s->is_reading = true;
	s->read_at = s->at;
	s->read_n = (size_t)MIN(s->bytes - s->at, LIMIT_SOURCE_PIECE_BYTES);
	lane_start(s->lane, &s->job, read_back, on_read, s);
}

struct source *source_new(struct lane *lane, const char *path, uint64_t offset,
			  uint64_t bytes, void (*on_ready)(void *ctx),
			  void *ctx)
{
	struct source *s = xcalloc(1, sizeof *s);
	s->lane = lane;
	s->path = xstrdup(path);
	s->fd = -1;
	s->offset = offset;
	s->bytes = bytes;
	s->on_ready = on_ready;
	s->ctx = ctx;
	read_on(s);
	return s;
}

void source_free(struct source *s)
{
	if (!s)
		return;
	s->on_ready = NULL;
	if (!s->is_reading)
		destroy(s);
}

size_t source_take(struct source *s, char *to, size_t room)
{
	struct piece *f = &s->front;
	if (f->taken == f->n && !s->is_reading && s->back.n) {
		struct piece empty = *f;
		*f = s->back;
		s->back = empty;
		s->back.n = s->back.taken = 0;
		read_on(s);
	}
	size_t n = MIN(room, f->n - f->taken);
	if (n)
		memcpy(to, f->p + f->taken, n);
	f->taken += n;
	s->is_wanted = n == 0 && (s->is_reading || s->has_failed);
	return n;
}

void source_rewind(struct source *s)
{
	s->front.n = s->front.taken = 0;
	s->at = 0;
	if (s->is_reading)
		s->is_stale = true;
	else
		s->back.n = s->back.taken = 0;
	read_on(s);
}

bool source_has_failed(const struct source *s, struct err *e)
{
	if (s->has_failed)
		*e = s->failed;
	return s->has_failed;
}
