/* engine_openai.h - an engine elsewhere: any server with the OpenAI API at a
 * base URL (vLLM, SGLang, llama-server, another modeld).
 *
 *   {"kind": "openai", "url": "http://127.0.0.1:9000/v1",
 *    "key_file": "/etc/modeld/key", "models": ["qwen"], "timeout_s": 600}
 *
 * An https URL is verified by the system's CAs, or by those of "ca_file" alone;
 * "tls_skip_verify": true believes anybody, and is warned of.
 *
 * It is always ready: its connections are made on demand and kept alive. */
#pragma once
#include "base/json.h"
#include "engine/engine.h"

struct uv_loop_s;

extern const struct engine_kind engine_openai;

/* `config` is the engine's object in the configuration; `name` its key. */
must_use int engine_openai_new(struct uv_loop_s *loop, const char *name,
			       const json_t *config, struct engine **out,
			       struct err *e);
