/* source.h - the bytes of a file, a part of it, for one who may not wait for
 * the disk: a job reads the next piece while the last one is being taken. */
#pragma once
#include "io/lane.h"

#include <stddef.h>
#include <stdint.h>

struct source;

/* `bytes` of the file from `offset` on. `on_ready` is called when source_take()
 * had nothing and now has, or failed; never before a function here returns. */
struct source *source_new(struct lane *lane, const char *path, uint64_t offset,
			  uint64_t bytes, void (*on_ready)(void *ctx),
			  void *ctx) must_use;
/* No callback comes after. */
void source_free(struct source *s);

/* At most `room` bytes to `to`; 0: none yet, or it failed, or all were taken.
 */
size_t source_take(struct source *s, char *to, size_t room);
/* From the first byte again. */
void source_rewind(struct source *s);
/* Has it failed? Then *e says why: ERR_CORRUPT, the file is shorter. */
bool source_has_failed(const struct source *s, struct err *e);
