/* err.h - why something failed, in words a person can act on.
 *
 * A `struct err` lies on the caller's stack; there is nothing to free. A
 * function that can fail returns 0 (done), -1 (failed, *e says why) or a
 * positive outcome named in its header, which the caller must handle. On the
 * way up err_wrap() adds what was being done, so that the message reads
 * `load ai/smollm2: blob sha256:ab..: no such file`. */
#pragma once
#include "base/base.h"
#include <stdbool.h>

enum err_code {
#define ERR(name, status, type, exit_status) ERR_##name,
#include "base/err_codes.h"
#undef ERR
};

struct err {
	enum err_code code;
	char param[32]; /* the request field at fault, or "" */
	char msg[400];	/* one line, cut if longer; UTF-8 is kept whole */
};

/* All of these return -1, so that `return err_set(e, ...)` reads well. */
int err_set(struct err *e, enum err_code code, const char *fmt, ...)
	printf_like(3, 4);
/* A wrong request field: ERR_INVALID with `param` named. */
int err_field(struct err *e, const char *param, const char *fmt, ...)
	printf_like(3, 4);
/* Says which request field it is that was wrong. */
int err_at(struct err *e, const char *param);
/* A failed system call: ERR_SYSTEM, the text followed by errno's meaning. */
int err_sys(struct err *e, const char *fmt, ...) printf_like(2, 3);
/* Puts `fmt` and ": " before the message that is there. */
int err_wrap(struct err *e, const char *fmt, ...) printf_like(2, 3);

/* Leaves only the last component of each absolute path in the message; gives
 * whether there was one. */
bool err_hide_paths(struct err *e);

/* Columns of err_codes.h. */
int err_http_status(enum err_code code);
const char *err_api_type(enum err_code code);
int err_exit_status(enum err_code code);

/* How an engine ends that may take no more memory, and cannot say it better. */
#define ERR_EXIT_MEMORY 12
