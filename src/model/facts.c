#include "model/facts.h"
#include "base/json.h"
#include "base/limits.h"
#include "model/gguf.h"
#include "model/safetensors.h"

#include <inttypes.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *copy(struct facts *f, const char *text)
{
	return arena_str(&f->config.arena, str_of(text));
}

/* The arena that the pairs lie in may go; these stay. */
static struct model_config_pair *copy_pairs(
	struct facts *f, const struct model_config_pair *from, size_t n,
	size_t more)
{
	struct model_config_pair *to =
		arena_alloc(&f->config.arena, (n + more) * sizeof *to);
	for (size_t i = 0; i < n; i++)
		to[i] = (struct model_config_pair){ copy(f, from[i].key),
						    copy(f, from[i].value) };
	return to;
}

/* Base 1000 with two decimals, whatever they are: "1.10B", "191.00kB". */
static const char *decimal_text(struct facts *f, uint64_t n,
				const char *const units[], size_t n_units)
{
	double d = (double)n;
	size_t unit = 0;
	for (; d >= 1000 && unit + 1 < n_units; unit++)
		d /= 1000;
	return arena_printf(&f->config.arena, "%.2f%s", d, units[unit]);
}

static const char *size_text(struct facts *f, uint64_t bytes)
{
	static const char *const units[] = { "B",  "kB", "MB", "GB",
					     "TB", "PB", "EB" };
	return decimal_text(f, bytes, units, ARRAY_LEN(units));
}

/* ---- GGUF ---- */

static int read_gguf(const struct part *part, struct gguf_file **out,
		     struct err *e)
{
	auto_close int fd = -1;
	if (parts_open(part->path, &fd, e))
		return -1;
	return gguf_read(fd, out, e) ? err_wrap(e, "%s", part->path) : 0;
}

/* The first file tells what the model is, all of them its size. */
static int sum_gguf(const struct parts *p, struct gguf_file **out,
		    struct err *e)
{
	auto_(gguf_file) first = NULL;
	for (size_t i = 0; i < p->n; i++) {
		auto_(gguf_file) g = NULL;
		if (p->all[i].kind != MANIFEST_GGUF)
			continue;
		if (read_gguf(&p->all[i], &g, e))
			return -1;
		if (!first) {
			first = steal(&g);
			continue;
		}
		first->elements += g->elements;
		first->tensor_bytes += g->tensor_bytes;
	}
	*out = steal(&first);
	return 0;
}

static int take_gguf(const struct parts *p, struct facts *f, struct err *e)
{
	auto_(gguf_file) g = NULL;
	char parameters[GGUF_TEXT_BYTES], size[GGUF_TEXT_BYTES];
	struct model_config *c = &f->config;
	if (sum_gguf(p, &g, e))
		return -1;
	gguf_parameters_text(g->elements, parameters);
	gguf_size_text(g->tensor_bytes, size);
	c->format = "gguf";
	c->parameters = copy(f, parameters);
	c->size = copy(f, size);
	c->quantization = copy(f, g->quantization);
	c->architecture = copy(f, g->architecture);
	c->context_size = g->context_size;
	c->gguf = copy_pairs(f, g->pairs, g->n_pairs, 0);
	c->n_gguf = g->n_pairs;
	return 0;
}

/* ---- safetensors ---- */

struct sum {
	uint64_t n_tensors, elements, bytes;
	const char *dtype; /* NULL: none yet */
};

static int add_safetensors(const struct part *part, struct facts *f,
			   struct sum *sum, struct err *e)
{
	auto_(safetensors) s = NULL;
	auto_close int fd = -1;
	struct stat st;
	struct model_config *c = &f->config;
	if (parts_open(part->path, &fd, e))
		return -1;
	if (safetensors_read(fd, &s, e))
		return err_wrap(e, "%s", part->path);
	if (fstat(fd, &st) < 0)
		return err_sys(e, "stat %s", part->path);
	if (!c->safetensors) {
		c->safetensors = copy_pairs(f, s->pairs, s->n_pairs, 1);
		c->n_safetensors = s->n_pairs;
	}
	if (s->n_tensors && !sum->dtype)
		sum->dtype = copy(f, s->dtype);
	else if (s->n_tensors && strcmp(sum->dtype, s->dtype) != 0)
		sum->dtype = "mixed";
	sum->n_tensors += s->n_tensors;
	sum->bytes += (uint64_t)st.st_size;
	if (__builtin_add_overflow(sum->elements, s->elements, &sum->elements))
		return err_set(e, ERR_INVALID,
			       "%s: no model has so many parameters",
			       part->path);
	return 0;
}

static int by_key(const void *a, const void *b)
{
	const struct model_config_pair *x = a, *y = b;
	return strcmp(x->key, y->key);
}

/* Our own count, also where the file brings a key of that name. */
static void put_count(struct facts *f, uint64_t n_tensors)
{
	static const char key[] = "tensor_count";
	struct model_config *c = &f->config;
	struct model_config_pair *at = c->safetensors;
	struct model_config_pair *end = at + c->n_safetensors;
	while (at < end && strcmp(at->key, key) != 0)
		at++;
	c->n_safetensors += at == end;
	*at = (struct model_config_pair){
		key, arena_printf(&c->arena, "%" PRIu64, n_tensors)
	};
	qsort(c->safetensors, c->n_safetensors, sizeof *at, by_key);
}

/* What Hugging Face's config.json calls the longest context. */
static int64_t context_in(struct str text)
{
	static const char *const keys[] = { "max_position_embeddings",
					    "n_ctx",
					    "n_positions",
					    "max_length",
					    "max_sequence_length",
					    "model_max_length" };
	auto_json *all = NULL;
	struct err unused;
	if (json_parse_bounded(text, LIMIT_CONFIG_MARKS, &all, &unused))
		return 0;
	for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
		const json_t *j = json_object_get(all, keys[i]);
		if (json_is_integer(j) && json_integer_value(j) > 0 &&
		    json_integer_value(j) <= INT32_MAX)
			return json_integer_value(j);
	}
	return 0;
}

/* A config.json that cannot be read says nothing. */
static int64_t context_beside(const struct parts *p, const struct part *weights)
{
	const char *slash = strrchr(weights->name, '/');
	int n = slash ? (int)(slash - weights->name + 1) : 0;
	auto_free char *name = xasprintf("%.*sconfig.json", n, weights->name);
	auto_buf struct buf text;
	struct err unused;
	buf_init(&text, LIMIT_SMALL_BODY_BYTES);
	for (size_t i = 0; i < p->n; i++) {
		auto_close int fd = -1;
		if (strcmp(p->all[i].name, name) != 0)
			continue;
		if (parts_open(p->all[i].path, &fd, &unused) ||
		    buf_read(&text, fd))
			return 0;
		return context_in(buf_str(&text));
	}
	return 0;
}

static int take_safetensors(const struct parts *p, struct facts *f,
			    struct err *e)
{
	static const char *const units[] = { "", "K", "M", "B", "T" };
	struct model_config *c = &f->config;
	struct sum sum = { 0 };
	const struct part *first = NULL;
	for (size_t i = 0; i < p->n; i++) {
		if (p->all[i].kind != MANIFEST_SAFETENSORS)
			continue;
		if (add_safetensors(&p->all[i], f, &sum, e))
			return -1;
		first = first ? first : &p->all[i];
	}
	c->format = "safetensors";
	c->parameters = decimal_text(f, sum.elements, units, ARRAY_LEN(units));
	c->size = size_text(f, sum.bytes);
	c->quantization = sum.dtype ? sum.dtype : "unknown";
	for (size_t i = 0; i < c->n_safetensors; i++)
		if (strcmp(c->safetensors[i].key, "architecture") == 0)
			c->architecture = c->safetensors[i].value;
	c->context_size = context_beside(p, first);
	put_count(f, sum.n_tensors);
	return 0;
}

/* ---- DDUF ---- */

/* A zip that holds a pipeline of diffusers; its name is all that is said. */
static int take_dduf(const struct part *part, struct facts *f, struct err *e)
{
	auto_close int fd = -1;
	struct stat st;
	char magic[4] = "";
	struct model_config *c = &f->config;
	const char *slash = strrchr(part->name, '/');
	const struct model_config_pair pairs[] = {
		{ "dduf_file", slash ? slash + 1 : part->name },
		{ "layout", "dduf" },
	};
	if (parts_open(part->path, &fd, e))
		return -1;
	if (fstat(fd, &st) < 0 || pread(fd, magic, sizeof magic, 0) < 0)
		return err_sys(e, "read %s", part->path);
	if (memcmp(magic, "PK\3\4", sizeof magic) != 0)
		return err_set(e, ERR_INVALID,
			       "%s: this is not a DDUF file: it is no zip",
			       part->path);
	c->format = "diffusers";
	c->architecture = "diffusers";
	c->size = size_text(f, (uint64_t)st.st_size);
	c->diffusers = copy_pairs(f, pairs, ARRAY_LEN(pairs), 0);
	c->n_diffusers = ARRAY_LEN(pairs);
	return 0;
}

/* ---- the whole ---- */

int facts_read(const struct parts *p, struct facts *out, struct err *e)
{
	*out = (struct facts){ 0 };
	struct model_config *c = &out->config;
	arena_init(&c->arena);
	c->format = c->quantization = c->parameters = "";
	c->architecture = c->size = "";
	for (size_t i = 0; i < p->n; i++) {
		if (p->all[i].kind == MANIFEST_GGUF)
			return take_gguf(p, out, e);
		if (p->all[i].kind == MANIFEST_SAFETENSORS)
			return take_safetensors(p, out, e);
		if (p->all[i].kind == MANIFEST_DDUF)
			return take_dduf(&p->all[i], out, e);
	}
	return err_set(e, ERR_INVALID, "there are no weights");
}

void facts_fini(struct facts *f)
{
	arena_fini(&f->config.arena);
}
