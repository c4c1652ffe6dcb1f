#include "api/journal.h"
#include "api/reply.h"
#include "base/buf.h"
#include "base/limits.h"
#include "base/log.h"

#include <pthread.h>
#include <stdio.h>

/* Each line is kept with one byte before it: who wrote it. */
enum { FROM_MODELD = 'm', FROM_ENGINE = 'e' };

struct journal {
	struct buf lines;
	struct list followers; /* follower.link */
	pthread_t thread;
	/* Lines of jobs on other threads, until the next look; each ends in a
	 * newline. What does not fit stands on stderr only. */
	pthread_mutex_t mutex;
	struct buf elsewhere;
};

struct follower {
	struct list link;
	struct http_exchange *x;
	bool with_engines;
	bool full;   /* waits for on_drain */
	size_t lost; /* lines that came meanwhile */
};

static void forget(struct follower *f)
{
	list_remove(&f->link);
	free(f);
}

static void tell(struct follower *f, char from, struct str line)
{
	if (from == FROM_ENGINE && !f->with_engines)
		return;
	if (f->full) {
		f->lost++;
		return;
	}
	if (exchange_write(f->x, line) == STREAM_FULL)
		f->full = true;
}

static void add(struct journal *j, char from, struct str line)
{
	size_t need = line.n + 2;
	while (j->lines.n && need > j->lines.max - j->lines.n) {
		/* A quarter at once, at a line's end: moving costs. */
		struct str old =
			str_tail(buf_str(&j->lines), MAX(need, j->lines.n / 4));
		ptrdiff_t end = str_find(old, '\n');
		size_t drop = end < 0 ? j->lines.n
				      : (size_t)(old.p + end + 1 - j->lines.p);
		buf_drop(&j->lines, drop);
	}
	if (buf_put(&j->lines, &from, 1) ||
	    buf_put(&j->lines, line.p, line.n) || buf_put(&j->lines, "\n", 1))
		buf_clear(&j->lines);
	struct str piece = { j->lines.p + j->lines.n - line.n - 1, line.n + 1 };
	list_each (it, &j->followers)
		tell(container_of(it, struct follower, link), from, piece);
}

static void keep(struct journal *j, struct str line)
{
	pthread_mutex_lock(&j->mutex);
	if (line.n < j->elsewhere.max - j->elsewhere.n &&
	    (buf_put(&j->elsewhere, line.p, line.n) ||
	     buf_put(&j->elsewhere, "\n", 1)))
		abort();
	pthread_mutex_unlock(&j->mutex);
}

/* Engines' output is read on the loop, so what jobs say is modeld's own. */
static void add_kept(struct journal *j)
{
	auto_buf struct buf kept;
	struct str line;
	pthread_mutex_lock(&j->mutex);
	kept = j->elsewhere;
	buf_init(&j->elsewhere, LIMIT_LOG_RING_BYTES);
	pthread_mutex_unlock(&j->mutex);
	struct str rest = buf_str(&kept);
	while (rest.n && str_split(&rest, '\n', &line))
		add(j, FROM_MODELD, line);
}

static void on_line(void *ctx, const char *source, struct str line)
{
	struct journal *j = ctx;
	char from = strcmp(source, "modeld") == 0 ? FROM_MODELD : FROM_ENGINE;
	if (!pthread_equal(pthread_self(), j->thread)) {
		keep(j, line);
		return;
	}
	add_kept(j);
	add(j, from, line);
}

struct journal *journal_new(void)
{
	struct journal *j = xcalloc(1, sizeof *j);
	j->thread = pthread_self();
	pthread_mutex_init(&j->mutex, NULL);
	buf_init(&j->elsewhere, LIMIT_LOG_RING_BYTES);
	buf_init(&j->lines, LIMIT_LOG_RING_BYTES);
	list_init(&j->followers);
	log_set_sink(on_line, j);
	return j;
}

void journal_end_followers(struct journal *j)
{
	list_each (it, &j->followers) {
		struct follower *f = container_of(it, struct follower, link);
		struct http_exchange *x = f->x;
		forget(f);
		exchange_end(x);
	}
}

void journal_free(struct journal *j)
{
	if (!j)
		return;
	log_set_sink(NULL, NULL);
	journal_end_followers(j);
	pthread_mutex_destroy(&j->mutex);
	buf_fini(&j->elsewhere);
	buf_fini(&j->lines);
	free(j);
}

static void on_gone(void *ctx)
{
	forget(ctx);
}

static void on_drain(void *ctx)
{
	struct follower *f = ctx;
	f->full = false;
	if (!f->lost)
		return;
	char note[64];
	int n = snprintf(note, sizeof note, "(%zu lines were skipped)\n",
			 f->lost);
	f->lost = 0;
	exchange_write(f->x, (struct str){ note, (size_t)n });
}

static const struct exchange_fns exchange_fns = { .on_gone = on_gone,
						  .on_drain = on_drain };

void journal_answer(struct journal *j, struct http_exchange *x, bool follow,
		    bool with_engines)
{
	auto_buf struct buf out;
	add_kept(j);
	struct str rest = buf_str(&j->lines), line;
	buf_init(&out, j->lines.max);
	while (rest.n && str_split(&rest, '\n', &line))
		if (line.n && (with_engines || line.p[0] == FROM_MODELD) &&
		    (buf_put(&out, line.p + 1, line.n - 1) ||
		     buf_put(&out, "\n", 1)))
			break;
	/* The answer to HEAD has no end that one could wait for. */
	if (!follow || exchange_head(x)->method == HTTP_HEAD) {
		exchange_reply(x, 200, REPLY_TEXT, buf_str(&out));
		return;
	}
	struct follower *f = xcalloc(1, sizeof *f);
	f->x = x;
	f->with_engines = with_engines;
	list_push_back(&j->followers, &f->link);
	exchange_set_fns(x, &exchange_fns, f);
	exchange_add(x, "Content-Type", str_of(REPLY_TEXT));
	exchange_start(x, 200, EXCHANGE_CHUNKED);
	if (out.n && exchange_write(x, buf_str(&out)) == STREAM_FULL)
		f->full = true;
}
