/* direct.h - a request whose whole answer one job makes, from its body and what
 * the model's files say; nothing is computed. */
#pragma once
#include "llama/serve.h"
#include "llama/writer.h"

/* On another thread: writes the answer, or -1 refuses. */
typedef int (*direct_fn)(const struct serve *s, struct str body,
			 struct writer *w, struct err *e);
/* Collects the body and answers. */
void direct_start(struct serve *s, struct http_exchange *x, size_t max_bytes,
		  direct_fn fn);
