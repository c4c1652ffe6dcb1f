/* models_remote.h - GET /models/NAME?remote=true. */
#pragma once
#include "api/api.h"

/* Answers, sooner or later. */
void models_remote(struct api *api, struct http_exchange *x, struct str name);
