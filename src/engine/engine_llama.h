/* engine_llama.h - the engine "llama.cpp": a modeld-llama process for each GGUF
 * model of the store, started on demand. pool.h says who is in memory. */
#pragma once
#include "engine/pool.h"

extern const struct engine_kind engine_llama;

struct tunings;

struct engine_llama_config {
	const char *program; /* modeld-llama; copied */
	struct pool_config pool;
	const struct tunings *tunings; /* of the models; borrowed */
	struct catalog *catalog;       /* their adapters' too; borrowed */
	bool no_sandbox;	       /* engines are not shut in */
};

struct engine *engine_llama_new(struct uv_loop_s *loop,
				const struct engine_llama_config *c);
/* The settings that this model would be started with when it is asked for in
 * this mode; NULL: none. *mode becomes that of the process which answers. */
const struct tuning *engine_llama_tuning(const struct tunings *t,
					 const struct catalog_model *m,
					 enum engine_mode *mode);
void engine_llama_set_keep_alive(struct engine *en, int64_t ms);
