#include "model/safetensors.h"
#include "base/json.h"
#include "base/limits.h"

#include <errno.h>
#include <inttypes.h>
#include <sys/stat.h>
#include <unistd.h>

enum { LENGTH_BYTES = 8 };

struct place {
	uint64_t begin, end; /* in what follows the header */
};

struct reader {
	int fd; /* borrowed */
	uint64_t data_bytes;
	struct place *places; /* owned */
	struct safetensors *out;
	struct err *e;
};

static int invalid(struct err *e, const char *what)
{
	return err_set(e, ERR_INVALID, "not a valid safetensors file: %s",
		       what);
}

static int read_at(int fd, void *out, size_t n, uint64_t at, struct err *e)
{
	char *to = out;
	while (n) {
		ssize_t got = pread(fd, to, n, (off_t)at);
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return err_sys(e, "read the safetensors file");
		if (got == 0)
			return invalid(e,
				       "it became shorter while it was read");
		to += got;
		at += (uint64_t)got;
		n -= (size_t)got;
	}
	return 0;
}

/* ---- tensors ---- */

/* 0: a type that is newer than we are; its size is believed. */
static unsigned bits_of(const char *dtype)
{
	static const struct {
		const char *name;
		unsigned bits;
	} rows[] = {
		{ "F64", 64 },	  { "F32", 32 },    { "F16", 16 },
		{ "BF16", 16 },	  { "I64", 64 },    { "I32", 32 },
		{ "I16", 16 },	  { "I8", 8 },	    { "U64", 64 },
		{ "U32", 32 },	  { "U16", 16 },    { "U8", 8 },
		{ "BOOL", 8 },	  { "F8_E4M3", 8 }, { "F8_E5M2", 8 },
		{ "F8_E8M0", 8 }, { "F6_E2M3", 6 }, { "F6_E3M2", 6 },
		{ "F4", 4 },	  { "C64", 64 },
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (strcmp(rows[i].name, dtype) == 0)
			return rows[i].bits;
	return 0;
}

static bool take_u64(const json_t *j, uint64_t *out)
{
	*out = (uint64_t)json_integer_value(j);
	return json_is_integer(j) && json_integer_value(j) >= 0;
}

static bool take_shape(const json_t *shape, uint64_t *elements)
{
	size_t i;
	json_t *dim;
	uint64_t n;
	*elements = 1;
	if (!json_is_array(shape))
		return false;
	json_array_foreach((json_t *)shape, i, dim)
	{
		if (!take_u64(dim, &n) ||
		    __builtin_mul_overflow(*elements, n, elements))
			return false;
	}
	return true;
}

static int take_tensor(struct reader *r, const char *name, const json_t *j)
{
	struct safetensors *s = r->out;
	struct place *at = &r->places[s->n_tensors];
	const json_t *places = json_object_get(j, "data_offsets");
	const char *dtype = json_string_value(json_object_get(j, "dtype"));
	uint64_t elements, bits;
	if (!dtype || !take_shape(json_object_get(j, "shape"), &elements) ||
	    json_array_size(places) != 2 ||
	    !take_u64(json_array_get(places, 0), &at->begin) ||
	    !take_u64(json_array_get(places, 1), &at->end))
		return err_set(r->e, ERR_INVALID,
			       "not a valid safetensors file: the tensor "
			       "'%.100s' needs dtype, shape and data_offsets",
			       name);
	if (at->begin > at->end || at->end > r->data_bytes ||
	    __builtin_mul_overflow(elements, bits_of(dtype), &bits) ||
	    (bits_of(dtype) && (bits % 8 || bits / 8 != at->end - at->begin)) ||
	    __builtin_add_overflow(s->elements, elements, &s->elements))
		return err_set(r->e, ERR_INVALID,
			       "not a valid safetensors file: the tensor "
			       "'%.100s' has a wrong shape or place",
			       name);
	if (s->n_tensors++ == 0)
		s->dtype = arena_str(&s->arena, str_of(dtype));
	else if (strcmp(s->dtype, dtype) != 0)
		s->dtype = "mixed";
	return 0;
}

static int by_place(const void *a, const void *b)
{
	const struct place *x = a, *y = b;
	if (x->begin != y->begin)
		return x->begin < y->begin ? -1 : 1;
	return (x->end > y->end) - (x->end < y->end);
}

/* Without holes and overlaps nothing can hide in the file. */
static int check_places(struct reader *r)
{
	uint64_t end = 0;
	size_t n = (size_t)r->out->n_tensors;
	if (n)
		qsort(r->places, n, sizeof *r->places, by_place);
	for (size_t i = 0; i < n; i++) {
		if (r->places[i].begin != end)
			return invalid(r->e, "its tensors overlap, or leave "
					     "holes between them");
		end = r->places[i].end;
	}
	if (end != r->data_bytes)
		return err_set(r->e, ERR_INVALID,
			       "the safetensors file is cut or too long: its "
			       "tensors have %" PRIu64
			       " bytes, and there are %" PRIu64,
			       end, r->data_bytes);
	return 0;
}

/* ---- metadata ---- */

static int by_key(const void *a, const void *b)
{
	const struct model_config_pair *x = a, *y = b;
	return strcmp(x->key, y->key);
}

static int take_metadata(struct safetensors *s, const json_t *map,
			 struct err *e)
{
	const char *key;
	json_t *value;
	if (!json_is_object(map))
		return invalid(e, "__metadata__ must be an object");
	if (json_object_size(map) > LIMIT_SAFETENSORS_KEYS)
		return err_set(e, ERR_TOO_LARGE,
			       "the safetensors file has more than %d keys in "
			       "__metadata__",
			       LIMIT_SAFETENSORS_KEYS);
	s->pairs = arena_alloc(&s->arena,
			       json_object_size(map) * sizeof *s->pairs);
	json_object_foreach((json_t *)map, key, value)
	{
		if (!json_is_string(value))
			return invalid(e, "__metadata__ must hold strings");
		s->pairs[s->n_pairs++] = (struct model_config_pair){
			arena_str(&s->arena, str_of(key)),
			arena_str(&s->arena, str_of(json_string_value(value))),
		};
	}
	if (s->n_pairs)
		qsort(s->pairs, s->n_pairs, sizeof *s->pairs, by_key);
	return 0;
}

/* ---- the whole ---- */

static int take_header(struct reader *r, struct str text)
{
	auto_json *all = NULL;
	const char *name;
	json_t *value;
	if (!str_starts(text, "{"))
		return invalid(r->e, "its header is no JSON object");
	if (json_parse_bounded(text, LIMIT_SAFETENSORS_MARKS, &all, r->e))
		return err_wrap(r->e, "not a valid safetensors file");
	if (!json_is_object(all))
		return invalid(r->e, "its header is no JSON object");
	r->places = xcalloc(json_object_size(all) + 1, sizeof *r->places);
	json_object_foreach(all, name, value)
	{
		bool is_metadata = strcmp(name, "__metadata__") == 0;
		if (is_metadata ? take_metadata(r->out, value, r->e)
				: take_tensor(r, name, value))
			return -1;
	}
	return check_places(r);
}

static int read_header(struct reader *r, uint64_t file_bytes)
{
	unsigned char raw[LENGTH_BYTES];
	uint64_t n = 0;
	if (file_bytes < sizeof raw)
		return invalid(r->e, "it is too short");
	if (read_at(r->fd, raw, sizeof raw, 0, r->e))
		return -1;
	for (size_t i = 0; i < sizeof raw; i++)
		n |= (uint64_t)raw[i] << (8 * i);
	if (n > file_bytes - sizeof raw)
		return invalid(r->e, "its header is longer than the file");
	if (n > LIMIT_SAFETENSORS_HEADER_BYTES)
		return err_set(r->e, ERR_TOO_LARGE,
			       "the header of the safetensors file has %" PRIu64
			       " bytes, more than the %u allowed",
			       n, LIMIT_SAFETENSORS_HEADER_BYTES);
	auto_free char *text = xcalloc(1, (size_t)n + 1);
	r->data_bytes = file_bytes - sizeof raw - n;
	if (read_at(r->fd, text, (size_t)n, sizeof raw, r->e))
		return -1;
	return take_header(r, (struct str){ text, (size_t)n });
}

int safetensors_read(int fd, struct safetensors **out, struct err *e)
{
	struct stat st;
	if (fstat(fd, &st) < 0)
		return err_sys(e, "stat the safetensors file");
	if (!S_ISREG(st.st_mode))
		return err_set(e, ERR_INVALID, "this is not a regular file");
	auto_(safetensors) s = xcalloc(1, sizeof *s);
	arena_init(&s->arena);
	s->dtype = "unknown";
	struct reader r = { .fd = fd, .out = s, .e = e };
	int failed = read_header(&r, (uint64_t)st.st_size);
	free(r.places);
	if (failed)
		return -1;
	*out = steal(&s);
	return 0;
}

void safetensors_free(struct safetensors *s)
{
	if (s)
		arena_fini(&s->arena);
	free(s);
}
