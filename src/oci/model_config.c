#include "oci/model_config.h"
#include "base/json.h"
#include "base/limits.h"
#include "oci/gojson.h"

#include <inttypes.h>
#include <stdio.h>
#include <time.h>

/* ---- reading ---- */

/* Two digits at `at`, or -1. */
static int two(struct str s, size_t at)
{
	uint64_t v;
	return str_to_u64(str_head(str_tail(s, at), 2), &v) && at + 2 <= s.n
		       ? (int)v
		       : -1;
}

/* "2026-11-22T16:03:10.97Z", "...+01:00"; 0 if it is no such time. */
static int64_t unix_time(struct str s)
{
	static const char form[] = "0000-00-00T00:00:00";
	struct tm tm = { 0 };
	if (s.n < sizeof form)
		return 0;
	for (size_t i = 0; i < sizeof form - 1; i++) {
		bool digit = s.p[i] >= '0' && s.p[i] <= '9';
		if (form[i] == '0' ? !digit : s.p[i] != form[i])
			return 0;
	}
	tm.tm_year = two(s, 0) * 100 + two(s, 2) - 1900;
	tm.tm_mon = two(s, 5) - 1;
	tm.tm_mday = two(s, 8);
	tm.tm_hour = two(s, 11);
	tm.tm_min = two(s, 14);
	tm.tm_sec = two(s, 17);
	int64_t t = timegm(&tm);
	struct str zone = str_tail(s, s.n - MIN(s.n, 6));
	bool is_offset = zone.p[0] == '+' || zone.p[0] == '-';
	if (is_offset && two(zone, 1) >= 0 && two(zone, 4) >= 0) {
		int64_t offset = two(zone, 1) * 3600 + two(zone, 4) * 60;
		t -= zone.p[0] == '+' ? offset : -offset;
	}
	return t;
}

static int by_key(const void *a, const void *b)
{
	const struct model_config_pair *x = a, *y = b;
	return strcmp(x->key, y->key);
}

static int read_gguf(struct model_config *c, const json_t *map, struct err *e)
{
	const char *key;
	json_t *value;
	if (!map)
		return 0;
	if (!json_is_object(map))
		return err_field(e, "gguf", "'gguf' must be an object");
	c->gguf =
		arena_alloc(&c->arena, json_object_size(map) * sizeof *c->gguf);
	json_object_foreach((json_t *)map, key, value)
	{
		if (!json_is_string(value))
			return err_field(e, "gguf", "'%s' must be a string",
					 key);
		c->gguf[c->n_gguf++] = (struct model_config_pair){
			arena_str(&c->arena, str_of(key)),
			arena_str(&c->arena, str_of(json_string_value(value))),
		};
	}
	if (c->n_gguf)
		qsort(c->gguf, c->n_gguf, sizeof *c->gguf, by_key);
	return 0;
}

static int read_text(struct model_config *c, const json_t *from,
		     const char *name, const char **out, struct err *e)
{
	struct str s = STR("");
	if (json_get_str(from, name, &s, e))
		return -1;
	*out = arena_str(&c->arena, s);
	return 0;
}

static int read_inner(struct model_config *c, const json_t *j, struct err *e)
{
	if (!json_is_object(j))
		return err_field(e, "config", "'config' must be an object");
	if (read_text(c, j, "format", &c->format, e) ||
	    read_text(c, j, "quantization", &c->quantization, e) ||
	    read_text(c, j, c->is_cncf ? "paramSize" : "parameters",
		      &c->parameters, e) ||
	    read_text(c, j, "architecture", &c->architecture, e) ||
	    read_text(c, j, c->is_cncf ? "paramSize" : "size", &c->size, e) ||
	    json_get_int(j, "context_size", 0, INT32_MAX, &c->context_size, e))
		return -1;
	auto_free char *text = json_text(j);
	c->json = str_of(arena_str(&c->arena, str_of(text)));
	return read_gguf(c, json_object_get(j, "gguf"), e);
}

static int read_diff_ids(struct model_config *c, const json_t *list,
			 struct err *e)
{
	size_t n = json_array_size(list); /* 0 if it is none */
	if (n > LIMIT_LAYERS)
		return err_set(e, ERR_INVALID, "%zu layers are too many", n);
	c->diff_ids = arena_alloc(&c->arena, n * sizeof *c->diff_ids);
	while (c->n_diff_ids < n) {
		const json_t *item = json_array_get(list, c->n_diff_ids);
		if (digest_parse(str_of(json_string_value(item)),
				 &c->diff_ids[c->n_diff_ids], e))
			return err_wrap(e, "diff id %zu", c->n_diff_ids);
		c->n_diff_ids++;
	}
	return 0;
}

static int read_config(struct model_config *c, const json_t *j, struct err *e)
{
	const json_t *inner = json_object_get(j, "config");
	const json_t *descriptor = json_object_get(j, "descriptor");
	const json_t *rootfs = json_object_get(j, "rootfs");
	const json_t *modelfs = json_object_get(j, "modelfs");
	if (!json_is_object(j))
		return err_set(e, ERR_INVALID, "an object was expected");
	c->is_cncf = modelfs || json_object_get(inner, "paramSize") ||
		     json_object_get(descriptor, "createdAt");
	if (read_inner(c, inner, e) ||
	    read_text(c, descriptor, c->is_cncf ? "createdAt" : "created",
		      &c->created, e))
		return -1;
	c->created_s = unix_time(str_of(c->created));
	return read_diff_ids(c,
			     c->is_cncf ? json_object_get(modelfs, "diffIds")
					: json_object_get(rootfs, "diff_ids"),
			     e);
}

int model_config_parse(struct str text, struct model_config **out,
		       struct err *e)
{
	auto_json *j = NULL;
	if (text.n > LIMIT_CONFIG_BLOB_BYTES)
		return err_set(e, ERR_TOO_LARGE,
			       "a model config of %zu bytes is more than the "
			       "%u allowed",
			       text.n, LIMIT_CONFIG_BLOB_BYTES);
	if (json_parse_bounded(text, LIMIT_CONFIG_MARKS, &j, e))
		return err_wrap(e, "model config");
	auto_(model_config) c = xcalloc(1, sizeof *c);
	arena_init(&c->arena);
	if (read_config(c, j, e))
		return err_wrap(e, "model config");
	*out = steal(&c);
	return 0;
}

void model_config_free(struct model_config *c)
{
	if (c)
		arena_fini(&c->arena);
	free(c);
}

const char *model_config_find(const struct model_config *c, const char *key)
{
	struct model_config_pair want = { key, NULL };
	const struct model_config_pair *hit =
		c->n_gguf ? bsearch(&want, c->gguf, c->n_gguf, sizeof want,
				    by_key)
			  : NULL;
	return hit ? hit->value : NULL;
}

/* ---- writing ---- */

static int write_pair(struct buf *out, const char *sep, const char *key,
		      const char *value)
{
	if (buf_puts(out, sep) || gojson_put(out, key) || buf_puts(out, ":"))
		return BUF_FULL;
	return gojson_put(out, value);
}

static int write_texts(const struct model_config_pair *texts, size_t n,
		       const char **sep, struct buf *out)
{
	for (size_t i = 0; i < n; i++) {
		if (!texts[i].value[0])
			continue;
		if (write_pair(out, *sep, texts[i].key, texts[i].value))
			return BUF_FULL;
		*sep = ",";
	}
	return 0;
}

static int write_map(const char *name, const struct model_config_pair *pairs,
		     size_t n, const char **sep, struct buf *out)
{
	if (n == 0)
		return 0;
	if (buf_printf(out, "%s\"%s\":{", *sep, name))
		return BUF_FULL;
	for (size_t i = 0; i < n; i++)
		if (write_pair(out, i ? "," : "", pairs[i].key, pairs[i].value))
			return BUF_FULL;
	*sep = ",";
	return buf_puts(out, "}");
}

static int write_inner(const struct model_config *c, struct buf *out)
{
	const struct model_config_pair texts[] = {
		{ "format", c->format },
		{ "quantization", c->quantization },
		{ "parameters", c->parameters },
		{ "architecture", c->architecture },
		{ "size", c->size },
	};
	const char *sep = "";
	if (write_texts(texts, ARRAY_LEN(texts), &sep, out) ||
	    write_map("gguf", c->gguf, c->n_gguf, &sep, out) ||
	    write_map("safetensors", c->safetensors, c->n_safetensors, &sep,
		      out) ||
	    write_map("diffusers", c->diffusers, c->n_diffusers, &sep, out))
		return BUF_FULL;
	if (c->context_size && buf_printf(out, "%s\"context_size\":%" PRId64,
					  sep, c->context_size))
		return BUF_FULL;
	return 0;
}

static int write_diff_ids(const struct model_config *c, struct buf *out)
{
	char digest[DIGEST_TEXT_BYTES];
	for (size_t i = 0; i < c->n_diff_ids; i++)
		if (buf_printf(out, "%s\"%s\"", i ? "," : "",
			       digest_text(&c->diff_ids[i], digest)))
			return BUF_FULL;
	return 0;
}

static int write_cncf(const struct model_config *c, struct buf *out)
{
	const struct model_config_pair texts[] = {
		{ "architecture", c->architecture },
		{ "format", c->format },
		{ "paramSize", c->parameters },
		{ "quantization", c->quantization },
	};
	const char *sep = "";
	if (buf_puts(out, "{\"descriptor\":{\"createdAt\":") ||
	    gojson_put(out, c->created) ||
	    (c->architecture[0] &&
	     write_pair(out, ",", "family", c->architecture)) ||
	    buf_puts(out, "},\"modelfs\":{\"type\":\"layers\",\"diffIds\":[") ||
	    write_diff_ids(c, out) || buf_puts(out, "]},\"config\":{") ||
	    write_texts(texts, ARRAY_LEN(texts), &sep, out))
		return BUF_FULL;
	return buf_puts(out, "}}");
}

int model_config_write(const struct model_config *c, struct buf *out)
{
	if (c->is_cncf)
		return write_cncf(c, out);
	if (buf_puts(out, "{\"config\":{") || write_inner(c, out) ||
	    buf_puts(out, "},\"descriptor\":{\"created\":") ||
	    gojson_put(out, c->created) ||
	    buf_puts(out, "},\"rootfs\":{\"type\":\"rootfs\",\"diff_ids\":[") ||
	    write_diff_ids(c, out))
		return BUF_FULL;
	return buf_puts(out, "]}}");
}
