#include "llama/schema.h"
#include "llama/pattern.h"
#include "base/limits.h"

#include <math.h>

/* With one bound llama.cpp makes integers of one digit rightly; beyond it loses
 * zeros ("1000 or more" takes 11) and then count of the digits. */
#define ONE_SIDED 9
/* About the largest double that is a 64-bit integer, to either side. */
#define LARGEST 9.2e18

struct fit {
	const char *field;
	bool strict;
	struct err *e;
};

static int fit_pattern(struct fit *f, json_t *s)
{
	json_t *pattern = json_object_get(s, "pattern");
	auto_buf struct buf out;
	buf_init(&out, LIMIT_SMALL_BODY_BYTES);
	if (!json_is_string(pattern))
		return 0;
	if (pattern_rewrite(json_str(pattern), &out) == 0)
		return json_object_set_new(s, "pattern",
					   json_stringn(out.p, out.n));
	if (f->strict)
		return err_field(f->e, f->field,
				 "'strict': the pattern '%.200s' cannot be "
				 "enforced: leave it out, or 'strict'",
				 json_string_value(pattern));
	return json_object_del(s, "pattern");
}

static int fit_count(struct fit *f, const json_t *s, const char *name,
		     double *out)
{
	const json_t *j = json_object_get(s, name);
	*out = json_number_value(j);
	/* An object: these are members, and this is the name of one. */
	if (j && !json_is_object(j) &&
	    (!json_is_number(j) || *out < 0 || *out != floor(*out)))
		return err_field(f->e, f->field,
				 "'%s' of a schema must be a whole number, 0 "
				 "or more",
				 name);
	return 0;
}

/* What is larger than the ceiling is still kept to by a smaller maximum; for
 * who did not ask for it, none is better than one that cuts. */
static int fit_counts(struct fit *f, json_t *s, const char *least,
		      const char *most)
{
	double from, to;
	if (fit_count(f, s, least, &from) || fit_count(f, s, most, &to))
		return -1;
	if (from > LIMIT_SCHEMA_COUNT)
		return err_field(f->e, f->field,
				 "'%s' of a schema may be %d, not %.0f", least,
				 LIMIT_SCHEMA_COUNT, from);
	if (json_object_get(s, most) && from > to)
		return err_field(f->e, f->field,
				 "no value can have both '%s' %.0f and '%s' "
				 "%.0f",
				 least, from, most, to);
	if (to <= LIMIT_SCHEMA_COUNT)
		return 0;
	return f->strict ? json_object_set_new(s, most,
					       json_integer(LIMIT_SCHEMA_COUNT))
			 : json_object_del(s, most);
}

static int64_t whole(double d)
{
	return d > LARGEST ? INT64_MAX : d < -LARGEST ? INT64_MIN : (int64_t)d;
}

/* The bound that is inside by `step`, or *out as it is if there is none. */
static int read_bound(struct fit *f, const json_t *s, const char *name,
		      bool is_least, int64_t step, int64_t *out)
{
	const json_t *j = json_object_get(s, name);
	double d = json_number_value(j);
	if (!j)
		return 0;
	if (!json_is_number(j))
		return err_field(f->e, f->field,
				 "'%s' of a schema must be a number", name);
	bool is_up = is_least == (step == 0);
	int64_t n = json_is_integer(j) ? json_integer_value(j)
				       : whole(is_up ? ceil(d) : floor(d));
	if (step && n != INT64_MIN && n != INT64_MAX)
		n += step;
	*out = is_least ? MAX(*out, n) : MIN(*out, n);
	return 0;
}

static void set_bound(json_t *s, const char *name, const char *exclusive,
		      int64_t value)
{
	json_object_del(s, exclusive);
	json_object_del(s, name);
	if (value != INT64_MIN && value != INT64_MAX)
		json_object_set_new(s, name, json_integer(value));
}

/* What the type says, where it says one; types of a list are made from it. */
static bool may_be_integer(const json_t *s)
{
	const json_t *type = json_object_get(s, "type");
	const char *word = json_string_value(type);
	size_t i;
	json_t *j;
	json_array_foreach(type, i, j)
	{
		if (json_is_string(j) &&
		    strcmp(json_string_value(j), "integer") == 0)
			return true;
	}
	return word && strcmp(word, "integer") == 0;
}

static int fit_integer(struct fit *f, json_t *s)
{
	int64_t least = INT64_MIN, most = INT64_MAX;
	if (!may_be_integer(s))
		return 0;
	if (read_bound(f, s, "minimum", true, 0, &least) ||
	    read_bound(f, s, "exclusiveMinimum", true, 1, &least) ||
	    read_bound(f, s, "maximum", false, 0, &most) ||
	    read_bound(f, s, "exclusiveMaximum", false, -1, &most))
		return -1;
	if (least > most || least == INT64_MAX || most == INT64_MIN)
		return err_field(f->e, f->field,
				 "no integer is from the minimum to the "
				 "maximum of the schema");
	if (least > ONE_SIDED && most == INT64_MAX)
		most--;
	if (most < 0 && least == INT64_MIN)
		least += 2; /* its negative is a number too */
	set_bound(s, "minimum", "exclusiveMinimum", least);
	set_bound(s, "maximum", "exclusiveMaximum", most);
	return 0;
}

/* Its depth is bounded, as the body's it came in. */
static int fit_any(void *fit, json_t *s)
{
	struct fit *f = fit;
	if (json_is_object(s) &&
	    (fit_pattern(f, s) || fit_counts(f, s, "minLength", "maxLength") ||
	     fit_counts(f, s, "minItems", "maxItems") || fit_integer(f, s)))
		return -1;
	return schema_each(s, fit_any, f);
}

int schema_fit(json_t *schema, bool strict, const char *field, struct err *e)
{
	struct fit f = { .field = field, .strict = strict, .e = e };
	return fit_any(&f, schema);
}
