#include "oci/lease.h"

struct lease {
	struct digest digest;
	int holders;
	bool is_marked;
};

void lease_set_init(struct lease_set *l)
{
	*l = (struct lease_set){ .all = NULL };
	pthread_mutex_init(&l->lock, NULL);
}

void lease_set_fini(struct lease_set *l)
{
	pthread_mutex_destroy(&l->lock);
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
	x->holders++;
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
	pthread_mutex_unlock(&l->lock);
	return x != NULL;
}
