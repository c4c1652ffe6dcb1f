/* configure.h - settings of models: how they are started, and how long they
 * stay (engine/tuning.h). The handlers stand in routes.h. */
#pragma once
#include "api/api.h"

/* The settings that this model has in this mode, as compact JSON in the arena:
 * what it was set up with, else the context that its package chose. */
const char *configure_text(const struct api *api, const struct catalog_model *m,
			   enum engine_mode mode, struct arena *a);
/* Gives up the models that are loaded because they were set up; before the
 * engines end. */
void configure_stop(struct api *api);
