/* pattern.h - a regular expression of a JSON schema, rewritten so that
 * llama.cpp makes only what matches it.
 *
 * llama.cpp understands a part of the language, and takes what a pattern
 * matches for what stands between a JSON string's quotes: a dot then lets a
 * quote through, and the answer is no JSON any more. The rewritten one is in
 * that part, and matches nothing that JSON would have to escape but by its
 * escape. It may match less than the original (no control characters, only
 * ASCII for \w), never more. Pure. */
#pragma once
#include "base/buf.h"

/* Appends to `out`. -1: it has something that cannot be kept to (references
 * back, looking ahead, anchors within, ...) or is no regular expression. */
must_use int pattern_rewrite(struct str pattern, struct buf *out);
