/* facts.h - what the weights of a package say of the model: parameters, size,
 * quantization, context, metadata, as Docker Model Runner puts them into a
 * config. Of a model in several files it is the sum of all. */
#pragma once
#include "model/parts.h"
#include "oci/model_config.h"

struct facts {
	struct model_config config; /* its arena owns the texts; no diff ids */
};

/* Reads the headers of all weights: blocks. Fini it in both cases. */
must_use int facts_read(const struct parts *p, struct facts *out,
			struct err *e);
void facts_fini(struct facts *f);
