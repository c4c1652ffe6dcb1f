#include "engine/backoff.h"

#include "base/limits.h"

#include <string.h>

struct failing {
	struct list link;
	char *key; /* owned */
	unsigned times;
	uint64_t until_ms;
	struct err cause;
};

void backoff_init(struct backoff *b)
{
	list_init(&b->failing);
	b->n = 0;
}

static void drop(struct backoff *b, struct failing *f)
{
	list_remove(&f->link);
	b->n--;
	free(f->key);
	free(f);
}

void backoff_fini(struct backoff *b)
{
	list_each (it, &b->failing)
		drop(b, container_of(it, struct failing, link));
}

static struct failing *find(const struct backoff *b, const char *key)
{
	list_each (it, &b->failing) {
		struct failing *f = container_of(it, struct failing, link);
		if (strcmp(f->key, key) == 0)
			return f;
	}
	return NULL;
}

static uint64_t rest_ms(unsigned times)
{
	uint64_t ms = LIMIT_BACKOFF_MIN_MS;
	if (times <= LIMIT_BACKOFF_FREE)
		return 0;
	for (unsigned i = LIMIT_BACKOFF_FREE + 1;
	     i < times && ms < LIMIT_BACKOFF_MS; i++)
		ms *= 2;
	return MIN(ms, (uint64_t)LIMIT_BACKOFF_MS);
}

void backoff_failed(struct backoff *b, const char *key, uint64_t now_ms,
		    const struct err *cause)
{
	struct failing *f = find(b, key);
	if (!f) {
		/* The oldest has rested long enough. */
		if (b->n >= LIMIT_BACKOFF_MODELS)
			drop(b, container_of(b->failing.prev, struct failing,
					     link));
		f = xcalloc(1, sizeof *f);
		f->key = xstrdup(key);
		b->n++;
	} else {
		list_remove(&f->link);
	}
	list_push_front(&b->failing, &f->link);
	f->times++;
	f->until_ms = now_ms + rest_ms(f->times);
	f->cause = *cause;
}

void backoff_worked(struct backoff *b, const char *key)
{
	struct failing *f = find(b, key);
	if (f)
		drop(b, f);
}

int backoff_check(const struct backoff *b, const char *key, uint64_t now_ms,
		  struct err *e)
{
	const struct failing *f = find(b, key);
	if (!f || now_ms >= f->until_ms)
		return 0;
	return err_set(e, f->cause.code,
		       "%.250s (%u times in a row; it is tried again in %llu "
		       "s)",
		       f->cause.msg, f->times,
		       (unsigned long long)(f->until_ms - now_ms + 999) / 1000);
}
