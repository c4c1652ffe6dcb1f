/* err_codes.h - every way to fail, one row each:
 *
 *   ERR(NAME, HTTP status, API error type, exit status)
 *
 * The API error types are OpenAI's (`error.type`); 499 is the usual number for
 * "the client left", never on the wire. Exit status 2 is wrong usage. */
/* clang-format off */
ERR(NONE,        500, "server_error",             1) /* never set on purpose */
ERR(INVALID,     400, "invalid_request_error",    1) /* the request is wrong */
ERR(CONTEXT,     400, "invalid_request_error",    1) /* prompt too long */
ERR(USAGE,       400, "invalid_request_error",    2) /* the command line is */
ERR(AUTH,        401, "authentication_error",     1)
ERR(FORBIDDEN,   403, "permission_error",         1)
ERR(NOT_FOUND,   404, "not_found_error",          1)
ERR(METHOD,      405, "invalid_request_error",    1)
ERR(TIMEOUT,     408, "timeout_error",            1) /* the client was slow */
ERR(CONFLICT,    409, "conflict_error",           1)
ERR(TOO_LARGE,   413, "invalid_request_error",    1)
ERR(TARGET_LARGE, 414, "invalid_request_error",   1)
ERR(HEAD_LARGE,  431, "invalid_request_error",    1)
ERR(EXPECT,      417, "invalid_request_error",    1)
ERR(MISDIRECTED, 421, "invalid_request_error",    1)
ERR(UNSUPPORTED, 422, "invalid_request_error",    1) /* a kind we cannot run */
ERR(BUSY,        429, "rate_limit_error",         1)
ERR(LIMIT,       429, "rate_limit_error",         1) /* of an API key */
ERR(GONE,        499, "client_closed_request",    1)
ERR(INTERNAL,    500, "server_error",             1) /* a bug of ours */
ERR(SYSTEM,      500, "server_error",             1) /* a system call failed */
ERR(CORRUPT,     500, "server_error",             1) /* data on disk is wrong */
ERR(NOT_IMPL,    501, "not_implemented_error",    1)
ERR(ENGINE,      502, "engine_error",             1) /* the engine failed */
ERR(REFUSED,     502, "engine_error",             1) /* nobody listens there */
ERR(TLS,         502, "engine_error",             1) /* no trust, no TLS */
ERR(UNAVAILABLE, 503, "service_unavailable_error", 1)
ERR(ENGINE_SLOW, 504, "engine_timeout_error",     1)
ERR(HTTP_VERSION, 505, "invalid_request_error",   1)
ERR(MEMORY,      507, "insufficient_memory_error", 1) /* does not fit */
/* clang-format on */
