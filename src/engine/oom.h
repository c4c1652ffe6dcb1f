/* oom.h - the kernel's out-of-memory killer: whom it shall take, and whether it
 * came. Both need no privileges. */
#pragma once
#include "base/str.h"

/* Makes it take this child of ours before us, and before most others: a model
 * can be loaded again. What cannot be done is logged. */
void oom_offer(int pid);

/* Whether it has come since a process was well. Who is well may tell so after
 * he was killed, by what still lay in a pipe; so what counts is the last time
 * that was OOM_WELL_MS ago. */
#define OOM_WELL_MS 10000
struct oom_watch {
	int64_t kills[2]; /* on this machine, then and later; -1: unknown */
	uint64_t at_ms;	  /* later */
};
enum oom_came { OOM_NO, OOM_YES, OOM_UNKNOWN };

void oom_watch_init(struct oom_watch *w, uint64_t now_ms);
void oom_watch_well(struct oom_watch *w, uint64_t now_ms);
enum oom_came oom_watch_came(const struct oom_watch *w);

/* Processes that it has killed, in the text of /proc/vmstat; -1: unknown. */
int64_t oom_kills_in(struct str vmstat);
/* What the score of a child of a process with this one becomes. */
int oom_score_of_child(int score);
