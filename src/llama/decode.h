/* decode.h - the tasks that make text, see decode.c. Belongs to the compute
 * thread. */
#pragma once
#include "llama/batch.h"

/* One step of work; false: there was nothing to do. */
bool decode_step(struct batch *b);

/* ---- for what is computed beside the batch of tokens (sight.c) ---- */
void decode_end(struct batch_task *t, enum batch_end why);
/* Ends it, and gives up its cells. */
void decode_fail(struct batch_task *t, const struct err *e);
/* Does it take part in this step? */
bool decode_has(const struct batch *b, const struct batch_task *t);
/* Tokens of prompts that a step beside so many answers may take. */
size_t decode_prompt_room(const struct batch *b, size_t n_answers);
/* All of its tokens are cells: what does this row of logits give? */
void decode_sample(struct batch *b, struct batch_task *t, int32_t row);
void decode_make_room(struct batch *b);
