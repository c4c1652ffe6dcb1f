/* hub_words.h - what to do when the hub refuses. Pure. */
#pragma once
#include "oci/registry.h"

/* For registry_open_url(). */
void hub_words(const struct registry_refusal *r, struct err *e);
