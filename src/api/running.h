/* running.h - is this model in memory, and with which settings? */
#pragma once
#include "engine/engine.h"
#include "oci/digest.h"

struct running {
	bool is_loading;
	bool is_loaded;
	double loaded;	 /* 0 to 1 */
	int64_t context; /* in force; 0 unless loaded */
	enum engine_mode mode;
};

/* In this mode, or in any if NULL: one that is loaded before one that is not
 * yet, one for completions before the others. */
struct running running_find(struct engine_set *engines, const struct digest *id,
			    const enum engine_mode *mode);
