#include "llama/keep.h"

#include "base/limits.h"

#include <sys/mman.h>

#define of(it) container_of(it, struct keep_state, link)

void keep_init(struct keep *k, size_t ceiling)
{
	list_init(&k->states);
	k->ceiling = ceiling;
}

void keep_fini(struct keep *k)
{
	/* One that was never begun is all zeros. */
	if (!k->states.next)
		return;
	list_each (it, &k->states)
		keep_drop(k, of(it));
}

size_t keep_cost(size_t n_tokens, size_t n_bytes)
{
	return n_bytes + n_tokens * sizeof(int32_t) + sizeof(struct keep_state);
}

static size_t cost(const struct keep_state *s)
{
	return keep_cost(s->tokens.n, s->n);
}

void keep_drop(struct keep *k, struct keep_state *s)
{
	list_remove(&s->link);
	atomic_fetch_sub(&k->bytes, cost(s));
	atomic_fetch_sub(&k->n, 1);
	munmap(s->p, s->n);
	tokens_fini(&s->tokens);
	free(s);
}

/* Nothing goes unless enough can. */
static bool make_room(struct keep *k, size_t more)
{
	size_t held = 0;
	list_each (it, &k->states)
		held += of(it)->is_held ? cost(of(it)) : 0;
	if (more > k->ceiling || held > k->ceiling - more)
		return false;
	list_each (it, &k->states) {
		if (atomic_load(&k->bytes) <= k->ceiling - more &&
		    atomic_load(&k->n) < LIMIT_CACHE_STATES)
			break;
		if (!of(it)->is_held)
			keep_drop(k, of(it));
	}
	return true;
}

struct keep_state *keep_add(struct keep *k, const struct tokens *tokens,
			    size_t n_tokens, const struct batch_owner *owner,
			    bool is_whole, size_t n_bytes)
{
	if (!n_bytes || !make_room(k, keep_cost(n_tokens, n_bytes)))
		return NULL;
	/* Not malloc(), which would hold on to what is given back. */
	void *p = mmap(NULL, n_bytes, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (p == MAP_FAILED)
		return NULL;
	struct keep_state *s = xcalloc(1, sizeof *s);
	for (size_t i = 0; i < n_tokens; i++)
		tokens_push(&s->tokens, tokens->p[i]);
	s->owner = *owner;
	s->is_whole = is_whole;
	s->p = p;
	s->n = n_bytes;
	list_push_back(&k->states, &s->link);
	atomic_fetch_add(&k->bytes, cost(s));
	atomic_fetch_add(&k->n, 1);
	return s;
}

void keep_touch(struct keep *k, struct keep_state *s)
{
	list_remove(&s->link);
	list_push_back(&k->states, &s->link);
}

struct keep_state *keep_find_part(const struct keep *k,
				  const struct tokens *tokens, size_t most,
				  const struct batch_owner *owner)
{
	struct keep_state *best = NULL;
	list_each (it, &k->states) {
		struct keep_state *s = of(it);
		size_t n = s->tokens.n;
		if (s->is_whole || n > most || (best && n <= best->tokens.n) ||
		    !batch_owner_same(&s->owner, owner))
			continue;
		if (tokens_common(&s->tokens, tokens) == n)
			best = s;
	}
	return best;
}

size_t keep_common(const struct keep *k, const struct tokens *tokens,
		   size_t most, const struct batch_owner *owner)
{
	size_t n = 0;
	list_each (it, &k->states)
		if (batch_owner_same(&of(it)->owner, owner))
			n = MAX(n, tokens_common(&of(it)->tokens, tokens));
	return MIN(n, most);
}
