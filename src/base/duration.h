/* duration.h - lengths of time as people and Go programs write them: "5m",
 * "1h30m", "1.5s", "0", and "-1" for without end. */
#pragma once
#include "base/str.h"

#define DURATION_TEXT_BYTES 48

/* Below 0 for any negative one. False: not a duration. */
bool duration_parse(struct str text, int64_t *out_ms);
/* As Go prints it: "1h30m0s", "1.5s", "0s"; "-1" below 0. Gives `out`. */
const char *duration_text(int64_t ms, char out[DURATION_TEXT_BYTES]);
