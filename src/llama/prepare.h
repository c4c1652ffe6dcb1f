/* prepare.h - what requests need before their first token: JSON, templates,
 * grammars, tokens. It takes seconds for some, so it is done by jobs, while the
 * loop goes on delivering what others wait for.
 *
 * Two prepare at a time, and never two large ones, so that a large one is in
 * nobody's way for long; beside them one that reads pictures, since their
 * pixels take up to a gigabyte. Callers take turns, as for places (fair.h); of
 * one caller's requests the oldest that may begin is next.
 *
 * While its job runs, a request is the job's: the loop touches it again when
 * `done` comes. All belongs to the loop thread but `work`. */
#pragma once
#include "base/limits.h"
#include "base/list.h"
#include "base/str.h"
#include "io/job.h"

#include <jansson.h>
#include <stdatomic.h>

struct prepare;
struct uv_loop_s;

struct prepare *prepare_new(struct uv_loop_s *loop);
/* Runs the loop until no job is left, when all requests were freed or left. */
void prepare_free(struct prepare *p);
/* Requests that are being prepared, or wait for it, and were not left. */
size_t prepare_count(const struct prepare *p);

enum prepare_outcome { PREPARE_LEFT = 1 };

struct prepare_ask {
	struct str caller; /* whose it is; copied */
	size_t n_bytes;	   /* of its body */
	bool has_pictures;
	/* On another thread; -1 and *e refuse it. */
	job_work_fn work;
	/* With what work gave; PREPARE_LEFT: see prepare_leave(). */
	job_done_fn done;
	void *ctx;
};

/* Embedded in a request, zero at first. */
struct prepare_job {
	struct list link;
	struct prepare *prepare;
	struct prepare_ask ask;
	char caller[LIMIT_CACHE_ID_BYTES + 1];
	uint64_t turn; /* when its caller came, or last had a turn */
	enum { PREPARE_IDLE, PREPARE_WAITING, PREPARE_RUNNING } state;
	atomic_bool is_left;
};

/* `done` comes once, and never before this returned. The same job may be
 * started again from there. */
void prepare_start(struct prepare *p, struct prepare_job *j,
		   const struct prepare_ask *ask);
/* Nobody waits for it any more: it counts no longer. True: its request is to
 * be freed now, and `done` never comes. False: its thread is at it, and `done`
 * comes with PREPARE_LEFT, to free it. */
bool prepare_leave(struct prepare_job *j);
/* For `work`, between its pieces: -1 when it need not go on. */
must_use int prepare_check(const struct prepare_job *j, struct err *e);

/* Frees a request's body; one of many bytes on another thread, since its values
 * may be millions. */
void prepare_drop(struct prepare *p, json_t *body, size_t n_bytes);
