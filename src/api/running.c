#include "api/running.h"

struct search {
	char id[DIGEST_TEXT_BYTES];
	struct running found;
};

static void look(void *ctx, const struct engine_running *r)
{
	struct search *s = ctx;
	if (strcmp(r->model_id, s->id) != 0)
		return;
	s->found = (struct running){ .is_loading = r->is_loading,
				     .is_loaded = !r->is_loading,
				     .loaded = r->loaded,
				     .context = r->context };
}

struct running running_find(struct engine_set *engines, const struct digest *id)
{
	struct search s = { .found = { 0 } };
	digest_text(id, s.id);
	list_each (it, &engines->engines) {
		struct engine *en = container_of(it, struct engine, link);
		en->kind->each_running(en, look, &s);
	}
	return s.found;
}
