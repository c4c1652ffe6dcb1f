#include "oci/push_kept.h"

struct kept {
	struct list link;
	char *place; /* owned */
	struct digest digest;
	struct weburl at;
};

static void drop(struct push_kept *k, struct kept *one)
{
	list_remove(&one->link);
	k->n--;
	free(one->place);
	free(one);
}

void push_kept_init(struct push_kept *k)
{
	list_init(&k->all);
	k->n = 0;
}

void push_kept_fini(struct push_kept *k)
{
	list_each (it, &k->all)
		drop(k, container_of(it, struct kept, link));
}

void push_kept_put(struct push_kept *k, const char *place,
		   const struct digest *d, const struct weburl *at)
{
	struct kept *one = xcalloc(1, sizeof *one);
	one->place = xstrdup(place);
	one->digest = *d;
	one->at = *at;
	list_push_front(&k->all, &one->link);
	if (++k->n > LIMIT_PUSH_KEPT)
		drop(k, container_of(k->all.prev, struct kept, link));
}

bool push_kept_take(struct push_kept *k, const char *place,
		    const struct digest *d, struct weburl *out)
{
	list_each (it, &k->all) {
		struct kept *one = container_of(it, struct kept, link);
		if (!digest_eq(&one->digest, d) ||
		    strcmp(one->place, place) != 0)
			continue;
		*out = one->at;
		drop(k, one);
		return true;
	}
	return false;
}
