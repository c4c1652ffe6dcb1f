/* engine_llama.h - the engine "llama.cpp": a modeld-llama process for each GGUF
 * model of the store, started on demand. pool.h says who is in memory. */
#pragma once
#include "engine/pool.h"

extern const struct engine_kind engine_llama;

struct engine_llama_config {
	const char *program; /* modeld-llama; copied */
	struct pool_config pool;
};

struct engine *engine_llama_new(struct uv_loop_s *loop,
				const struct engine_llama_config *c);
void engine_llama_set_keep_alive(struct engine *en, int64_t ms);
