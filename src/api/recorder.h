/* recorder.h - the last requests to models, with their answers, for whoever
 * may inspect: in memory only, and bounded (LIMIT_RECORD_..., limits.h).
 *
 * What is under way counts too: where it would be too much, the oldest ended
 * ones go, then of what comes only the beginning is kept. */
#pragma once
#include "api/api.h"
#include "api/record.h"

struct recorder;

struct recorder *recorder_new(struct uv_loop_s *loop) must_use;
/* After the loop has ended: a job may be printing. */
void recorder_free(struct recorder *r);
/* Off: forgets everything, and remembers nothing more. */
void recorder_set_on(struct recorder *r, bool on);

/* A request begins; its body is copied. NULL if it is off. */
struct record *recorder_begin(struct recorder *r, const struct record_facts *f,
			      struct str body) must_use;
/* A piece of the answer passed. */
void recorder_see(struct recorder *r, struct record *record, struct str piece);
/* It is over; `failure` (an error object) is what was told instead of an
 * answer, or "". Takes the record; NULL is fine. */
void recorder_end(struct recorder *r, struct record *record, int status,
		  struct str failure);

/* Answers with what there is, of one model (by id or name) if `model` is not
 * "". */
void recorder_answer(struct recorder *r, struct http_exchange *x,
		     struct str model);
/* The same as events, as they come; with those before them if asked for. */
void recorder_follow(struct recorder *r, struct http_exchange *x,
		     struct str model, bool with_existing);
/* The server drains. */
void recorder_end_followers(struct recorder *r);
