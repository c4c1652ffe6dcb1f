#include "model/gguf.h"
#include "base/limits.h"
#include "model/gguf_reader.h"
#include "model/gguf_types.h"

#include <inttypes.h>
#include <stdio.h>
#include <sys/stat.h>

/* As llama.cpp has them; a name's end counts there. */
enum { MAX_DIMENSIONS = 4, TENSOR_NAME_BYTES = 63 };

struct header {
	struct gguf_reader r;
	uint64_t alignment;
	uint64_t tensors_end; /* of those so far, from the data's start */
	struct gguf_file *out;
};

/* ---- the metadata ---- */

static int take_pair(struct header *h, size_t *kept_bytes)
{
	struct gguf_file *g = h->out;
	auto_buf struct buf key, value;
	uint64_t type;
	bool is_shown;
	buf_init(&key, LIMIT_GGUF_KEY_BYTES);
	buf_init(&value, LIMIT_GGUF_STRING_BYTES);
	if (gguf_reader_string(&h->r, &key) ||
	    gguf_reader_uint(&h->r, 4, &type))
		return -1;
	if (gguf_reader_value(&h->r, type, &value, &is_shown))
		return err_wrap(h->r.e, "%.100s", key.p ? key.p : "");
	if (!is_shown)
		return 0;
	*kept_bytes += key.n + value.n;
	if (*kept_bytes > LIMIT_GGUF_METADATA_BYTES)
		return gguf_reader_invalid(&h->r, "its metadata is too large");
	g->pairs[g->n_pairs++] = (struct model_config_pair){
		arena_str(&g->arena, buf_str(&key)),
		arena_str(&g->arena, buf_str(&value)),
	};
	return 0;
}

static int by_key(const void *a, const void *b)
{
	const struct model_config_pair *x = a, *y = b;
	return strcmp(x->key, y->key);
}

static int take_pairs(struct header *h, uint64_t n)
{
	struct gguf_file *g = h->out;
	size_t kept_bytes = 0;
	g->pairs = arena_alloc(&g->arena, n * sizeof *g->pairs);
	for (uint64_t i = 0; i < n; i++) {
		if (take_pair(h, &kept_bytes))
			return -1;
	}
	if (g->n_pairs)
		qsort(g->pairs, g->n_pairs, sizeof *g->pairs, by_key);
	for (size_t i = 1; i < g->n_pairs; i++) {
		if (by_key(&g->pairs[i - 1], &g->pairs[i]) == 0)
			return err_set(h->r.e, ERR_INVALID,
				       "not a valid GGUF file: '%.100s' is "
				       "given twice",
				       g->pairs[i].key);
	}
	return 0;
}

const char *gguf_find(const struct gguf_file *g, const char *key)
{
	struct model_config_pair want = { key, NULL };
	const struct model_config_pair *hit =
		g->n_pairs ? bsearch(&want, g->pairs, g->n_pairs, sizeof want,
				     by_key)
			   : NULL;
	return hit ? hit->value : NULL;
}

static bool find_number(const struct gguf_file *g, const char *key,
			uint64_t *out)
{
	const char *text = gguf_find(g, key);
	return text && str_to_u64(str_of(text), out);
}

/* ---- the tensors ---- */

static bool add(uint64_t *sum, uint64_t more)
{
	return !__builtin_add_overflow(*sum, more, sum);
}

/* What llama.cpp counts in signed numbers must fit them, and it divides by each
 * dimension. */
static int take_dimensions(struct header *h, uint64_t *first,
			   uint64_t *elements)
{
	uint64_t n_dims, dim;
	*first = *elements = 1;
	if (gguf_reader_uint(&h->r, 4, &n_dims))
		return -1;
	if (n_dims > MAX_DIMENSIONS)
		return gguf_reader_invalid(&h->r,
					   "a tensor has too many dimensions");
	for (uint64_t i = 0; i < n_dims; i++) {
		if (gguf_reader_uint(&h->r, 8, &dim))
			return -1;
		*first = i ? *first : dim;
		if (!dim)
			return gguf_reader_invalid(&h->r, "a tensor is empty");
		if (__builtin_mul_overflow(*elements, dim, elements) ||
		    *elements > INT64_MAX)
			return gguf_reader_invalid(&h->r,
						   "a tensor is too large");
	}
	return 0;
}

static int take_tensor(struct header *h)
{
	uint64_t type, offset, first, elements;
	struct gguf_tensor_type t;
	auto_buf struct buf name;
	buf_init(&name, TENSOR_NAME_BYTES);
	if (gguf_reader_string(&h->r, &name) ||
	    take_dimensions(h, &first, &elements) ||
	    gguf_reader_uint(&h->r, 4, &type) ||
	    gguf_reader_uint(&h->r, 8, &offset))
		return -1;
	t = gguf_types_tensor(type);
	if (!t.block)
		return err_set(h->r.e, ERR_UNSUPPORTED,
			       "the GGUF file has tensors of type %" PRIu64
			       ", which this version does not know",
			       type);
	uint64_t bytes, end = offset;
	if (first % t.block || offset % h->alignment ||
	    __builtin_mul_overflow(elements / t.block, t.bytes, &bytes) ||
	    !add(&end, bytes) || !add(&h->out->elements, elements) ||
	    !add(&h->out->tensor_bytes, bytes))
		return gguf_reader_invalid(
			&h->r, "a tensor has a wrong shape or place");
	/* Writers put them one after the other, and so llama.cpp wants them. */
	if (offset < h->tensors_end)
		return gguf_reader_invalid(
			&h->r, "a tensor lies in another one or before it");
	h->tensors_end = end;
	h->out->has_positions |= str_eq(buf_str(&name), "position_embd.weight");
	return 0;
}

static int take_tensors(struct header *h)
{
	for (uint64_t i = 0; i < h->out->n_tensors; i++) {
		if (take_tensor(h))
			return -1;
	}
	uint64_t data = h->r.at;
	if (!h->tensors_end)
		return 0;
	if (!add(&data, h->alignment - 1))
		return gguf_reader_invalid(&h->r, "it is too large");
	data -= data % h->alignment;
	if (data > h->r.file_bytes || h->tensors_end > h->r.file_bytes - data)
		return err_set(h->r.e, ERR_INVALID,
			       "the GGUF file is cut: its tensors need %" PRIu64
			       " bytes after byte %" PRIu64
			       ", and it has %" PRIu64 " in all",
			       h->tensors_end, data, h->r.file_bytes);
	return 0;
}

/* ---- the whole ---- */

static int take_start(struct header *h, uint64_t *n_pairs)
{
	char magic[4];
	uint64_t version;
	struct gguf_file *g = h->out;
	if ((h->r.file_bytes - h->r.at) < sizeof magic ||
	    gguf_reader_bytes(&h->r, magic, sizeof magic) ||
	    memcmp(magic, "GGUF", 4) != 0)
		return err_set(
			h->r.e, ERR_INVALID,
			"this is not a GGUF file: it does not begin with "
			"\"GGUF\"");
	if (gguf_reader_uint(&h->r, 4, &version))
		return -1;
	if (version != 2 && version != 3)
		return err_set(h->r.e, ERR_UNSUPPORTED,
			       version & 0xffff
				       ? "GGUF version %" PRIu64
					 " is not supported: 2 and 3 are"
				       : "this GGUF file is for big-endian "
					 "machines (version %#" PRIx64 ")",
			       version);
	if (gguf_reader_uint(&h->r, 8, &g->n_tensors) ||
	    gguf_reader_uint(&h->r, 8, n_pairs))
		return -1;
	if (g->n_tensors > LIMIT_GGUF_TENSORS || *n_pairs > LIMIT_GGUF_KEYS)
		return gguf_reader_invalid(&h->r,
					   "it has too many tensors or keys");
	return 0;
}

/* What the metadata says of the file as a whole. */
static int interpret(struct header *h)
{
	struct gguf_file *g = h->out;
	uint64_t n;
	const char *architecture = gguf_find(g, "general.architecture");
	g->architecture = architecture ? architecture : "llama";
	g->quantization = gguf_types_file(
		find_number(g, "general.file_type", &n) ? n : UINT64_MAX);
	const char *key =
		arena_printf(&g->arena, "%s.context_length", g->architecture);
	if (find_number(g, key, &n) && n <= INT32_MAX)
		g->context_size = (int64_t)n;
	h->alignment = 32;
	if (find_number(g, "general.alignment", &n))
		h->alignment = n;
	if (!h->alignment || h->alignment & (h->alignment - 1))
		return gguf_reader_invalid(
			&h->r, "its alignment is not a power of two");
	return 0;
}

static int take_all(struct header *h)
{
	uint64_t n_pairs = 0;
	if (take_start(h, &n_pairs) || take_pairs(h, n_pairs) || interpret(h))
		return -1;
	return take_tensors(h);
}

int gguf_read(int fd, struct gguf_file **out, struct err *e)
{
	struct stat st;
	if (fstat(fd, &st) < 0)
		return err_sys(e, "stat the GGUF file");
	if (!S_ISREG(st.st_mode))
		return err_set(e, ERR_INVALID, "this is not a regular file");
	auto_(gguf_file) g = xcalloc(1, sizeof *g);
	arena_init(&g->arena);
	struct header *h = xcalloc(1, sizeof *h);
	h->r.fd = fd;
	h->r.file_bytes = (uint64_t)st.st_size;
	h->r.e = e;
	h->out = g;
	int result = take_all(h);
	free(h);
	if (result == 0)
		*out = steal(&g);
	return result;
}

void gguf_file_free(struct gguf_file *g)
{
	if (g)
		arena_fini(&g->arena);
	free(g);
}

/* ---- numbers for people ---- */

static void scaled_text(uint64_t n, double base, const char *const units[],
			size_t n_units, char out[GGUF_TEXT_BYTES])
{
	double d = (double)n;
	size_t unit = 0;
	char text[GGUF_TEXT_BYTES];
	while (d >= base && unit + 1 < n_units) {
		d /= base;
		unit++;
	}
	snprintf(text, sizeof text, "%.2f", d);
	if (str_ends(str_of(text), ".00"))
		text[strlen(text) - 3] = '\0';
	snprintf(out, GGUF_TEXT_BYTES, "%s%s", text, units[unit]);
}

void gguf_parameters_text(uint64_t elements, char out[GGUF_TEXT_BYTES])
{
	static const char *const units[] = { "", "K", "M", "B", "T" };
	scaled_text(elements, 1000, units, ARRAY_LEN(units), out);
}

void gguf_size_text(uint64_t bytes, char out[GGUF_TEXT_BYTES])
{
	static const char *const units[] = { "B", "KiB", "MiB", "GiB", "TiB" };
	scaled_text(bytes, 1024, units, ARRAY_LEN(units), out);
}
