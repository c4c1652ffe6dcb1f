/* safetensors_make.h - safetensors files for tests. */
#pragma once
#include "base/buf.h"

#include <stdlib.h>

/* The header's length, the header, then so many bytes of tensors. */
static inline void make_safetensors(struct buf *out, const char *header,
				    size_t data_bytes)
{
	size_t n = strlen(header);
	for (size_t i = 0; i < 8; i++) {
		char c = (char)((n >> (8 * i)) & 0xff);
		if (buf_put(out, &c, 1))
			abort();
	}
	if (buf_puts(out, header))
		abort();
	for (size_t i = 0; i < data_bytes; i++)
		if (buf_put(out, "\7", 1))
			abort();
}
