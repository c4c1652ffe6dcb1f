#include "engine/tuning.h"
#include "base/duration.h"
#include "base/limits.h"
#include "engine/shellwords.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum tuning_flag_kind {
	TUNING_OPTION,
	TUNING_DEFAULT,
	TUNING_SWITCH,
	TUNING_OBJECT,
	TUNING_SPECIAL,
	TUNING_QUIET,
	TUNING_QUIET_VALUE,
};
enum tuning_special {
	TUNING_CONTEXT,
	TUNING_CACHE_RAM,
	TUNING_POOLING,
	TUNING_EMBEDDINGS,
	TUNING_RERANKING,
	TUNING_LORA,
	TUNING_LORA_SCALED,
	TUNING_LORA_UNUSED, /* unless a request asks for it */
	TUNING_DRAFT_MODEL,
	TUNING_DRAFT_P_MIN,
	TUNING_SPEC_TYPE,
};

struct flag {
	const char *word, *letter;
	enum tuning_flag_kind kind;
	const char *target; /* an option or a field */
	double least, most;
	bool value;
	enum tuning_special special;
};

static const struct flag flags[] = {
#define OPTION(w, l, option, from, to) \
	{ w, l, TUNING_OPTION, option, from, to, false, 0 },
#define DEFAULT(w, l, field, from, to) \
	{ w, l, TUNING_DEFAULT, field, from, to, false, 0 },
#define SWITCH(w, field, v) { w, NULL, TUNING_SWITCH, field, 0, 0, v, 0 },
#define OBJECT(w, field) { w, NULL, TUNING_OBJECT, field, 0, 0, false, 0 },
#define SPECIAL(w, l, s) { w, l, TUNING_SPECIAL, NULL, 0, 0, false, s },
#define QUIET(w, l) { w, l, TUNING_QUIET, NULL, 0, 0, false, 0 },
#define QUIET_VALUE(w, l) { w, l, TUNING_QUIET_VALUE, NULL, 0, 0, false, 0 },
#include "engine/tuning_flags.h"
};

/* While the flags are read. */
struct reading {
	struct tuning *t;
	json_t *list;	  /* of the flags as given; borrowed */
	json_t *defaults; /* for requests */
	bool has_mode;
	enum engine_mode mode;
	bool leaves_adapters;
};

static void add_arg(struct tuning *t, const char *text)
{
	t->args = xrealloc(t->args, (t->n_args + 2) * sizeof *t->args);
	t->args[t->n_args++] = xstrdup(text);
	t->args[t->n_args] = NULL;
}

/* ---- one flag ---- */

static const struct flag *find_flag(struct str word)
{
	for (size_t i = 0; i < ARRAY_LEN(flags); i++)
		if (str_eq(word, flags[i].word) ||
		    (flags[i].letter && str_eq(word, flags[i].letter)))
			return &flags[i];
	return NULL;
}

static int read_number(const struct flag *f, const char *text, double *out,
		       struct err *e)
{
	char *end = NULL;
	bool is_whole = f->most > 10;
	*out = text ? strtod(text, &end) : NAN;
	/* Hexadecimal is strtod's own idea. */
	bool is_number = text && end != text && !*end && isfinite(*out) &&
			 !strpbrk(text, "xX");
	if (is_number && *out >= f->least && *out <= f->most &&
	    (!is_whole || *out == floor(*out)))
		return 0;
	return err_field(e, "runtime-flags",
			 "runtime flag \"%s\" takes a %snumber from %g to %g, "
			 "not '%.100s'",
			 f->word, is_whole ? "whole " : "", f->least, f->most,
			 text ? text : "");
}

/* From 0, of a flag whose row has no bounds. */
static int read_up_to(const struct flag *f, const char *text, double most,
		      double *out, struct err *e)
{
	struct flag bounds = *f;
	bounds.most = most;
	return read_number(&bounds, text, out, e);
}

static void set_mode(struct reading *r, enum engine_mode mode)
{
	r->has_mode = true;
	r->mode = mode;
}

static int set_pooling(struct tuning *t, const char *text, struct err *e)
{
	static const char *const words[] = { "none", "mean", "cls", "last",
					     "rank" };
	for (size_t i = 0; i < ARRAY_LEN(words); i++) {
		if (!text || strcmp(text, words[i]) != 0)
			continue;
		t->pooling = words[i];
		return 0;
	}
	return err_field(e, "runtime-flags",
			 "runtime flag \"--pooling\" takes none, mean, cls, "
			 "last or rank, not '%.100s'",
			 text ? text : "");
}

static int read_context(struct tuning *t, const struct flag *f,
			const char *text, struct err *e)
{
	double n;
	if (read_up_to(f, text, LIMIT_CONTEXT, &n, e))
		return -1;
	if (n > 0)
		t->context = (int64_t)n;
	return 0;
}

static int add_adapter(struct tuning *t, const char *value, bool has_scale,
		       struct err *e)
{
	struct adapters_flag f = { 0 };
	if (t->n_adapters == LIMIT_LORA_ADAPTERS)
		return err_field(e, "runtime-flags", "more than %d adapters",
				 LIMIT_LORA_ADAPTERS);
	if (adapters_parse(value ? value : "", has_scale, &f, e))
		return -1;
	for (size_t i = 0; i < t->n_adapters; i++) {
		if (strcmp(t->adapters[i].name, f.name) != 0)
			continue;
		err_field(e, "runtime-flags",
			  "two adapters are called '%s': name them, as "
			  "NAME=MODEL",
			  f.name);
		adapters_fini(&f);
		return -1;
	}
	t->adapters = xrealloc(t->adapters,
			       (t->n_adapters + 1) * sizeof *t->adapters);
	t->adapters[t->n_adapters++] = f;
	return 0;
}

static int read_cache(struct tuning *t, const struct flag *f, const char *text,
		      struct err *e)
{
	double n;
	if (read_up_to(f, text, LIMIT_CACHE_MIB, &n, e))
		return -1;
	t->has_cache = true;
	t->cache_mib = (int64_t)n;
	return 0;
}

static int set_special(struct reading *r, const struct flag *f,
		       const char *value, struct err *e)
{
	switch (f->special) {
	case TUNING_CONTEXT:
		return read_context(r->t, f, value, e);
	case TUNING_CACHE_RAM:
		return read_cache(r->t, f, value, e);
	case TUNING_POOLING:
		return set_pooling(r->t, value, e);
	case TUNING_EMBEDDINGS:
		/* DMR's own servers get both for a ranking. */
		if (!r->has_mode)
			set_mode(r, ENGINE_EMBEDDING);
		return 0;
	case TUNING_RERANKING:
		set_mode(r, ENGINE_RERANKING);
		return 0;
	case TUNING_LORA:
	case TUNING_LORA_SCALED:
		return add_adapter(r->t, value,
				   f->special == TUNING_LORA_SCALED, e);
	case TUNING_LORA_UNUSED:
		r->leaves_adapters = true;
		return 0;
	case TUNING_DRAFT_MODEL:
		return drafting_set_model(&r->t->drafting, value, e);
	case TUNING_DRAFT_P_MIN:
		return read_up_to(f, value, 1, &r->t->drafting.p_min, e);
	case TUNING_SPEC_TYPE:
		if (drafting_check_sources(value, e))
			return -1;
		add_arg(r->t, "--spec-type");
		add_arg(r->t, value);
		return 0;
	}
	return 0;
}

static int set_object(struct reading *r, const struct flag *f,
		      const char *value, struct err *e)
{
	json_t *object = NULL;
	struct err why;
	if (json_parse(str_of(value ? value : ""), &object, &why) == 0 &&
	    json_is_object(object)) {
		json_object_set_new(r->defaults, f->target, object);
		return 0;
	}
	json_decref(object);
	return err_field(e, "runtime-flags",
			 "runtime flag \"%s\" takes a JSON object", f->word);
}

static int set_number(struct reading *r, const struct flag *f,
		      const char *value, struct err *e)
{
	double n;
	if (read_number(f, value, &n, e))
		return -1;
	if (f->kind == TUNING_DEFAULT) {
		json_object_set_new(r->defaults, f->target,
				    n == floor(n) ? json_integer((json_int_t)n)
						  : json_real(n));
	} else if (f->target) {
		auto_free char *text = xasprintf("%.0f", n);
		add_arg(r->t, f->target);
		add_arg(r->t, text);
	}
	return 0;
}

static int set_flag(struct reading *r, const struct flag *f, const char *value,
		    struct err *e)
{
	switch (f->kind) {
	case TUNING_OPTION:
	case TUNING_DEFAULT:
		return set_number(r, f, value, e);
	case TUNING_SWITCH:
		json_object_set_new(r->defaults, f->target,
				    json_boolean(f->value));
		return 0;
	case TUNING_OBJECT:
		return set_object(r, f, value, e);
	case TUNING_SPECIAL:
		return set_special(r, f, value, e);
	case TUNING_QUIET:
	case TUNING_QUIET_VALUE:
		return 0;
	}
	return 0;
}

static bool takes_value(const struct flag *f)
{
	return f->kind != TUNING_SWITCH && f->kind != TUNING_QUIET &&
	       !(f->kind == TUNING_SPECIAL &&
		 (f->special == TUNING_EMBEDDINGS ||
		  f->special == TUNING_RERANKING ||
		  f->special == TUNING_LORA_UNUSED));
}

/* A name of the store may have a '/'. */
static bool takes_model(const struct flag *f)
{
	return f->kind == TUNING_SPECIAL &&
	       (f->special == TUNING_LORA || f->special == TUNING_LORA_SCALED ||
		f->special == TUNING_DRAFT_MODEL);
}

/* ---- all of them ---- */

static int check_element(const char *text, struct err *e)
{
	if (strpbrk(text, "/\\"))
		return err_field(e, "runtime-flags",
				 "invalid runtime flag \"%.100s\": paths are "
				 "not allowed (contains '/' or '\\')",
				 text);
	return 0;
}

/* Flag and value may be one element ("--temp=1") or two. */
static int read_flags(struct reading *r, struct err *e)
{
	size_t n = json_array_size(r->list);
	for (size_t i = 0; i < n; i++) {
		const char *text =
			json_string_value(json_array_get(r->list, i));
		const char *equals = strchr(text, '=');
		const char *value = equals ? equals + 1 : NULL;
		struct str word = str_of(text);
		if (equals)
			word.n = (size_t)(equals - text);
		const struct flag *f = find_flag(word);
		if (!f)
			return err_field(
				e, "runtime-flags",
				"runtime flag \"%.*s\" is not allowed for "
				"backend \"llama.cpp\"",
				STR_ARG(str_head(word, 100)));
		if (!value && takes_value(f) && i + 1 < n)
			value = json_string_value(json_array_get(r->list, ++i));
		if ((value && !takes_model(f) && check_element(value, e)) ||
		    set_flag(r, f, value, e))
			return -1;
	}
	for (size_t i = 0; r->leaves_adapters && i < r->t->n_adapters; i++)
		r->t->adapters[i].scale = 0;
	return 0;
}

static int add_word(void *ctx, struct str word, struct err *e)
{
	struct reading *r = ctx;
	if (json_array_size(r->list) == LIMIT_TUNING_FLAGS)
		return err_field(e, "raw-runtime-flags",
				 "more than %d runtime flags",
				 LIMIT_TUNING_FLAGS);
	json_t *text = json_stringn(word.p, word.n);
	if (!text || memchr(word.p, 0, word.n)) {
		json_decref(text);
		return err_field(e, "raw-runtime-flags",
				 "runtime flags must be UTF-8 text");
	}
	json_array_append_new(r->list, text);
	return 0;
}

static int add_list(struct reading *r, const json_t *given, struct err *e)
{
	size_t i;
	json_t *j;
	if (given && !json_is_null(given) && !json_is_array(given))
		return err_field(e, "runtime-flags",
				 "'runtime-flags' must be an array of strings");
	json_array_foreach(given, i, j)
	{
		if (!json_is_string(j))
			return err_field(e, "runtime-flags",
					 "'runtime-flags' must hold strings");
		if (add_word(r, json_str(j), e))
			return -1;
	}
	return 0;
}

/* ---- the body ---- */

static int read_keep_alive(const json_t *body, struct tuning *t, struct err *e)
{
	struct str text = { 0 };
	char shown[DURATION_TEXT_BYTES];
	if (json_get_str(body, "keep_alive", &text, e))
		return -1;
	if (!text.p)
		return 0;
	if (!duration_parse(text, &t->keep_alive_ms))
		return err_field(e, "keep_alive",
				 "'keep_alive' must be a time as text (5m, "
				 "1h30m, 0, or -1 for ever), not '%.*s'",
				 STR_ARG(str_head(text, 100)));
	t->has_keep_alive = true;
	json_object_set_new(
		t->config, "keep_alive",
		json_string(duration_text(t->keep_alive_ms, shown)));
	return 0;
}

static int read_budget(const json_t *body, struct reading *r, struct err *e)
{
	const json_t *own = json_object_get(body, "llamacpp");
	int64_t budget = INT64_MIN;
	if (!own || json_is_null(own))
		return 0;
	if (!json_is_object(own))
		return err_field(e, "llamacpp", "'llamacpp' must be an object");
	if (json_get_int(own, "reasoning-budget", -1, INT32_MAX, &budget, e))
		return -1;
	if (budget == INT64_MIN)
		return 0;
	json_object_set_new(r->defaults, "reasoning_budget",
			    json_integer(budget));
	json_object_set_new(
		r->t->config, "llamacpp",
		json_pack("{s:I}", "reasoning-budget", (json_int_t)budget));
	return 0;
}

/* What this engine cannot do is refused, rather than shown as if it did. */
static int refuse_others(const json_t *body, struct err *e)
{
	if (json_object_size(json_object_get(body, "vllm")))
		return err_field(e, "vllm",
				 "'vllm' is for an engine of that name; "
				 "modeld runs llama.cpp");
	return 0;
}

/* modeld-llama drafts no more than this. */
#define MOST_DRAFTED 16

static int read_drafting(const json_t *body, struct tuning *t, struct err *e)
{
	struct drafting *d = &t->drafting;
	if (drafting_read(body, d, t->config, e))
		return -1;
	if (d->most) {
		auto_free char *most = xasprintf(
			"%d", (int)MIN(d->most, (int64_t)MOST_DRAFTED));
		add_arg(t, "--spec-draft-n-max");
		add_arg(t, most);
	}
	if (d->p_min > 0) {
		auto_free char *p = xasprintf("%.4f", d->p_min);
		add_arg(t, "--spec-draft-p-min");
		add_arg(t, p);
	}
	return 0;
}

static int read_all(const json_t *body, struct reading *r, struct err *e)
{
	struct tuning *t = r->t;
	struct str raw = { 0 };
	int64_t context = 0;
	if (json_get_int(body, "context-size", -1, LIMIT_CONTEXT, &context,
			 e) ||
	    json_get_str(body, "raw-runtime-flags", &raw, e) ||
	    refuse_others(body, e) ||
	    add_list(r, json_object_get(body, "runtime-flags"), e))
		return -1;
	if (context) {
		t->context = context;
		json_object_set_new(t->config, "context-size",
				    json_integer(context));
	}
	if (raw.n && !json_array_size(r->list) &&
	    shellwords_each(raw, add_word, r, e))
		return err_wrap(e, "invalid runtime flags");
	if (json_array_size(r->list))
		json_object_set(t->config, "runtime-flags", r->list);
	return read_flags(r, e) || read_keep_alive(body, t, e) ||
			       read_budget(body, r, e) ||
			       read_drafting(body, t, e)
		       ? -1
		       : 0;
}

int tuning_parse(const json_t *body, struct tuning *out, enum engine_mode *mode,
		 struct err *e)
{
	auto_json *list = json_array(), *defaults = json_object();
	struct reading r = { .t = out, .list = list, .defaults = defaults };
	struct str word = { 0 };
	*out = (struct tuning){ .config = json_object() };
	if (!json_is_object(body))
		return err_set(e, ERR_INVALID,
			       "the body must be a JSON object");
	if (json_get_str(body, "mode", &word, e) || read_all(body, &r, e))
		return -1;
	if (word.n && !engine_mode_parse(word, &r.mode))
		return err_field(e, "mode",
				 "'mode' must be completion, embedding or "
				 "reranking, not '%.*s'",
				 STR_ARG(str_head(word, 100)));
	if (json_object_size(defaults)) {
		auto_free char *text = json_text(defaults);
		add_arg(out, "--defaults");
		add_arg(out, text);
	}
	*mode = r.mode;
	return word.n || r.has_mode ? 0 : TUNING_NO_MODE;
}

void tuning_fini(struct tuning *t)
{
	json_decref(t->config);
	for (size_t i = 0; i < t->n_args; i++)
		free(t->args[i]);
	free(t->args);
	for (size_t i = 0; i < t->n_adapters; i++)
		adapters_fini(&t->adapters[i]);
	free(t->adapters);
	drafting_fini(&t->drafting);
	*t = (struct tuning){ 0 };
}

bool tuning_same(const struct tuning *a, const struct tuning *b)
{
	return json_equal(a->config, b->config);
}
