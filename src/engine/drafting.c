#include "engine/drafting.h"

#include "base/limits.h"
#include "model/catalog.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define FLAGS "runtime-flags"
#define MEMBER "speculative"

static int set_model(struct drafting *d, struct str name, const char *param,
		     struct err *e)
{
	if (!name.n || name.n > LIMIT_REFERENCE_BYTES ||
	    memchr(name.p, 0, name.n))
		return err_field(e, param,
				 "the draft model must be a model's name, "
				 "which is not empty and has %d bytes at most",
				 LIMIT_REFERENCE_BYTES);
	free(d->model);
	d->model = str_dup(name);
	return 0;
}

int drafting_read(const json_t *body, struct drafting *out, json_t *config,
		  struct err *e)
{
	const json_t *own = json_object_get(body, MEMBER);
	struct str name = { 0 };
	int64_t most = 0;
	double p = 0;
	if (!own || json_is_null(own))
		return 0;
	if (!json_is_object(own))
		return err_field(e, MEMBER, "'" MEMBER "' must be an object");
	if (json_get_str(own, "draft_model", &name, e) ||
	    json_get_int(own, "num_tokens", 0, INT32_MAX, &most, e) ||
	    json_get_num(own, "min_acceptance_rate", 0, 1, &p, e) ||
	    (name.n && set_model(out, name, MEMBER, e)))
		return -1;
	auto_json *shown = json_object();
	if (name.n)
		json_object_set_new(shown, "draft_model",
				    json_stringn(name.p, name.n));
	/* Docker Model Runner: 0 is as if it were not there. */
	if (most > 0) {
		out->most = most;
		json_object_set_new(shown, "num_tokens", json_integer(most));
	}
	if (p > 0) {
		out->p_min = p;
		json_object_set_new(shown, "min_acceptance_rate", json_real(p));
	}
	if (json_object_size(shown))
		json_object_set(config, MEMBER, shown);
	return 0;
}

int drafting_set_model(struct drafting *d, const char *value, struct err *e)
{
	return set_model(d, str_of(value ? value : ""), FLAGS, e);
}

int drafting_check_sources(const char *value, struct err *e)
{
	static const char *const words[] = { "none", "ngram-simple",
					     "draft-simple" };
	struct str rest = str_of(value ? value : ""), word;
	while (str_split(&rest, ',', &word)) {
		size_t i = 0;
		while (i < ARRAY_LEN(words) && !str_eq(word, words[i]))
			i++;
		if (i == ARRAY_LEN(words))
			return err_field(e, FLAGS,
					 "runtime flag \"--spec-type\" takes "
					 "none, ngram-simple and draft-simple, "
					 "not '%.*s'",
					 STR_ARG(str_head(word, 100)));
	}
	return 0;
}

void drafting_fini(struct drafting *d)
{
	free(d->model);
	*d = (struct drafting){ 0 };
}

int drafting_check(const struct drafting *d, const struct catalog_model *m,
		   struct err *e)
{
	bool is_gguf = !m->format[0] || strcasecmp(m->format, "gguf") == 0;
	if (m->n_weights && is_gguf && !m->is_embedding)
		return 0;
	return err_field(e, MEMBER,
			 "'%s' cannot draft: that takes a model of text in the "
			 "GGUF format",
			 d->model);
}

int drafting_find(const struct drafting *d, struct catalog *c, struct arena *a,
		  const struct catalog_model **out, struct err *e)
{
	*out = NULL;
	if (!d->model)
		return 0;
	int got = catalog_find(c, str_of(d->model), CATALOG_STRICT, a, out, e);
	if (got < 0)
		return -1;
	if (got == CATALOG_ABSENT || !(*out)->n_weights)
		return err_set(e, ERR_CONFLICT,
			       "the draft model '%s' that this model is set up "
			       "with is not in the store any more: pull it, or "
			       "set the model up without it",
			       d->model);
	return 0;
}
