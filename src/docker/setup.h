/* setup.h - modeld-docker's settings: one table for all its commands.
 *
 * Flags win over the file /etc/modeld/docker.json, where '-' is written '_'.
 * Each command takes the flags that it names; in the file all may stand, since
 * one file serves all. */
#pragma once
#include "base/err.h"
#include "base/json.h"
#include "base/log.h"

struct setup {
	/* All strings are owned. */
	char *address;	/* of the container way in; the host's end is its pair
			   in the /31 */
	char *address6; /* the same for IPv6; "off" for none */
	char *netns;	/* name of the network namespace */
	char *device;	/* the host's end of its veth */
	char *name;	/* model-runner.docker.internal */
	char *hosts;	/* the host's own hosts file; "off" leaves it alone */
	char *docker;	/* the name of the Docker socket: /run/docker.sock */
	char *engine;	/* the Engine's socket while the front has that name */
	char *listen;	/* the front's own socket */
	char *modeld;	/* modeld's Unix socket */
	char *helper;	/* our socket for modeld: listeners and callers */
	char *user;	/* the account that modeld runs under: name or number */
	char *take;	/* "on" or "off": does `run` take the socket's name? */
	char *root;	/* Docker's data folder, or NULL: ask the Engine */
	char *dns_address; /* where the DNS responder listens */
	char *upstream;	   /* the DNS server that it forwards to, or NULL */
	json_t *internal;  /* names of internal networks that may reach us, or
			      NULL; borrowed from `file` */
	enum log_level log_level;
	int ready_fd; /* -1: none */
	char *config;
	json_t *file;	    /* owned; NULL: there is none */
	const char *action; /* "up" of "net up", or NULL; from argv */
};

struct setup_command {
	const char *name;
	const char *help;    /* one line */
	const char *actions; /* "up|down"; "[remove]" may be missing; or NULL */
	const char *flags;   /* names of the table's rows, by spaces */
	int (*run)(const struct setup *s, struct err *e);
};

enum setup_outcome { SETUP_DONE = 1 };

/* argv[1] is the command's name. SETUP_DONE: --help was printed. The caller
 * ends *s with setup_fini() in every case. */
must_use int setup_read(struct setup *s, const struct setup_command *c,
			int argc, char **argv, struct err *e);
void setup_fini(struct setup *s);
/* The command "settings": all of them, as the file would have them. */
int setup_print(const struct setup *s, struct err *e);
/* Writes them to a file that --config of another command may name. */
must_use int setup_save(const struct setup *s, const char *path, struct err *e);
/* The socket where the Engine answers now: `engine` while the front has its
 * name, else `docker`. */
const char *setup_engine_socket(const struct setup *s);
