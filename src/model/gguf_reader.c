#include "model/gguf_reader.h"

#include <errno.h>
#include <inttypes.h>
#include <unistd.h>

enum { SHOWN_ELEMENTS = 50, MAX_NESTING = 4 };

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
	T_STRING = GGUF_READER_STRING,
	T_ARRAY = GGUF_READER_ARRAY,
	T_U64,
	T_I64,
	T_F64,
	T_COUNT,
};

/* ---- bytes ---- */

int gguf_reader_invalid(struct gguf_reader *r, const char *what)
{
	return err_set(r->e, ERR_INVALID,
		       "not a valid GGUF file: %s (byte %" PRIu64 " of %" PRIu64
		       ")",
		       what, r->at, r->file_bytes);
}

static uint64_t left(const struct gguf_reader *r)
{
	return r->file_bytes - r->at;
}

static int fill(struct gguf_reader *r)
{
	ssize_t n;
	do
		n = pread(r->fd, r->window, sizeof r->window, (off_t)r->at);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return err_sys(r->e, "read the GGUF file");
	if (n == 0)
		return gguf_reader_invalid(
			r, "it became shorter while it was read");
	r->window_at = r->at;
	r->window_n = (size_t)n;
	return 0;
}

int gguf_reader_bytes(struct gguf_reader *r, void *out, size_t n)
{
	char *to = out;
	if (n > left(r))
		return gguf_reader_invalid(r, "it ends in its header");
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

static int skip(struct gguf_reader *r, uint64_t n)
{
	if (n > left(r))
		return gguf_reader_invalid(r, "it ends in its header");
	r->at += n;
	return 0;
}

/* Little-endian, 1 to 8 bytes. */
int gguf_reader_uint(struct gguf_reader *r, size_t n, uint64_t *out)
{
	unsigned char raw[8];
	if (gguf_reader_bytes(r, raw, n))
		return -1;
	*out = 0;
	for (size_t i = 0; i < n; i++)
		*out |= (uint64_t)raw[i] << (8 * i);
	return 0;
}

static int take_length(struct gguf_reader *r, uint64_t *out)
{
	if (gguf_reader_uint(r, 8, out))
		return -1;
	/* Whatever is counted takes a byte at least. */
	return *out > left(r) ? gguf_reader_invalid(r, "it ends in its header")
			      : 0;
}

int gguf_reader_string(struct gguf_reader *r, struct buf *out)
{
	uint64_t n;
	char piece[512];
	if (take_length(r, &n))
		return -1;
	while (n) {
		size_t some = (size_t)MIN(n, sizeof piece);
		if (gguf_reader_bytes(r, piece, some))
			return -1;
		if (memchr(piece, '\0', some) || buf_put(out, piece, some))
			return gguf_reader_invalid(
				r, "a string has a NUL or is too long");
		n -= some;
	}
	return 0;
}

int gguf_reader_skip_string(struct gguf_reader *r)
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
static int take_scalar(struct gguf_reader *r, uint64_t type, struct buf *out)
{
	uint64_t v;
	if (type == T_STRING)
		return out ? gguf_reader_string(r, out)
			   : gguf_reader_skip_string(r);
	if (!type_bytes(type))
		return gguf_reader_invalid(r, "a value of unknown type");
	if (!out)
		return skip(r, type_bytes(type));
	if (gguf_reader_uint(r, type_bytes(type), &v))
		return -1;
	return put_number(out, (enum value_type)type, v)
		       ? gguf_reader_invalid(r, "a value is too long")
		       : 0;
}

/* Nested arrays show as empty, so what is in them need not be kept. */
static int skip_array(struct gguf_reader *r, int depth)
{
	uint64_t type, n;
	if (depth > MAX_NESTING)
		return gguf_reader_invalid(r, "arrays are nested too deeply");
	if (gguf_reader_uint(r, 4, &type) || take_length(r, &n))
		return -1;
	if (type_bytes(type)) {
		if (n > left(r) / type_bytes(type))
			return gguf_reader_invalid(r, "it ends in its header");
		return skip(r, n * type_bytes(type));
	}
	for (uint64_t i = 0; i < n; i++) {
		if (type == T_ARRAY ? skip_array(r, depth + 1)
				    : take_scalar(r, type, NULL))
			return -1;
	}
	return 0;
}

static int take_array(struct gguf_reader *r, struct buf *out, bool *is_shown)
{
	uint64_t start = r->at, type, n;
	if (gguf_reader_uint(r, 4, &type) || take_length(r, &n))
		return -1;
	*is_shown = n <= SHOWN_ELEMENTS;
	if (!*is_shown || type == T_ARRAY) {
		r->at = start;
		return skip_array(r, 0);
	}
	for (uint64_t i = 0; i < n; i++) {
		if (i && buf_puts(out, ", "))
			return gguf_reader_invalid(r, "an array is too long");
		if (take_scalar(r, type, out))
			return -1;
	}
	return 0;
}

int gguf_reader_value(struct gguf_reader *r, uint64_t type, struct buf *out,
		      bool *is_shown)
{
	*is_shown = true;
	return type == T_ARRAY ? take_array(r, out, is_shown)
			       : take_scalar(r, type, out);
}
