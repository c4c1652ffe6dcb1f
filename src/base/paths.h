/* paths.h - where modeld's things lie when no option says otherwise.
 *
 * The daemon and the CLI must agree on these without talking to each other, so
 * the rule is written once: the variable for it, then the system's folders for
 * root, then the XDG folders of the user. Nothing is created or looked at; the
 * caller frees every result. */
#pragma once
#include "base/base.h"
#include <stdbool.h>

/* The daemon that root runs listens here. */
#define PATHS_SYSTEM_RUNTIME_DIR "/run/modeld"
#define PATHS_SYSTEM_STATE_DIR "/var/lib/modeld"
/* Where it puts the certificate that clients are to trust. */
#define PATHS_SYSTEM_CA PATHS_SYSTEM_RUNTIME_DIR "/ca.crt"
#define PATHS_SYSTEM_SOCKET PATHS_SYSTEM_RUNTIME_DIR "/modeld.sock"

/* Sockets: /run/modeld, $XDG_RUNTIME_DIR/modeld or, where a login gave none,
 * the user's state folder (never a name in /tmp that others could take). */
char *paths_runtime_dir(void) must_use;
/* MODEL_RUNNER_SOCK, or modeld.sock in the runtime folder. */
char *paths_socket(void) must_use;
/* The content store: MODELS_PATH, or ~/.docker/models for every user. */
char *paths_store(void) must_use;
/* config.json in what systemd gives a unit ($CONFIGURATION_DIRECTORY), in
 * /etc/modeld, or in modeld/ of $XDG_CONFIG_HOME. */
char *paths_config(void) must_use;
/* keys.json beside it. */
char *paths_keys(void) must_use;
/* The daemon's certificates: in the folder that systemd gives it,
 * /var/lib/modeld for root, else Docker Model Runner's place, which is the
 * second one. */
char *paths_certs(void) must_use;
char *paths_user_certs(void) must_use;
/* Is this process run for everybody: by root, or by systemd with a state folder
 * of its own? */
bool paths_is_system(void);
/* What belongs to the Docker CLI: DOCKER_CONFIG, or ~/.docker. */
char *paths_docker(void) must_use;
