/* options_value.h - what the text of an option says: numbers with units, ports,
 * switches. Pure; 0, or -1 with an error that shows what was expected. */
#pragma once
#include "api/access.h"

/* A port, 0 for any free one, or "off": OPTIONS_PORT_OFF. */
must_use int options_value_port(const char *text, int *out, struct err *e);
/* An address to listen on, or "localhost". */
must_use int options_value_address(const char *text, struct err *e);
/* Go's durations, as Docker Model Runner's keep_alive has them: "5m", "1h30m",
 * "90s", "0", "-1" (for ever: less than 0). */
must_use int options_value_duration(const char *text, int64_t *out_ms,
				    struct err *e);
/* Bytes: "8GiB", "900MiB", "123". */
must_use int options_value_size(const char *text, uint64_t *out, struct err *e);
/* "on" or "off" */
must_use int options_value_switch(const char *text, bool *out, struct err *e);
/* What containers may do: "off", "inference" or "full"; and back. */
must_use int options_value_mode(const char *text, enum access_mode *out,
				struct err *e);
const char *options_value_mode_text(enum access_mode mode);
/* The number only: whether it is open shows when it is written to. At a reload
 * it has long been closed. */
must_use int options_value_fd(const char *text, int *out, struct err *e);
