/* gguf_types.h - the numbers that GGUF files use for kinds of tensors and of
 * quantization, as llama.cpp assigns them. */
#pragma once
#include <stdint.h>

struct gguf_tensor_type {
	uint64_t block; /* elements in one; 0: no such type */
	uint64_t bytes; /* of one block */
};

struct gguf_tensor_type gguf_types_tensor(uint64_t type);
/* "MOSTLY_Q4_K_M" for 15; "Unknown" for a number without a name. */
const char *gguf_types_file(uint64_t file_type);
