/* gguf_make.h - makes GGUF files in memory, right and wrong ones, for tests. */
#pragma once
#include "base/buf.h"

#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

enum gguf_make_type {
	MAKE_U8,
	MAKE_I8,
	MAKE_U16,
	MAKE_I16,
	MAKE_U32,
	MAKE_I32,
	MAKE_F32,
	MAKE_BOOL,
	MAKE_STRING,
	MAKE_ARRAY,
	MAKE_U64,
	MAKE_I64,
	MAKE_F64
};

static inline void make_bytes(struct buf *b, const void *p, size_t n)
{
	if (buf_put(b, p, n))
		abort();
}

/* The low n bytes, little-endian as the machines of the tests are. */
static inline void make_uint(struct buf *b, uint64_t v, size_t n)
{
	make_bytes(b, &v, n);
}

static inline void make_string(struct buf *b, const char *s)
{
	make_uint(b, strlen(s), 8);
	make_bytes(b, s, strlen(s));
}

static inline void make_start(struct buf *b, uint64_t n_tensors,
			      uint64_t n_pairs)
{
	make_bytes(b, "GGUF", 4);
	make_uint(b, 3, 4);
	make_uint(b, n_tensors, 8);
	make_uint(b, n_pairs, 8);
}

static inline void make_key(struct buf *b, const char *key,
			    enum gguf_make_type type)
{
	make_string(b, key);
	make_uint(b, type, 4);
}

static inline void make_text(struct buf *b, const char *key, const char *value)
{
	make_key(b, key, MAKE_STRING);
	make_string(b, value);
}

static inline void make_u32(struct buf *b, const char *key, uint32_t value)
{
	make_key(b, key, MAKE_U32);
	make_uint(b, value, 4);
}

static inline void make_array(struct buf *b, enum gguf_make_type type,
			      uint64_t n)
{
	make_uint(b, type, 4);
	make_uint(b, n, 8);
}

static inline void make_tensor(struct buf *b, const char *name, uint64_t dim,
			       uint32_t type, uint64_t offset)
{
	make_string(b, name);
	make_uint(b, 1, 4);
	make_uint(b, dim, 8);
	make_uint(b, type, 4);
	make_uint(b, offset, 8);
}

/* Padding up to the tensor data, then n bytes of it. */
static inline void make_data(struct buf *b, size_t n)
{
	while (b->n % 32)
		make_uint(b, 0, 1);
	for (size_t i = 0; i < n; i++)
		make_uint(b, i & 0xff, 1);
}

/* A descriptor of a file with these bytes; the caller closes it. */
static inline int make_fd(const void *p, size_t n)
{
	int fd = memfd_create("test", MFD_CLOEXEC);
	if (fd < 0 || (n && write(fd, p, n) != (ssize_t)n))
		abort();
	return fd;
}

/* The file from which the golden config of the tests was made: every kind of
 * value, 183 parameters in 864 bytes. */
static inline void make_every_kind(struct buf *b)
{
	static const float f32[] = { 3.145f, 2.718f, 1.414f };
	const float f = 0.1234567890123f;
	const double d = 0.123456789012345678;
	make_start(b, 2, 15);
	make_key(b, "some.parameter.uint8", MAKE_U8);
	make_uint(b, 0x12, 1);
	make_key(b, "some.parameter.int8", MAKE_I8);
	make_uint(b, (uint64_t)-0x13, 1);
	make_key(b, "some.parameter.uint16", MAKE_U16);
	make_uint(b, 0x1234, 2);
	make_key(b, "some.parameter.int16", MAKE_I16);
	make_uint(b, (uint64_t)-0x1235, 2);
	make_u32(b, "some.parameter.uint32", 0x12345678);
	make_key(b, "some.parameter.int32", MAKE_I32);
	make_uint(b, (uint64_t)-0x12345679, 4);
	make_key(b, "some.parameter.float32", MAKE_F32);
	make_bytes(b, &f, sizeof f);
	make_key(b, "some.parameter.uint64", MAKE_U64);
	make_uint(b, 0x123456789abcdef0, 8);
	make_key(b, "some.parameter.int64", MAKE_I64);
	make_uint(b, (uint64_t)-0x123456789abcdef1, 8);
	make_key(b, "some.parameter.float64", MAKE_F64);
	make_bytes(b, &d, sizeof d);
	make_key(b, "some.parameter.bool", MAKE_BOOL);
	make_uint(b, 1, 1);
	make_text(b, "some.parameter.string", "hello world");
	make_key(b, "some.parameter.arr.str", MAKE_ARRAY);
	make_array(b, MAKE_STRING, 3);
	make_string(b, "hello");
	make_string(b, "world");
	make_string(b, "!");
	make_key(b, "some.parameter.arr.i16", MAKE_ARRAY);
	make_array(b, MAKE_I16, 4);
	for (uint64_t i = 1; i <= 4; i++)
		make_uint(b, i, 2);
	make_key(b, "some.parameter.arr.f32", MAKE_ARRAY);
	make_array(b, MAKE_F32, 3);
	make_bytes(b, f32, sizeof f32);
	make_tensor(b, "a", 150, 0, 0);
	make_tensor(b, "b", 33, 28, 608);
	make_data(b, 608 + 33 * 8);
}

/* A small model that looks as if it could chat. */
static inline void make_small_model(struct buf *b)
{
	make_start(b, 1, 5);
	make_text(b, "general.architecture", "llama");
	make_u32(b, "general.file_type", 15);
	make_u32(b, "llama.context_length", 8192);
	make_text(b, "tokenizer.chat_template", "{{ messages }}");
	make_text(b, "general.name", "Small <model> & more");
	make_tensor(b, "w", 256, 12, 0);
	make_data(b, 144);
}
