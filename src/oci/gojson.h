/* gojson.h - JSON strings as Go's encoding/json writes them: `<`, `>`, `&`,
 * U+2028 and U+2029 are escaped, and what is not UTF-8 becomes \ufffd.
 * Manifests and configs are named by the hash of their bytes, so the bytes must
 * be the ones that Docker Model Runner would write. */
#pragma once
#include "base/buf.h"

/* Appends the string with its quotes. May give BUF_FULL. */
must_use int gojson_put(struct buf *out, const char *s);
