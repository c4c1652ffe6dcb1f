/* journal.h - the last log lines of modeld and its engines, for GET /logs.
 *
 * Kept in memory only, LIMIT_LOG_RING_BYTES of them, so nothing of a log that
 * someone turned up to debug stays on a disk. */
#pragma once
#include "base/list.h"
#include "base/str.h"

struct journal;
struct http_exchange;

/* Takes the log's sink (log.h). */
struct journal *journal_new(void);
/* Ends the answers that still follow it. */
void journal_free(struct journal *j);

/* Answers with the lines there are, and with those to come if `follow`. */
void journal_answer(struct journal *j, struct http_exchange *x, bool follow,
		    bool with_engines);
/* Ends all that follow: the server drains. */
void journal_end_followers(struct journal *j);
