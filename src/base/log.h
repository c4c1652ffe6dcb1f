/* log.h - four levels, one line each, on stderr.
 *
 *   2026-11-23T03:50:24.123Z info modeld: model loaded model=ai/x ms=412
 *
 * A message is a few fixed words, then key=value. Control characters, which a
 * peer may have put into a value, come out as \xNN, so a line is always one
 * line. No prompt or answer text is logged at info or above, ever. */
#pragma once
#include "base/str.h"

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };

/* Sees every line that is written, without its newline, on the thread that
 * writes it; it must not log. */
typedef void (*log_sink_fn)(void *ctx, const char *source, struct str line);

/* `source` names the program in each line; lines above `level` are dropped. */
void log_init(const char *source, enum log_level level);
void log_set_level(enum log_level level);
/* At most one; NULL takes it away. */
void log_set_sink(log_sink_fn fn, void *ctx);
/* "error", "warn", "info", "debug"; false if it is none of them. */
bool log_level_parse(const char *name, enum log_level *out);

/* Are lines of this level written? For texts that cost something to make. */
bool log_shows(enum log_level level);
void log_write(enum log_level level, const char *fmt, ...) printf_like(2, 3);
/* A line that another program wrote (an engine's stderr). */
void log_relay(enum log_level level, const char *source, struct str line);

#define log_error(...) log_write(LOG_ERROR, __VA_ARGS__)
#define log_warn(...) log_write(LOG_WARN, __VA_ARGS__)
#define log_info(...) log_write(LOG_INFO, __VA_ARGS__)
#define log_debug(...) log_write(LOG_DEBUG, __VA_ARGS__)
