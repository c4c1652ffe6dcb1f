/* metrics.h - what GET /metrics shows, in Prometheus' text format (0.0.4).
 *
 * Counters live in modeld, so they go on when a model leaves memory. Labels are
 * bounded: routes are the table's rows, models at most METRICS_MODELS by name
 * and "other" beyond. */
#pragma once
#include "base/buf.h"
#include "engine/engine.h"
#include "io/brake.h"

#define METRICS_MODELS 256

struct metrics;
struct route;

/* One counter set per row, and one for what no row matches. */
struct metrics *metrics_new(const struct route *rows, size_t n_rows);
void metrics_free(struct metrics *m);

/* A request is over. `row` is its index, n_rows for none; status 499 when the
 * client left first. Times in nanoseconds; 0 for no first byte. */
void metrics_request(struct metrics *m, size_t row, int status,
		     uint64_t first_byte_ns, uint64_t total_ns);
void metrics_tokens(struct metrics *m, const char *model, uint64_t prompt,
		    uint64_t cached, uint64_t completion);
void metrics_load(struct metrics *m, const char *model, bool ok, uint64_t ms);

/* What others count. */
struct metrics_others {
	struct engine_set *engines;
	size_t open; /* exchanges */
	struct brake_facts bulk;
};
must_use int metrics_print(struct metrics *m, const struct metrics_others *o,
			   struct buf *out);
