#include "llama/lora.h"

#include "base/log.h"
#include "llama/lora_file.h"
#include "llama/params.h"
#include "llama/weights.h"
#include "llama/writer.h"

#include <llama.h>
#include <math.h>
#include <stdlib.h>

struct adapter {
	char *name, *path;		   /* owned */
	float scale;			   /* of requests that do not say */
	struct llama_adapter_lora *loaded; /* the model's; NULL before that */
};

struct lora {
	struct adapter of[LIMIT_LORA_ADAPTERS];
	size_t n;
};

bool lora_same(const struct lora_scales *a, const struct lora_scales *b)
{
	return memcmp(a, b, sizeof *a) == 0;
}

struct lora *lora_new(void)
{
	return xcalloc(1, sizeof(struct lora));
}

void lora_free(struct lora *l)
{
	for (size_t i = 0; l && i < l->n; i++) {
		free(l->of[i].name);
		free(l->of[i].path);
	}
	free(l);
}

size_t lora_count(const struct lora *l)
{
	return l->n;
}

const char *lora_path(const struct lora *l, size_t i)
{
	return l->of[i].path;
}

static const struct adapter *find_name(const struct lora *l, struct str name)
{
	for (size_t i = 0; i < l->n; i++)
		if (str_eq(name, l->of[i].name))
			return &l->of[i];
	return NULL;
}

/* ---- options ---- */

/* "pirate" of "pirate=/x/y.gguf"; what has a '/' before the '=' is a path. */
static struct str take_name(struct str *text)
{
	ptrdiff_t equals = str_find(*text, '=');
	ptrdiff_t slash = str_find(*text, '/');
	struct str name = { 0 };
	if (equals < 0 || (slash >= 0 && slash < equals))
		return name;
	name = str_head(*text, (size_t)equals);
	*text = str_tail(*text, (size_t)equals + 1);
	return name;
}

static struct str stem(struct str path)
{
	struct str s = str_tail(path, (size_t)(str_find_last(path, '/') + 1));
	if (str_ends(s, ".gguf"))
		s.n -= strlen(".gguf");
	return s;
}

static int take_scale(struct str *text, float *out, struct err *e)
{
	ptrdiff_t colon = str_find_last(*text, ':');
	auto_free char *number = str_dup(str_tail(*text, (size_t)(colon + 1)));
	char *end;
	double d = strtod(number, &end);
	if (colon < 0 || end == number || *end ||
	    !(fabs(d) <= LIMIT_LORA_SCALE))
		return err_set(e, ERR_USAGE,
			       "'%.*s' must end with ':' and a scale from -%d "
			       "to %d",
			       STR_ARG(str_head(*text, 200)), LIMIT_LORA_SCALE,
			       LIMIT_LORA_SCALE);
	*out = (float)d;
	*text = str_head(*text, (size_t)colon);
	return 0;
}

static int check_name(const struct lora *l, struct str name, struct err *e)
{
	if (!name.n || name.n > LIMIT_LORA_NAME_BYTES)
		return err_set(e, ERR_USAGE,
			       "an adapter's name has 1 to %d bytes, not %zu: "
			       "give one as NAME=PATH",
			       LIMIT_LORA_NAME_BYTES, name.n);
	if (find_name(l, name))
		return err_set(e, ERR_USAGE,
			       "two adapters are called '%.*s': name them, as "
			       "NAME=PATH",
			       STR_ARG(name));
	return 0;
}

int lora_add(struct lora *l, const char *text, bool has_scale, struct err *e)
{
	struct str path = str_of(text);
	struct str name = take_name(&path);
	struct adapter a = { .scale = 1 };
	if (l->n == LIMIT_LORA_ADAPTERS)
		return err_set(e, ERR_USAGE, "there may be %d adapters",
			       LIMIT_LORA_ADAPTERS);
	if (has_scale && take_scale(&path, &a.scale, e))
		return -1;
	if (!name.p)
		name = stem(path);
	if (!path.n)
		return err_set(e, ERR_USAGE, "an adapter without a path");
	if (check_name(l, name, e))
		return -1;
	a.name = str_dup(name);
	a.path = str_dup(path);
	l->of[l->n++] = a;
	return 0;
}

/* ---- files ---- */

static int load(struct adapter *a, const struct weights *w, struct err *e)
{
	if (lora_file_check(a->path, w, e))
		return -1;
	a->loaded = llama_adapter_lora_init(weights_model(w), a->path);
	if (!a->loaded)
		return weights_complaint(ERR_CORRUPT, e);
	/* They are to begin in the middle of a prompt, after certain tokens. */
	if (llama_adapter_get_alora_n_invocation_tokens(a->loaded))
		return err_set(e, ERR_UNSUPPORTED,
			       "it is activated by tokens of the prompt "
			       "(aLoRA), which this engine cannot do");
	return 0;
}

int lora_load(struct lora *l, const struct weights *w, struct err *e)
{
	for (size_t i = 0; i < l->n; i++) {
		struct adapter *a = &l->of[i];
		if (load(a, w, e))
			return err_wrap(e, "adapter '%s'", a->name);
		log_info("adapter loaded id=%zu name=\"%s\" scale=%g", i,
			 a->name, (double)a->scale);
	}
	return 0;
}

/* ---- requests ---- */

static int find_asked(const struct lora *l, const struct params *p, size_t *id,
		      struct err *e)
{
	const struct adapter *a;
	if (p->lora_name.p && p->lora_id >= 0)
		return err_set(e, ERR_INVALID,
			       "'id' and 'name' say the same: give one");
	if (!p->lora_name.p && p->lora_id < 0)
		return err_set(e, ERR_INVALID, "'id' or 'name' must be given");
	a = p->lora_name.p		? find_name(l, p->lora_name)
	    : (size_t)p->lora_id < l->n ? &l->of[p->lora_id]
					: NULL;
	if (a) {
		*id = (size_t)(a - l->of);
		return 0;
	}
	if (!l->n)
		return err_set(e, ERR_INVALID, "this model has no adapters");
	if (p->lora_name.p)
		return err_set(e, ERR_INVALID,
			       "there is no adapter '%.*s': GET /lora-adapters "
			       "lists them",
			       STR_ARG(str_head(p->lora_name, 100)));
	return err_set(e, ERR_INVALID,
		       "there is no adapter %lld: this model has %zu",
		       (long long)p->lora_id, l->n);
}

static int read_one(const struct lora *l, const json_t *j,
		    struct lora_scales *out, bool *has, struct err *e)
{
	struct params p;
	size_t id = 0;
	if (!json_is_object(j))
		return err_set(e, ERR_INVALID, "must be an object");
	if (params_parse(j, PARAMS_LORA, &p, e) || find_asked(l, &p, &id, e))
		return -1;
	if (has[id])
		return err_set(e, ERR_INVALID, "'%s' is there twice",
			       l->of[id].name);
	has[id] = true;
	/* The sum is for -0, which would differ from 0. */
	out->of[id] = (float)p.lora_scale + 0.0f;
	return 0;
}

int lora_read(const struct lora *l, const json_t *given,
	      struct lora_scales *out, struct err *e)
{
	bool has[LIMIT_LORA_ADAPTERS] = { 0 };
	size_t i;
	json_t *j;
	*out = (struct lora_scales){ 0 };
	for (i = 0; !given && i < l->n; i++)
		out->of[i] = l->of[i].scale;
	json_array_foreach(given, i, j)
	{
		struct err why;
		if (read_one(l, j, out, has, &why))
			return err_field(e, "lora", "lora[%zu]: %s", i,
					 why.msg);
	}
	return 0;
}

void lora_put(const struct lora *l, struct writer *w)
{
	writer_raw(w, STR("["));
	for (size_t i = 0; i < l->n; i++) {
		writer_put(w, "%s{\"id\":%zu,\"name\":", i ? "," : "", i);
		writer_json(w, str_of(l->of[i].name));
		writer_put(w, ",\"scale\":%.9g}", (double)l->of[i].scale);
	}
	writer_raw(w, STR("]"));
}

/* ---- the compute thread ---- */

void lora_apply(const struct lora *l, struct llama_context *ctx,
		const struct lora_scales *s)
{
	struct llama_adapter_lora *used[LIMIT_LORA_ADAPTERS];
	float scales[LIMIT_LORA_ADAPTERS];
	size_t n = 0;
	if (!l || !l->n)
		return;
	for (size_t i = 0; i < l->n; i++) {
		used[n] = l->of[i].loaded;
		scales[n] = s->of[i];
		n += s->of[i] != 0;
	}
	llama_set_adapters_lora(ctx, used, n, scales);
}
