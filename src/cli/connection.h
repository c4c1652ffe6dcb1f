/* connection.h - what `docker model connect` makes: the settings it has, who
 * runs modeld-docker, and whether that runs now.
 *
 * With systemd the units of modeld.target do, else one `modeld-docker run` that
 * has started the rest. Looking needs no privileges. */
#pragma once
#include "base/err.h"
#include "base/json.h"

#define CONNECTION_TARGET "modeld.target"
#define CONNECTION_CONFIG "/etc/modeld/docker.json"
#define CONNECTION_RUN_DIR "/run/modeld-docker"

struct connection {
	char *program;	    /* owned; modeld-docker */
	const char *config; /* its --config, or NULL: the usual file */
	json_t *settings;   /* owned; what its "settings" prints */
	/* Of the settings, borrowed. */
	const char *address, *address6, *name, *docker, *engine, *listen,
		*modeld, *netns, *device, *hosts, *user;
	bool takes_socket;
	bool has_systemd;
	bool is_on; /* enabled, or running */
	int pid;    /* of "modeld-docker run", or 0 */
};

enum connection_outcome { CONNECTION_ABSENT = 1 };

/* CONNECTION_ABSENT: modeld-docker is not installed. */
must_use int connection_read(struct connection *c, struct err *e);
/* The same with the defaults, where the file cannot be read. */
must_use int connection_read_defaults(struct connection *c, struct err *e);
void connection_fini(struct connection *c);
/* Looks again whether it is on. */
void connection_look(struct connection *c);
/* "active", "failed" ... as systemd has it; the caller frees it. */
char *connection_unit_state(const char *unit) must_use;
/* All units that belong to it, in the order of their start; ends in NULL. Those
 * from CONNECTION_SOCKET_UNITS on are for the Docker socket. */
extern const char *const connection_units[];
#define CONNECTION_SOCKET_UNITS 3
