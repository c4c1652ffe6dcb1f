/* tunings.h - the settings of all models (tuning.h), by model and mode: in
 * memory, and in a file of the store's folder, so that they hold after a
 * restart. A store that cannot be written keeps them only while modeld runs. */
#pragma once
#include "engine/tuning.h"

struct tunings;

/* Reads the file, if there is one; entries that it holds and that are not valid
 * any more are left out, with a warning. `store` is the store's folder. */
struct tunings *tunings_open(const char *store) must_use;
void tunings_free(struct tunings *t);

/* What applies to this model in this mode, or NULL; valid until it changes. */
const struct tuning *tunings_find(const struct tunings *t, const char *model_id,
				  enum engine_mode mode);
/* Takes what is in *tuning, in place of what there was. -1: there are too many
 * (ERR_CONFLICT), and *tuning is still the caller's. */
must_use int tunings_set(struct tunings *t, const char *model_id,
			 enum engine_mode mode, struct tuning *tuning,
			 struct err *e);
/* Forgets them, in all modes if `mode` is NULL; gives how many there were. */
size_t tunings_remove(struct tunings *t, const char *model_id,
		      const enum engine_mode *mode);
typedef void (*tunings_fn)(void *ctx, const char *model_id,
			   enum engine_mode mode, const struct tuning *tuning);
void tunings_each(const struct tunings *t, tunings_fn fn, void *ctx);

/* What is to be written, as of now; the caller hands it to tunings_write(),
 * which may run on another thread and writes no older text over a newer. */
struct tunings_text {
	char *text; /* owned; freed by tunings_write() */
	uint64_t number;
};
struct tunings_text tunings_print(struct tunings *t) must_use;
/* Logs what goes wrong. Blocks on the disk. */
void tunings_write(struct tunings *t, struct tunings_text *text);
