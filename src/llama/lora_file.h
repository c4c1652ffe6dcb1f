/* lora_file.h - looks at an adapter's file before llama.cpp does: what it takes
 * for granted of the metadata's types, and of the tensors once a request uses
 * them, would end the process. */
#pragma once
#include "base/err.h"

struct weights;

/* Is it an adapter that this model can use? By model/gguf.c first. -1:
 * ERR_UNSUPPORTED (not one, or for another model), ERR_CORRUPT, ERR_NOT_FOUND.
 */
must_use int lora_file_check(const char *path, const struct weights *w,
			     struct err *e);
