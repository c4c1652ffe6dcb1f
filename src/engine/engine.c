#include "engine/engine.h"
#include "model/catalog.h"

#include <strings.h>

static const char *const mode_names[] = {
	[ENGINE_COMPLETION] = "completion",
	[ENGINE_EMBEDDING] = "embedding",
	[ENGINE_RERANKING] = "reranking",
};

const char *engine_mode_name(enum engine_mode m)
{
	return mode_names[m];
}

bool engine_mode_parse(struct str text, enum engine_mode *out)
{
	for (size_t i = 0; i < ARRAY_LEN(mode_names); i++) {
		if (!str_eq(text, mode_names[i]))
			continue;
		*out = (enum engine_mode)i;
		return true;
	}
	return false;
}

void engine_set_init(struct engine_set *s)
{
	list_init(&s->engines);
}

static void destroy(struct engine *en)
{
	list_remove(&en->link);
	free(en->name);
	en->kind->free(en);
}

void engine_set_fini(struct engine_set *s)
{
	list_each (it, &s->engines)
		destroy(container_of(it, struct engine, link));
}

void engine_set_add(struct engine_set *s, struct engine *en)
{
	list_push_front(&s->engines, &en->link);
}

void engine_set_retire(struct engine_set *s, const struct engine_kind *kind)
{
	list_each (it, &s->engines) {
		struct engine *en = container_of(it, struct engine, link);
		if (en->kind != kind)
			continue;
		list_remove(&en->link);
		en->is_retired = true;
		if (!en->leases)
			destroy(en);
	}
}

struct engine *engine_set_find(struct engine_set *s, struct str name)
{
	list_each (it, &s->engines) {
		struct engine *en = container_of(it, struct engine, link);
		if (str_eq(name, en->name))
			return en;
	}
	return NULL;
}

struct engine *engine_set_for_model(struct engine_set *s, struct str name,
				    const struct catalog_model *m)
{
	list_each (it, &s->engines) {
		struct engine *en = container_of(it, struct engine, link);
		if (en->kind->serves(en, name, m, false))
			return en;
	}
	return NULL;
}

int engine_refuse(const struct catalog_model *m, struct err *e)
{
	if (strcmp(m->format, "safetensors") == 0)
		return err_set(e, ERR_UNSUPPORTED,
			       "no engine here runs models of the format "
			       "'safetensors': use a GGUF of this model "
			       "(llama.cpp's convert_hf_to_gguf.py makes one), "
			       "or configure an engine that serves it");
	if (m->format[0] && strcasecmp(m->format, "gguf") != 0)
		return err_set(e, ERR_UNSUPPORTED,
			       "no engine here runs models of the format '%s'; "
			       "GGUF is what llama.cpp runs",
			       m->format);
	return err_set(e, ERR_UNSUPPORTED,
		       "no layer of this model is a GGUF file that can be run "
		       "as it is (weights in a tar cannot): package it again "
		       "from its GGUF file");
}

void engine_init(struct engine *en, const struct engine_kind *kind,
		 const char *name)
{
	en->kind = kind;
	en->name = xstrdup(name);
	list_init(&en->link);
}

int engine_acquire(struct engine *en, struct str name,
		   const struct catalog_model *m, struct engine_lease *lease,
		   struct err *e)
{
	list_init(&lease->link);
	lease->engine = en;
	lease->target = (struct engine_target){ 0 };
	en->leases++;
	int got = en->kind->acquire(en, name, m, lease, e);
	if (got < 0)
		engine_release(lease);
	return got;
}

void engine_release(struct engine_lease *lease)
{
	struct engine *en = steal(&lease->engine);
	if (!en)
		return;
	en->kind->release(en, lease);
	list_remove(&lease->link);
	if (--en->leases == 0 && en->is_retired)
		destroy(en);
}

bool engine_broke(struct engine_lease *lease, struct err *e)
{
	struct engine *en = lease->engine;
	return en && en->kind->broke && en->kind->broke(lease, e);
}

void engine_fail(struct engine_lease *lease, const struct err *e)
{
	struct err why = *e;
	engine_release(lease);
	lease->on_ready(lease->ctx, &why);
}
