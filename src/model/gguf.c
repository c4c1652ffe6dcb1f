/* A header is read once, front to back, through a window of the file. Nothing
 * is allocated for a length that the file claims before the file is known to be
 * long enough to hold it. */
#include "model/gguf.h"
#include "base/limits.h"
#include "model/gguf_types.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

enum { WINDOW_BYTES = 65536, SHOWN_ELEMENTS = 50, MAX_DIMENSIONS = 4 };

/* The types of metadata values, by number. */
enum value_type {
	T_U8,
	T_I8,
	T_U16,
	T_I16,
	T_U32,
	T_I32,
	T_F32,
	T_BOOL,
	T_STRING,
	T_ARRAY,
	T_U64,
	T_I64,
	T_F64,
	T_COUNT,
};

struct reader {
	int fd;
	uint64_t file_bytes;
	uint64_t at; /* of the next byte to be taken */
	uint64_t window_at;
	size_t window_n;
	unsigned char window[WINDOW_BYTES];
	uint64_t alignment;
	uint64_t tensors_end; /* from the start of the tensor data */
	struct gguf *out;
	struct err *e;
};

/* ---- bytes ---- */

static int invalid(struct reader *r, const char *what)
{
	return err_set(r->e, ERR_INVALID,
		       "not a valid GGUF file: %s (byte %" PRIu64 " of %" PRIu64
		       ")",
		       what, r->at, r->file_bytes);
}

static uint64_t left(const struct reader *r)
{
	return r->file_bytes - r->at;
}

static int fill(struct reader *r)
{
	ssize_t n;
	do
		n = pread(r->fd, r->window, sizeof r->window, (off_t)r->at);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return err_sys(r->e, "read the GGUF file");
	if (n == 0)
		return invalid(r, "it became shorter while it was read");
	r->window_at = r->at;
	r->window_n = (size_t)n;
	return 0;
}

static int take(struct reader *r, void *out, size_t n)
{
	char *to = out;
	if (n > left(r))
		return invalid(r, "it ends in its header");
	while (n) {
		if (r->at < r->window_at ||
		    r->at >= r->window_at + r->window_n) {
			if (fill(r))
				return -1;
		}
		size_t from = (size_t)(r->at - r->window_at);
		size_t piece = MIN(n, r->window_n - from);
		memcpy(to, r->window + from, piece);
		to += piece;
		r->at += piece;
		n -= piece;
	}
	return 0;
}

static int skip(struct reader *r, uint64_t n)
{
	if (n > left(r))
		return invalid(r, "it ends in its header");
	r->at += n;
	return 0;
}

/* Little-endian, 1 to 8 bytes. */
static int take_uint(struct reader *r, size_t n, uint64_t *out)
{
	unsigned char raw[8];
	if (take(r, raw, n))
		return -1;
	*out = 0;
	for (size_t i = 0; i < n; i++)
		*out |= (uint64_t)raw[i] << (8 * i);
	return 0;
}

static int take_length(struct reader *r, uint64_t *out)
{
	if (take_uint(r, 8, out))
		return -1;
	/* Whatever is counted takes a byte at least. */
	return *out > left(r) ? invalid(r, "it ends in its header") : 0;
}

static int take_string(struct reader *r, struct buf *out)
{
	uint64_t n;
	char piece[512];
	if (take_length(r, &n))
		return -1;
	while (n) {
		size_t some = (size_t)MIN(n, sizeof piece);
		if (take(r, piece, some))
			return -1;
		if (memchr(piece, '\0', some) || buf_put(out, piece, some))
			return invalid(r, "a string has a NUL or is too long");
		n -= some;
	}
	return 0;
}

static int skip_string(struct reader *r)
{
	uint64_t n;
	return take_length(r, &n) || skip(r, n) ? -1 : 0;
}

/* ---- values as text ---- */

static size_t type_bytes(uint64_t type)
{
	static const unsigned char bytes[T_COUNT] = {
		[T_U8] = 1,  [T_I8] = 1,  [T_U16] = 2, [T_I16] = 2,
		[T_U32] = 4, [T_I32] = 4, [T_F32] = 4, [T_BOOL] = 1,
		[T_U64] = 8, [T_I64] = 8, [T_F64] = 8,
	};
	return type < T_COUNT ? bytes[type] : 0;
}

static int put_float(struct buf *out, uint64_t bits, bool is_double)
{
	double d;
	float f;
	uint32_t low = (uint32_t)bits;
	memcpy(&d, &bits, sizeof d);
	memcpy(&f, &low, sizeof f);
	d = is_double ? d : (double)f;
	/* As Go's %f has them. */
	if (d != d)
		return buf_puts(out, "NaN");
	if (d > 1.7976931348623157e308 || d < -1.7976931348623157e308)
		return buf_puts(out, d > 0 ? "+Inf" : "-Inf");
	return buf_printf(out, "%f", d);
}

static int put_number(struct buf *out, enum value_type type, uint64_t v)
{
	switch (type) {
	case T_U8:
	case T_U16:
	case T_U32:
	case T_U64:
		return buf_printf(out, "%" PRIu64, v);
	case T_I8:
		return buf_printf(out, "%d", (int8_t)v);
	case T_I16:
		return buf_printf(out, "%d", (int16_t)v);
	case T_I32:
		return buf_printf(out, "%" PRId32, (int32_t)v);
	case T_I64:
		return buf_printf(out, "%" PRId64, (int64_t)v);
	case T_F32:
	case T_F64:
		return put_float(out, v, type == T_F64);
	case T_BOOL:
		return buf_puts(out, v ? "true" : "false");
	case T_STRING:
	case T_ARRAY:
	case T_COUNT:
		break;
	}
	return 0;
}

/* A value that is no array, into *out unless NULL. */
static int take_scalar(struct reader *r, uint64_t type, struct buf *out)
{
	uint64_t v;
	if (type == T_STRING)
		return out ? take_string(r, out) : skip_string(r);
	if (!type_bytes(type))
		return invalid(r, "a value of unknown type");
	if (!out)
		return skip(r, type_bytes(type));
	if (take_uint(r, type_bytes(type), &v))
		return -1;
	return put_number(out, (enum value_type)type, v)
		       ? invalid(r, "a value is too long")
		       : 0;
}

/* Nested arrays show as empty, so what is in them need not be kept. */
static int skip_array(struct reader *r, int depth)
{
	uint64_t type, n;
	if (depth > 4)
		return invalid(r, "arrays are nested too deeply");
	if (take_uint(r, 4, &type) || take_length(r, &n))
		return -1;
	if (type_bytes(type)) {
		if (n > left(r) / type_bytes(type))
			return invalid(r, "it ends in its header");
		return skip(r, n * type_bytes(type));
	}
	for (uint64_t i = 0; i < n; i++) {
		if (type == T_ARRAY ? skip_array(r, depth + 1)
				    : take_scalar(r, type, NULL))
			return -1;
	}
	return 0;
}

static int take_array(struct reader *r, struct buf *out, bool *is_shown)
{
	uint64_t start = r->at, type, n;
	if (take_uint(r, 4, &type) || take_length(r, &n))
		return -1;
	*is_shown = n <= SHOWN_ELEMENTS;
	if (!*is_shown || type == T_ARRAY) {
		r->at = start;
		return skip_array(r, 0);
	}
	for (uint64_t i = 0; i < n; i++) {
		if (i && buf_puts(out, ", "))
			return invalid(r, "an array is too long");
		if (take_scalar(r, type, out))
			return -1;
	}
	return 0;
}

/* ---- the metadata ---- */

static int take_pair(struct reader *r, size_t *kept_bytes)
{
	struct gguf *g = r->out;
	auto_buf struct buf key, value;
	uint64_t type;
	bool is_shown = true;
	buf_init(&key, LIMIT_GGUF_KEY_BYTES);
	buf_init(&value, LIMIT_GGUF_STRING_BYTES);
	if (take_string(r, &key) || take_uint(r, 4, &type))
		return -1;
	if (type == T_ARRAY ? take_array(r, &value, &is_shown)
			    : take_scalar(r, type, &value))
		return err_wrap(r->e, "%.100s", key.p ? key.p : "");
	if (!is_shown)
		return 0;
	*kept_bytes += key.n + value.n;
	if (*kept_bytes > LIMIT_GGUF_METADATA_BYTES)
		return invalid(r, "its metadata is too large");
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

static int take_pairs(struct reader *r, uint64_t n)
{
	struct gguf *g = r->out;
	size_t kept_bytes = 0;
	g->pairs = arena_alloc(&g->arena, n * sizeof *g->pairs);
	for (uint64_t i = 0; i < n; i++) {
		if (take_pair(r, &kept_bytes))
			return -1;
	}
	if (g->n_pairs)
		qsort(g->pairs, g->n_pairs, sizeof *g->pairs, by_key);
	for (size_t i = 1; i < g->n_pairs; i++) {
		if (by_key(&g->pairs[i - 1], &g->pairs[i]) == 0)
			return err_set(r->e, ERR_INVALID,
				       "not a valid GGUF file: '%.100s' is "
				       "given twice",
				       g->pairs[i].key);
	}
	return 0;
}

static const char *find(const struct gguf *g, const char *key)
{
	struct model_config_pair want = { key, NULL };
	const struct model_config_pair *hit =
		g->n_pairs ? bsearch(&want, g->pairs, g->n_pairs, sizeof want,
				     by_key)
			   : NULL;
	return hit ? hit->value : NULL;
}

static bool find_number(const struct gguf *g, const char *key, uint64_t *out)
{
	const char *text = find(g, key);
	return text && str_to_u64(str_of(text), out);
}

/* ---- the tensors ---- */

static bool add(uint64_t *sum, uint64_t more)
{
	return !__builtin_add_overflow(*sum, more, sum);
}

static int take_tensor(struct reader *r)
{
	uint64_t n_dims, type, offset, dim, first = 1, elements = 1;
	struct gguf_tensor_type t;
	if (skip_string(r) || take_uint(r, 4, &n_dims))
		return -1;
	if (n_dims > MAX_DIMENSIONS)
		return invalid(r, "a tensor has too many dimensions");
	for (uint64_t i = 0; i < n_dims; i++) {
		if (take_uint(r, 8, &dim))
			return -1;
		first = i ? first : dim;
		if (__builtin_mul_overflow(elements, dim, &elements))
			return invalid(r, "a tensor is too large");
	}
	if (take_uint(r, 4, &type) || take_uint(r, 8, &offset))
		return -1;
	t = gguf_types_tensor(type);
	if (!t.block)
		return err_set(r->e, ERR_UNSUPPORTED,
			       "the GGUF file has tensors of type %" PRIu64
			       ", which this version does not know",
			       type);
	uint64_t bytes, end = offset;
	if (first % t.block || offset % r->alignment ||
	    __builtin_mul_overflow(elements / t.block, t.bytes, &bytes) ||
	    !add(&end, bytes) || !add(&r->out->elements, elements) ||
	    !add(&r->out->tensor_bytes, bytes))
		return invalid(r, "a tensor has a wrong shape or place");
	r->tensors_end = MAX(r->tensors_end, end);
	return 0;
}

static int take_tensors(struct reader *r)
{
	for (uint64_t i = 0; i < r->out->n_tensors; i++) {
		if (take_tensor(r))
			return -1;
	}
	uint64_t data = r->at;
	if (!r->tensors_end)
		return 0;
	if (!add(&data, r->alignment - 1))
		return invalid(r, "it is too large");
	data -= data % r->alignment;
	if (data > r->file_bytes || r->tensors_end > r->file_bytes - data)
		return err_set(r->e, ERR_INVALID,
			       "the GGUF file is cut: its tensors need %" PRIu64
			       " bytes after byte %" PRIu64
			       ", and it has %" PRIu64 " in all",
			       r->tensors_end, data, r->file_bytes);
	return 0;
}

/* ---- the whole ---- */

static int take_start(struct reader *r, uint64_t *n_pairs)
{
	char magic[4];
	uint64_t version;
	struct gguf *g = r->out;
	if (left(r) < sizeof magic || take(r, magic, sizeof magic) ||
	    memcmp(magic, "GGUF", 4) != 0)
		return err_set(
			r->e, ERR_INVALID,
			"this is not a GGUF file: it does not begin with "
			"\"GGUF\"");
	if (take_uint(r, 4, &version))
		return -1;
	if (version != 2 && version != 3)
		return err_set(r->e, ERR_UNSUPPORTED,
			       version & 0xffff
				       ? "GGUF version %" PRIu64
					 " is not supported: 2 and 3 are"
				       : "this GGUF file is for big-endian "
					 "machines (version %#" PRIx64 ")",
			       version);
	g->version = (uint32_t)version;
	if (take_uint(r, 8, &g->n_tensors) || take_uint(r, 8, n_pairs))
		return -1;
	if (g->n_tensors > LIMIT_GGUF_TENSORS || *n_pairs > LIMIT_GGUF_KEYS)
		return invalid(r, "it has too many tensors or keys");
	return 0;
}

/* What the metadata says of the file as a whole. */
static int interpret(struct reader *r)
{
	struct gguf *g = r->out;
	uint64_t n;
	const char *architecture = find(g, "general.architecture");
	g->architecture = architecture ? architecture : "llama";
	g->quantization = gguf_types_file(
		find_number(g, "general.file_type", &n) ? n : UINT64_MAX);
	const char *key =
		arena_printf(&g->arena, "%s.context_length", g->architecture);
	if (find_number(g, key, &n) && n <= INT32_MAX)
		g->context_size = (int64_t)n;
	r->alignment = 32;
	if (find_number(g, "general.alignment", &n))
		r->alignment = n;
	if (!r->alignment || r->alignment & (r->alignment - 1))
		return invalid(r, "its alignment is not a power of two");
	return 0;
}

static int take_all(struct reader *r)
{
	uint64_t n_pairs = 0;
	if (take_start(r, &n_pairs) || take_pairs(r, n_pairs) || interpret(r))
		return -1;
	return take_tensors(r);
}

int gguf_read(int fd, struct gguf **out, struct err *e)
{
	struct stat st;
	if (fstat(fd, &st) < 0)
		return err_sys(e, "stat the GGUF file");
	if (!S_ISREG(st.st_mode))
		return err_set(e, ERR_INVALID, "this is not a regular file");
	auto_(gguf) g = xcalloc(1, sizeof *g);
	arena_init(&g->arena);
	struct reader *r = xcalloc(1, sizeof *r);
	r->fd = fd;
	r->file_bytes = (uint64_t)st.st_size;
	r->out = g;
	r->e = e;
	int result = take_all(r);
	free(r);
	if (result == 0)
		*out = steal(&g);
	return result;
}

void gguf_free(struct gguf *g)
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
