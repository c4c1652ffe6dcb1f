/* backoff.h - models whose engine failed, and when it may be tried again.
 *
 * A model that ends its engine whenever it is loaded or asked would keep the
 * machine busy with loads. Two failures in a row cost nothing, for they may be
 * chance; after that it rests, twice as long each time, and who asks meanwhile
 * is told the cause at once. An answer that was given ends the count.
 *
 * What failed is known by a key: the model and its settings, so that other
 * settings are tried at once. */
#pragma once
#include "base/err.h"
#include "base/list.h"
#include <stdint.h>

struct backoff {
	struct list failing; /* the last one first */
	size_t n;
};

void backoff_init(struct backoff *b);
void backoff_fini(struct backoff *b);
/* The engine for `key` ended with `cause`, without an answer. */
void backoff_failed(struct backoff *b, const char *key, uint64_t now_ms,
		    const struct err *cause);
/* It gave an answer. */
void backoff_worked(struct backoff *b, const char *key);
/* 0: it may be started; -1: it rests, and *e is the cause of the last failure
 * with the time until the next try. */
must_use int backoff_check(const struct backoff *b, const char *key,
			   uint64_t now_ms, struct err *e);
