#include "oci/index.h"
#include "base/json.h"
#include "oci/gojson.h"

/* ---- reading ---- */

/* Early versions of Docker Model Runner stored the short host name. */
static const char *read_tag(struct arena *a, const char *tag)
{
	static const char legacy[] = "hf.co/";
	if (!str_starts(str_of(tag), legacy))
		return arena_str(a, str_of(tag));
	return arena_printf(a, "huggingface.co/%s", tag + sizeof legacy - 1);
}

/* The length of an array that may be null or absent; -1 if it is no array. */
static int list_length(const json_t *list, const char *name, size_t *n,
		       struct err *e)
{
	if (list && !json_is_null(list) && !json_is_array(list))
		return err_field(e, name, "'%s' must be an array", name);
	*n = json_array_size(list);
	return 0;
}

static int read_model(struct index *x, const json_t *j, struct err *e)
{
	const json_t *tags = json_object_get(j, "tags");
	const json_t *files = json_object_get(j, "files");
	const json_t *id = json_object_get(j, "id");
	struct index_model *m = &x->models[x->n];
	size_t n_tags = 0, n_files = 0;
	if (!json_is_string(id))
		return err_set(e, ERR_INVALID, "a model has no id");
	if (digest_parse(str_of(json_string_value(id)), &m->id, e) ||
	    list_length(tags, "tags", &n_tags, e) ||
	    list_length(files, "files", &n_files, e))
		return -1;
	m->tags = arena_alloc(&x->arena, n_tags * sizeof *m->tags);
	m->files = arena_alloc(&x->arena, n_files * sizeof *m->files);
	for (; m->n_tags < n_tags; m->n_tags++) {
		const json_t *tag = json_array_get(tags, m->n_tags);
		if (!json_is_string(tag))
			return err_set(e, ERR_INVALID, "a tag is no string");
		m->tags[m->n_tags] =
			read_tag(&x->arena, json_string_value(tag));
	}
	for (; m->n_files < n_files; m->n_files++) {
		const json_t *file = json_array_get(files, m->n_files);
		if (digest_parse(str_of(json_string_value(file)),
				 &m->files[m->n_files], e))
			return -1;
	}
	return 0;
}

static int read_models(struct index *x, const json_t *j, struct err *e)
{
	const json_t *models = json_object_get(j, "models");
	size_t n = 0;
	if (!json_is_object(j) && !json_is_null(j))
		return err_set(e, ERR_INVALID, "an object was expected");
	if (list_length(models, "models", &n, e))
		return -1;
	x->cap = n;
	x->models = arena_alloc(&x->arena, n * sizeof *x->models);
	for (; x->n < n; x->n++) {
		if (read_model(x, json_array_get(models, x->n), e))
			return err_wrap(e, "model %zu", x->n);
	}
	return 0;
}

int index_parse(struct str text, struct index **out, struct err *e)
{
	auto_json *j = NULL;
	if (json_parse(text, &j, e))
		return -1;
	auto_(index) x = xcalloc(1, sizeof *x);
	arena_init(&x->arena);
	if (read_models(x, j, e))
		return -1;
	*out = steal(&x);
	return 0;
}

void index_free(struct index *x)
{
	if (x)
		arena_fini(&x->arena);
	free(x);
}

/* ---- writing ---- */

static int write_model(const struct index_model *m, struct buf *out)
{
	char digest[DIGEST_TEXT_BYTES];
	if (buf_printf(out, "    {\n      \"id\": \"%s\",\n      \"tags\": %s",
		       digest_text(&m->id, digest), m->n_tags ? "[" : "null"))
		return BUF_FULL;
	for (size_t i = 0; i < m->n_tags; i++) {
		if (buf_puts(out, i ? ",\n        " : "\n        ") ||
		    gojson_put(out, m->tags[i]))
			return BUF_FULL;
	}
	if (buf_puts(out, m->n_tags ? "\n      ]" : "") ||
	    buf_printf(out, ",\n      \"files\": %s",
		       m->n_files ? "[" : "null"))
		return BUF_FULL;
	for (size_t i = 0; i < m->n_files; i++) {
		if (buf_printf(out, "%s\n        \"%s\"", i ? "," : "",
			       digest_text(&m->files[i], digest)))
			return BUF_FULL;
	}
	return buf_puts(out, m->n_files ? "\n      ]\n    }" : "\n    }");
}

int index_write(const struct index *x, struct buf *out)
{
	if (x->n == 0)
		return buf_puts(out, "{\n  \"models\": null\n}");
	if (buf_puts(out, "{\n  \"models\": [\n"))
		return BUF_FULL;
	for (size_t i = 0; i < x->n; i++) {
		if ((i && buf_puts(out, ",\n")) ||
		    write_model(&x->models[i], out))
			return BUF_FULL;
	}
	return buf_puts(out, "\n  ]\n}");
}

/* ---- looking up and changing ---- */

bool index_has_tag(const struct index_model *m, const char *tag)
{
	for (size_t i = 0; i < m->n_tags; i++) {
		if (strcmp(m->tags[i], tag) == 0)
			return true;
	}
	return false;
}

static bool matches(const struct index_model *m, const struct ref *r,
		    const char *tag)
{
	switch (r->kind) {
	case REF_ID:
		return digest_eq(&m->id, &r->digest);
	case REF_SHORT_ID:
		return str_starts(str_of(m->id.hex), r->short_id);
	case REF_NAME:
		return index_has_tag(m, tag);
	}
	return false;
}

struct index_model *index_find(const struct index *x, const struct ref *r)
{
	char tag[REF_TEXT_BYTES] = "";
	if (r->kind == REF_NAME)
		ref_text(r, tag);
	for (size_t i = 0; i < x->n; i++) {
		if (matches(&x->models[i], r, tag))
			return &x->models[i];
	}
	return NULL;
}

struct index_model *index_add(struct index *x, const struct digest *id,
			      const struct digest *files, size_t n_files)
{
	if (x->n == x->cap) {
		struct index_model *old = x->models;
		x->cap = MAX(2 * x->cap, (size_t)8);
		x->models = arena_alloc(&x->arena, x->cap * sizeof *x->models);
		if (x->n)
			memcpy(x->models, old, x->n * sizeof *old);
	}
	struct index_model *m = &x->models[x->n++];
	*m = (struct index_model){ .id = *id, .n_files = n_files };
	m->files = arena_alloc(&x->arena, n_files * sizeof *files);
	if (n_files)
		memcpy(m->files, files, n_files * sizeof *files);
	return m;
}

void index_untag(struct index_model *m, const char *tag)
{
	size_t kept = 0;
	for (size_t i = 0; i < m->n_tags; i++) {
		if (strcmp(m->tags[i], tag) != 0)
			m->tags[kept++] = m->tags[i];
	}
	m->n_tags = kept;
}

void index_tag(struct index *x, struct index_model *m, const char *tag)
{
	for (size_t i = 0; i < x->n; i++) {
		if (&x->models[i] != m)
			index_untag(&x->models[i], tag);
	}
	if (index_has_tag(m, tag))
		return;
	const char **tags =
		arena_alloc(&x->arena, (m->n_tags + 1) * sizeof *tags);
	if (m->n_tags)
		memcpy(tags, m->tags, m->n_tags * sizeof *tags);
	tags[m->n_tags++] = arena_str(&x->arena, str_of(tag));
	m->tags = tags;
}

void index_remove(struct index *x, struct index_model *m)
{
	size_t after = (size_t)(x->models + x->n - (m + 1));
	memmove(m, m + 1, after * sizeof *m);
	x->n--;
}
