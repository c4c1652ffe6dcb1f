#include "engine/adapters.h"

#include "base/json.h"
#include "base/limits.h"
#include "model/catalog.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define FIELD "runtime-flags"

/* ---- flags ---- */

static bool is_name(struct str s)
{
	static const char marks[] = "._-";
	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];
		if (!(c >= 'a' && c <= 'z') && !(c >= 'A' && c <= 'Z') &&
		    !(c >= '0' && c <= '9') && !strchr(marks, c))
			return false;
	}
	return s.n && s.n <= LIMIT_LORA_NAME_BYTES;
}

/* "pirate" of "hf.co/org/pirate:Q8_0@v1". */
static struct str last_part(struct str model)
{
	struct str s = str_tail(model, (size_t)(str_find_last(model, '/') + 1));
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] == ':' || s.p[i] == '@')
			return str_head(s, i);
	return s;
}

static int take_scale(struct str *text, double *out, struct err *e)
{
	ptrdiff_t colon = str_find_last(*text, ':');
	auto_free char *number = str_dup(str_tail(*text, (size_t)(colon + 1)));
	char *end;
	*out = strtod(number, &end);
	if (colon < 0 || end == number || *end || strpbrk(number, "xX") ||
	    !(fabs(*out) <= LIMIT_LORA_SCALE))
		return err_field(e, FIELD,
				 "'%.*s' must end with ':' and a scale from "
				 "-%d to %d",
				 STR_ARG(str_head(*text, 200)),
				 LIMIT_LORA_SCALE, LIMIT_LORA_SCALE);
	*text = str_head(*text, (size_t)colon);
	return 0;
}

int adapters_parse(const char *text, bool has_scale, struct adapters_flag *out,
		   struct err *e)
{
	struct str model = str_of(text), name;
	ptrdiff_t equals = str_find(model, '=');
	double scale = 1;
	if (equals >= 0)
		model = str_tail(model, (size_t)equals + 1);
	if (has_scale && take_scale(&model, &scale, e))
		return -1;
	name = equals >= 0 ? str_head(str_of(text), (size_t)equals)
			   : last_part(model);
	if (!model.n || !is_name(name))
		return err_field(e, FIELD,
				 "'%.200s' must be [NAME=]MODEL: a model of "
				 "the store that is an adapter, and a name of "
				 "letters, digits, '.', '_' and '-'",
				 text);
	*out = (struct adapters_flag){ str_dup(name), str_dup(model), scale };
	return 0;
}

void adapters_fini(struct adapters_flag *f)
{
	free(f->name);
	free(f->model);
	*f = (struct adapters_flag){ 0 };
}

/* ---- the store ---- */

int adapters_check(const struct adapters_flag *f,
		   const struct catalog_model *base,
		   const struct catalog_model *m, struct err *e)
{
	struct err unused;
	auto_json *config = NULL;
	const json_t *gguf = NULL;
	if (json_parse(m->config, &config, &unused) == 0)
		gguf = json_object_get(config, "gguf");
	const char *type =
		json_string_value(json_object_get(gguf, "general.type"));
	/* CNCF's form has no metadata: then modeld-llama tells, at the start.
	 */
	if (m->n_weights != 1 ||
	    (json_object_size(gguf) && (!type || strcmp(type, "adapter") != 0)))
		return err_field(e, FIELD, "'%s' is a model and no adapter",
				 f->model);
	if (m->architecture[0] && base->architecture[0] &&
	    strcmp(m->architecture, base->architecture) != 0)
		return err_field(e, FIELD,
				 "the adapter '%s' is for models of the "
				 "architecture '%s', and this one's is '%s'",
				 f->model, m->architecture, base->architecture);
	return 0;
}

int adapters_find(struct catalog *c, const struct adapters_flag *flags,
		  size_t n, struct arena *a, const char ***options,
		  uint64_t *bytes, struct err *e)
{
	*options = arena_alloc(a, (2 * n + 1) * sizeof **options);
	for (size_t i = 0; i < n; i++) {
		const struct adapters_flag *f = &flags[i];
		const struct catalog_model *m;
		int got = catalog_find(c, str_of(f->model), CATALOG_STRICT, a,
				       &m, e);
		if (got < 0)
			return -1;
		if (got == CATALOG_ABSENT || m->n_weights != 1)
			return err_set(e, ERR_CONFLICT,
				       "the adapter '%s' that this model is "
				       "set up with is not in the store any "
				       "more: pull it, or set the model up "
				       "without it",
				       f->model);
		(*options)[2 * i] = "--lora-scaled";
		(*options)[2 * i + 1] = arena_printf(a, "%s=%s:%.9g", f->name,
						     m->weights[0], f->scale);
		*bytes += m->weight_bytes;
	}
	return 0;
}
