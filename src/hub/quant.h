/* quant.h - what the name of a GGUF file says: which quantization it is, and
 * which shard of how many. Pure; texts are borrowed from the path. */
#pragma once
#include "base/str.h"

struct quant_name {
	struct str stem;  /* the path without shard and ending */
	struct str label; /* "Q4_K_M", "UD-Q4_K_XL", "BF16"; or empty */
	unsigned shard;	  /* from 1 */
	unsigned n_shards;
};

/* False: its name does not end in ".gguf". */
bool quant_parse(struct str path, struct quant_name *out) must_use;
/* "Q4_K_M", "IQ2_XXS", "TQ1_0", "F16", "BF16", "MXFP4", ...; any case. */
bool quant_is_label(struct str s);

/* How well the tag fits the name; 0: not at all. */
enum quant_fit {
	QUANT_NOT,
	QUANT_FOLDER, /* a folder on its path */
	QUANT_INSIDE, /* a part of its name */
	QUANT_FILE,   /* its name */
	QUANT_LABEL,  /* its quantization */
};
enum quant_fit quant_match(const struct quant_name *q, const char *tag);

/* The last part of a path. */
struct str quant_base(struct str path);
