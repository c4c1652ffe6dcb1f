/* lora_turn.h - whose tasks are computed next.
 *
 * Adapters hold for a whole batch, so only tasks with the same ones are
 * computed together; tasks with others take turns. A turn lasts a few steps,
 * since a change costs some; next are those that have waited longest. Belongs
 * to the compute thread. */
#pragma once
#include "llama/lora.h"

struct batch;
struct batch_task;
struct slot;

struct lora_turn {
	struct lora_scales lora; /* whose it is */
	uint64_t number;
	uint64_t began_ns;
};

/* A task came into this slot: it waits for its turn like the others. */
void lora_turn_enter(struct batch *b, struct slot *s);
/* Chooses, before a step is planned. */
void lora_turn_choose(struct batch *b);
/* May it take part in this step? */
bool lora_turn_has(const struct batch *b, const struct batch_task *t);
