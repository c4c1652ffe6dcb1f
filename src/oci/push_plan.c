#include "oci/push_plan.h"

void push_plan_init(struct push_plan *p)
{
	*p = (struct push_plan){ .n = 0 };
	arena_init(&p->arena);
	buf_init(&p->text, LIMIT_MANIFEST_BYTES);
}

void push_plan_fini(struct push_plan *p)
{
	arena_fini(&p->arena);
	buf_fini(&p->text);
}

void push_plan_release(struct push_plan *p, struct store *s)
{
	store_release(s, p->leased, p->n_leased);
	p->n_leased = 0;
}

/* ---- what it is made of ---- */

static void add(struct push_plan *p, struct store *s,
		const struct manifest_blob *b)
{
	for (size_t i = 0; i < p->n; i++)
		if (digest_eq(&p->items[i].digest, &b->digest))
			return;
	struct push_item *item = &p->items[p->n++];
	*item = (struct push_item){ .digest = b->digest, .bytes = b->bytes };
	item->path = store_blob_path(s, &b->digest, &p->arena);
	p->leased[p->n_leased++] = b->digest;
}

static int list(struct push_plan *p, struct store *s, const struct manifest *m,
		struct err *e)
{
	p->items = arena_alloc(&p->arena, (m->n_layers + 1) * sizeof *p->items);
	p->leased =
		arena_alloc(&p->arena, (m->n_layers + 1) * sizeof *p->leased);
	for (size_t i = 0; i < m->n_layers; i++)
		add(p, s, &m->layers[i]);
	add(p, s, &m->config);
	store_lease(s, p->leased, p->n_leased);
	for (size_t i = 0; i < p->n; i++)
		if (!store_has_blob(s, &p->items[i].digest, p->items[i].bytes))
			return err_set(e, ERR_CORRUPT,
				       "blob sha256:%s of the model is missing "
				       "or cut in the store; pull the model "
				       "again",
				       p->items[i].digest.hex);
	return 0;
}

/* ---- who else has it ---- */

/* Its number, or -1: there are too many. */
static int source(struct push_plan *p, const char *repository)
{
	for (size_t i = 0; i < p->n_from; i++)
		if (strcmp(p->from[i], repository) == 0)
			return (int)i;
	if (p->n_from == LIMIT_PUSH_SOURCES)
		return -1;
	p->from[p->n_from] = arena_str(&p->arena, str_of(repository));
	return (int)p->n_from++;
}

static bool has_file(const struct index_model *m, const struct digest *d)
{
	for (size_t i = 0; i < m->n_files; i++)
		if (digest_eq(&m->files[i], d))
			return true;
	return false;
}

static bool shares(const struct push_plan *p, const struct index_model *m)
{
	for (size_t i = 0; i < p->n; i++)
		if (has_file(m, &p->items[i].digest))
			return true;
	return false;
}

static void note_sources(struct push_plan *p, const struct index_model *m,
			 const struct ref *to)
{
	struct ref r;
	struct err unused;
	if (!m->n_tags || !shares(p, m))
		return;
	for (size_t t = 0; t < m->n_tags; t++) {
		if (ref_parse(str_of(m->tags[t]), NULL, &r, &unused) ||
		    strcmp(r.registry, to->registry) != 0 ||
		    strcmp(r.repository, to->repository) == 0)
			continue;
		int n = source(p, r.repository);
		for (size_t i = 0; n >= 0 && i < p->n; i++)
			p->items[i].is_in[n] |=
				has_file(m, &p->items[i].digest);
	}
}

int push_plan_make(struct push_plan *p, struct store *s,
		   const struct digest *id, const struct ref *to, struct err *e)
{
	auto_(manifest) m = NULL;
	auto_(index) x = NULL;
	int got = store_read_manifest(s, id, &p->text, e);
	if (got == STORE_ABSENT)
		return err_set(e, ERR_NOT_FOUND,
			       "the model was deleted just now");
	if (got || manifest_parse(buf_str(&p->text), &m, e) ||
	    list(p, s, m, e) || store_index(s, &x, e))
		return -1;
	for (size_t i = 0; i < x->n; i++)
		note_sources(p, &x->models[i], to);
	return 0;
}
