/* events.h - what modeld-llama tells whoever started it: one JSON object a
 * line, on a descriptor that was handed down.
 *
 *   {"event":"loading","fraction":0.42}
 *   {"event":"ready","context":8192,"slots":4,...}
 *   {"event":"failed","cause":"memory","message":"..."}
 *   {"event":"stats","running":1,"queued":0}
 *
 * The other end closes when the parent dies, and then this process ends at
 * once. Without a descriptor nothing is told. */
#pragma once
#include "base/err.h"
#include "llama/batch.h"

struct events;
struct uv_loop_s;

/* fd -1: none. Takes the descriptor. */
struct events *events_new(int fd);
void events_free(struct events *v);
BASE_AUTO(events);

/* Rate-limited; ends the process if the parent is gone. */
void events_loading(struct events *v, float fraction);
/* `sandbox` says what shuts this process in (sandbox_text). */
void events_ready(struct events *v, const struct batch_facts *f,
		  const char *sandbox);
void events_failed(struct events *v, const struct err *e);
/* An assertion of ggml or llama.cpp that fails, as files can make them, is told
 * like any other failure while the model is read, and logged at all times. It
 * ends the process. */
void events_catch_asserts(struct events *v);
/* From now on the loop watches for the parent's end, and stats are told when
 * they changed. */
must_use int events_watch(struct events *v, struct uv_loop_s *loop,
			  struct err *e);
void events_unwatch(struct events *v);
void events_stats(struct events *v, size_t running, size_t queued);
