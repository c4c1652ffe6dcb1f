/* fold.h - makes of a streamed answer the one object that it would have been
 * without streaming: texts, reasoning and tool calls joined, the last usage.
 *
 * Of OpenAI's chat and completion streams; what is not understood is left out.
 * Pure. */
#pragma once
#include "base/buf.h"

/* Appends the object. `error` gets the error object that stands in the stream
 * instead, if there is one. BUF_FULL leaves `out` longer than it was. */
must_use int fold_stream(struct str events, struct buf *out, struct buf *error);
