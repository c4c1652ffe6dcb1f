/* answer.h - reads a streamed chat answer and shows it as it comes.
 *
 * Bytes in, cut anywhere; text out in whole characters: reasoning first, under
 * `Thinking:`, then the answer itself, which is also kept. Pure but for the
 * function that shows. */
#pragma once
#include "base/buf.h"
#include "base/err.h"
#include "http/sse.h"

typedef void (*answer_show_fn)(struct str text);

struct answer {
	struct sse_decoder events;
	struct buf text; /* the answer so far, without reasoning */
	answer_show_fn show;
	bool is_thinking; /* reasoning was shown, the answer has not begun */
	bool has_shown;
	bool is_over; /* the model finished, or said [DONE] */
	bool has_usage;
	int64_t prompt_tokens, answer_tokens;
	struct err *e; /* of the call under way; NULL: no failure yet */
	bool has_failed;
};

void answer_init(struct answer *a, answer_show_fn show);
void answer_fini(struct answer *a);
/* A call_piece_fn; `ctx` is the answer. -1: not what we speak, or the server's
 * own error event. */
must_use int answer_feed(void *ctx, struct str piece, struct err *e);
/* After the last piece: -1 if the end is missing. */
must_use int answer_end(const struct answer *a, struct err *e);
