/* human.h - sizes, ages and times in the words that Docker's CLI uses.
 *
 * Pure: no clock is read here, `now` is an argument. */
#pragma once
#include "base/str.h"

/* Every text of this file fits. */
#define HUMAN_BYTES 48

/* Base 1000, two decimals: "42.00B", "19.08MB". */
void human_size(double bytes, char out[HUMAN_BYTES]);
/* "Less than a second", "About a minute", "3 weeks" (Docker's HumanDuration).
 */
void human_duration(int64_t seconds, char out[HUMAN_BYTES]);
/* Go's time.Duration text ("1h0m0s", "250ms", "-1" as it stands) to seconds,
 * rounded down; false if it is none. */
bool human_parse_duration(struct str text, int64_t *seconds);
/* RFC 3339 ("2026-11-22T15:53:44.68Z", "...+01:00") to Unix seconds. */
bool human_parse_time(struct str text, int64_t *seconds);
