/* plugin.h - how Docker's CLI runs us: `docker model ls` starts
 * `docker-model [docker's flags] model ls`, and asks before for metadata. */
#pragma once
#include "base/base.h"
#include <stdbool.h>

#define PLUGIN_METADATA "docker-cli-plugin-metadata"

/* What Docker's CLI wants to know of a plugin: JSON. */
const char *plugin_metadata(void);
/* How many of these words are docker's own flags and, after them, the word
 * "model"; the rest is the command. `--config DIR` among them takes effect. */
int plugin_skip_globals(int argc, char *const argv[]);
/* Docker's CLI holds a socket open while it lives, and closes it to have us
 * end: from now on that is a SIGTERM. */
void plugin_follow_docker(void);
