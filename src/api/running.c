#include "api/running.h"

struct search {
	char id[DIGEST_TEXT_BYTES];
	const enum engine_mode *mode; /* NULL: any */
	struct running found;
};

static void look(void *ctx, const struct engine_running *r)
{
	struct search *s = ctx;
	if (strcmp(r->model_id, s->id) != 0 ||
	    (s->mode && *s->mode != r->mode) ||
	    (s->found.is_loaded && (r->is_loading || r->mode > s->found.mode)))
		return;
	s->found = (struct running){ .is_loading = r->is_loading,
				     .is_loaded = !r->is_loading,
				     .loaded = r->loaded,
				     .context = r->context,
				     .mode = r->mode };
}

struct running running_find(struct engine_set *engines, const struct digest *id,
			    const enum engine_mode *mode)
{
	struct search s = { .mode = mode };
	digest_text(id, s.id);
	list_each (it, &engines->engines) {
		struct engine *en = container_of(it, struct engine, link);
		en->kind->each_running(en, look, &s);
	}
	return s.found;
}
