/* hub_pull.h - a pull's source (pull_source.h): which commit, which files, the
 * small ones of them; then the pull fetches the rest. */
#pragma once
#include "oci/pull_source.h"

struct hub_pull_config {
	struct registry_set *registries;
	const struct weburl *endpoint;
	const char *repository; /* in its own case */
	const char *tag;	/* "Q4_K_M", "latest" */
	const char *revision;	/* "main" */
	const char *token;	/* or NULL */
	const char *token_file; /* or NULL */
};

/* Copies all. It is what goes with hub_pull_source. */
struct hub_pull *hub_pull_new(const struct hub_pull_config *c) must_use;
/* Before it is asked. */
void hub_pull_set(struct hub_pull *h, struct pull *p);
extern const struct pull_source hub_pull_source;
