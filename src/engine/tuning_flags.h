/* tuning_flags.h - the runtime flags that a model may be set up with, one row
 * each: those of llama-server that mean something here, or mean nothing that
 * changes an answer. What is not here is refused; nothing here names a file, an
 * address or another program.
 *
 *   OPTION(word, short, option, least, most)   a number for modeld-llama
 *   DEFAULT(word, short, field, least, most)   a number: what requests that do
 *                                              not set this field have
 *   SWITCH(word, field, value)                 the same, true or false
 *   OBJECT(word, field)                        the same, a JSON object
 *   SPECIAL(word, short, what)                 met by name in tuning.c
 *   QUIET(word, short)                         no effect: it is so anyway, or a
 *                                              matter of speed decided here
 *   QUIET_VALUE(word, short)                   likewise, with a value
 *
 * Whoever includes this defines the seven macros; they end with it. */
/* clang-format off */
OPTION("--threads",            "-t",   "--threads",    1, 1024)
OPTION("--threads-batch",      "-tb",  NULL,           1, 1024)
OPTION("--parallel",           "-np",  "--parallel",   1, 256)
OPTION("--batch-size",         "-b",   "--batch-size", 1, 1048576)
OPTION("--ubatch-size",        "-ub",  NULL,           1, 1048576)
OPTION("--n-gpu-layers",       "-ngl", "--gpu-layers", 0, 100000)
OPTION("--gpu-layers",         NULL,   "--gpu-layers", 0, 100000)
OPTION("--spec-draft-n-max",   NULL,   "--spec-draft-n-max", 1, 16)
OPTION("--draft-max",          "--draft", "--spec-draft-n-max", 1, 16)
OPTION("--draft-n",            NULL,   "--spec-draft-n-max", 1, 16)
OPTION("--spec-draft-n-min",   NULL,   "--spec-draft-n-min", 0, 16)
OPTION("--draft-min",          "--draft-n-min", "--spec-draft-n-min", 0, 16)
DEFAULT("--temp",              NULL,   "temperature",       0, 2)
DEFAULT("--temperature",       NULL,   "temperature",       0, 2)
DEFAULT("--top-k",             NULL,   "top_k",             0, INT32_MAX)
DEFAULT("--top-p",             NULL,   "top_p",             0, 1)
DEFAULT("--min-p",             NULL,   "min_p",             0, 1)
DEFAULT("--repeat-penalty",    NULL,   "repeat_penalty",    0.01, 10)
DEFAULT("--repeat-last-n",     NULL,   "repeat_last_n",     -1, LIMIT_LAST_N)
DEFAULT("--presence-penalty",  NULL,   "presence_penalty",  -2, 2)
DEFAULT("--frequency-penalty", NULL,   "frequency_penalty", -2, 2)
DEFAULT("--seed",              "-s",   "seed",              -1, UINT32_MAX)
DEFAULT("--predict",           "-n",   "max_tokens",        -1, INT32_MAX)
DEFAULT("--n-predict",         NULL,   "max_tokens",        -1, INT32_MAX)
DEFAULT("--reasoning-budget",  NULL,   "reasoning_budget",  -1, INT32_MAX)
SWITCH("--ignore-eos",         "ignore_eos",   true)
SWITCH("--cache-prompt",       "cache_prompt", true)
SWITCH("--no-cache-prompt",    "cache_prompt", false)
OBJECT("--chat-template-kwargs", "chat_template_kwargs")
SPECIAL("--ctx-size",          "-c",   TUNING_CONTEXT)
SPECIAL("--cache-ram",         "-cram", TUNING_CACHE_RAM)
SPECIAL("--pooling",           NULL,   TUNING_POOLING)
SPECIAL("--embeddings",        NULL,   TUNING_EMBEDDINGS)
SPECIAL("--embedding",         NULL,   TUNING_EMBEDDINGS)
SPECIAL("--reranking",         NULL,   TUNING_RERANKING)
SPECIAL("--rerank",            NULL,   TUNING_RERANKING)
SPECIAL("--lora",              NULL,   TUNING_LORA)
SPECIAL("--lora-scaled",       NULL,   TUNING_LORA_SCALED)
SPECIAL("--lora-init-without-apply", NULL, TUNING_LORA_UNUSED)
SPECIAL("--model-draft",       "-md",  TUNING_DRAFT_MODEL)
SPECIAL("--spec-draft-model",  NULL,   TUNING_DRAFT_MODEL)
SPECIAL("--spec-draft-p-min",  "--draft-p-min", TUNING_DRAFT_P_MIN)
SPECIAL("--spec-type",         NULL,   TUNING_SPEC_TYPE)
QUIET("--jinja",               NULL)
QUIET("--cont-batching",       "-cb")
QUIET("--prefill-assistant",   NULL)
QUIET("--kv-unified",          "-kvu")
QUIET("--no-context-shift",    NULL)
QUIET("--warmup",              NULL)
QUIET("--no-warmup",           NULL)
QUIET("--mmap",                NULL)
QUIET("--no-mmap",             NULL)
QUIET("--mlock",               NULL)
QUIET("--perf",                NULL)
QUIET("--no-perf",             NULL)
QUIET("--repack",              NULL)
QUIET("--no-repack",           "-nr")
QUIET("--metrics",             NULL)
QUIET("--no-metrics",          NULL)
QUIET("--slots",               NULL)
QUIET("--no-slots",            NULL)
QUIET("--props",               NULL)
QUIET("--no-webui",            NULL)
QUIET("--verbose",             "-v")
QUIET("--verbose-prompt",      NULL)
QUIET("--log-prefix",          NULL)
QUIET("--log-timestamps",      NULL)
QUIET_VALUE("--log-colors",    NULL)
QUIET_VALUE("--flash-attn",    "-fa")
QUIET_VALUE("--prio",          NULL)
QUIET_VALUE("--poll",          NULL)
QUIET_VALUE("--threads-http",  NULL)
QUIET_VALUE("--cache-reuse",   NULL)
QUIET_VALUE("--ctx-checkpoints", "-ctxcp")
QUIET_VALUE("--swa-checkpoints", NULL)
QUIET_VALUE("--reasoning-format", NULL)
#undef OPTION
#undef DEFAULT
#undef SWITCH
#undef OBJECT
#undef SPECIAL
#undef QUIET
#undef QUIET_VALUE
/* clang-format on */
