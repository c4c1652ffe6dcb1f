#include "oci/tokencache.h"
#include "base/limits.h"

struct token {
	struct list link;
	char *key;
	char *text;
	uint64_t until_ms;
};

void tokencache_init(struct tokencache *t)
{
	list_init(&t->all);
	t->n = 0;
}

static void drop(struct tokencache *t, struct list *link)
{
	struct token *k = container_of(link, struct token, link);
	list_remove(link);
	t->n--;
	free(k->key);
	free(k->text);
	free(k);
}

void tokencache_fini(struct tokencache *t)
{
	list_each (it, &t->all)
		drop(t, it);
}

const char *tokencache_find(struct tokencache *t, const char *key,
			    uint64_t now_ms)
{
	list_each (it, &t->all) {
		struct token *k = container_of(it, struct token, link);
		if (k->until_ms <= now_ms)
			drop(t, it);
		else if (strcmp(k->key, key) == 0)
			return k->text;
	}
	return NULL;
}

void tokencache_drop(struct tokencache *t, const char *key)
{
	list_each (it, &t->all)
		if (strcmp(container_of(it, struct token, link)->key, key) == 0)
			drop(t, it);
}

void tokencache_put(struct tokencache *t, const char *key, const char *text,
		    uint64_t until_ms)
{
	tokencache_drop(t, key);
	struct token *k = xcalloc(1, sizeof *k);
	k->key = xstrdup(key);
	k->text = xstrdup(text);
	k->until_ms = until_ms;
	list_push_front(&t->all, &k->link);
	if (++t->n > LIMIT_TOKENS_KEPT)
		drop(t, t->all.prev);
}
