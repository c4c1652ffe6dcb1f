/* params_fields.h - every field of every request, one row each:
 *
 *   INT(member, "name", where, least, most, absent)   a whole number
 *   NUM(member, "name", where, least, most, absent)   a number
 *   BOOL(member, "name", where, absent)
 *   TEXT(member, "name", where)                       a string
 *   TREE(member, "name", where, shapes)               anything of these shapes
 *
 * `where` is the requests that know it, `absent` what holds when it is not
 * given or null. Whoever includes this defines the five macros; they end with
 * it. */
/* clang-format off */
#define GENERATE (PARAMS_CHAT | PARAMS_COMPLETION)
#define RANKING (PARAMS_RERANK | PARAMS_SCORE)
#define ALL (GENERATE | PARAMS_EMBEDDING | PARAMS_TOKENIZE | PARAMS_DETOKENIZE | RANKING)
TEXT(model,             "model",                 ALL)
TREE(messages,          "messages",              PARAMS_CHAT, PARAMS_ARRAY)
TREE(prompt,            "prompt",                PARAMS_COMPLETION, PARAMS_STRING | PARAMS_ARRAY)
INT(max_tokens,         "max_tokens",            GENERATE, -1, INT32_MAX, -1)
INT(max_completion,     "max_completion_tokens", GENERATE, -1, INT32_MAX, -1)
INT(n_predict,          "n_predict",             GENERATE, -1, INT32_MAX, -1)
NUM(temperature,        "temperature",           GENERATE, 0, 2, 0.8)
NUM(top_p,              "top_p",                 GENERATE, 0, 1, 0.95)
INT(top_k,              "top_k",                 GENERATE, -1, INT32_MAX, 40)
NUM(min_p,              "min_p",                 GENERATE, 0, 1, 0.05)
NUM(presence_penalty,   "presence_penalty",      GENERATE, -2, 2, 0)
NUM(frequency_penalty,  "frequency_penalty",     GENERATE, -2, 2, 0)
NUM(repeat_penalty,     "repeat_penalty",        GENERATE, 0.01, 10, 1)
INT(repeat_last_n,      "repeat_last_n",         GENERATE, -1, LIMIT_LAST_N, 64)
INT(seed,               "seed",                  GENERATE, INT64_MIN, INT64_MAX, -1)
INT(n,                  "n",                     GENERATE, 1, LIMIT_CHOICES, 1)
BOOL(logprobs,          "logprobs",              PARAMS_CHAT, false)
INT(top_logprobs,       "top_logprobs",          PARAMS_CHAT, 0, LIMIT_TOP_LOGPROBS, 0)
INT(n_logprobs,         "logprobs",              PARAMS_COMPLETION, 0, LIMIT_TOP_LOGPROBS, -1)
TREE(stop,              "stop",                  GENERATE, PARAMS_STRING | PARAMS_ARRAY)
TREE(logit_bias,        "logit_bias",            GENERATE, PARAMS_OBJECT)
BOOL(ignore_eos,        "ignore_eos",            GENERATE, false)
BOOL(cache_prompt,      "cache_prompt",          GENERATE, true)
BOOL(stream,            "stream",                GENERATE, false)
TREE(stream_options,    "stream_options",        GENERATE, PARAMS_OBJECT)
TREE(response_format,   "response_format",       PARAMS_CHAT, PARAMS_OBJECT)
TREE(tools,             "tools",                 PARAMS_CHAT, PARAMS_ARRAY)
TREE(tool_choice,       "tool_choice",           PARAMS_CHAT, PARAMS_STRING | PARAMS_OBJECT)
BOOL(parallel_tools,    "parallel_tool_calls",   PARAMS_CHAT, false)
TEXT(reasoning_effort,  "reasoning_effort",      PARAMS_CHAT)
INT(reasoning_budget,   "reasoning_budget",      PARAMS_CHAT, -1, INT32_MAX, -1)
TREE(template_kwargs,   "chat_template_kwargs",  PARAMS_CHAT, PARAMS_OBJECT)
BOOL(echo,              "echo",                  PARAMS_COMPLETION, false)
INT(best_of,            "best_of",               PARAMS_COMPLETION, 1, LIMIT_CHOICES, 1)
TEXT(suffix,            "suffix",                PARAMS_COMPLETION)
TREE(input,             "input",                 PARAMS_EMBEDDING, PARAMS_STRING | PARAMS_ARRAY)
TEXT(encoding_format,   "encoding_format",       PARAMS_EMBEDDING)
INT(dimensions,         "dimensions",            PARAMS_EMBEDDING, 1, 65536, 0)
TEXT(query,             "query",                 RANKING)
TREE(documents,         "documents",             RANKING, PARAMS_ARRAY)
INT(top_n,              "top_n",                 PARAMS_RERANK, 1, INT32_MAX, 0)
BOOL(return_documents,  "return_documents",      PARAMS_RERANK, false)
TREE(text_1,            "text_1",                PARAMS_SCORE, PARAMS_STRING | PARAMS_ARRAY)
TREE(text_2,            "text_2",                PARAMS_SCORE, PARAMS_STRING | PARAMS_ARRAY)
TEXT(user,              "user",                  GENERATE | PARAMS_EMBEDDING | RANKING)
TREE(lora,              "lora",                  GENERATE | PARAMS_EMBEDDING | RANKING, PARAMS_ARRAY)
INT(lora_id,            "id",                    PARAMS_LORA, 0, INT32_MAX, -1)
TEXT(lora_name,         "name",                  PARAMS_LORA)
NUM(lora_scale,         "scale",                 PARAMS_LORA, -LIMIT_LORA_SCALE, LIMIT_LORA_SCALE, 1)
TEXT(content,           "content",               PARAMS_TOKENIZE)
BOOL(add_special,       "add_special",           PARAMS_TOKENIZE, false)
BOOL(parse_special,     "parse_special",         PARAMS_TOKENIZE, true)
BOOL(with_pieces,       "with_pieces",           PARAMS_TOKENIZE, false)
TREE(tokens,            "tokens",                PARAMS_DETOKENIZE, PARAMS_ARRAY)
#undef INT
#undef NUM
#undef BOOL
#undef TEXT
#undef TREE
#undef GENERATE
#undef RANKING
#undef ALL
/* clang-format on */
