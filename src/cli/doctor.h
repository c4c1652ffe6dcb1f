/* doctor.h - looks at modeld from the outside; a line for each finding.
 *
 *   OK   modeld answers, version 0.1.0
 *   FAIL port 12434 is held by nginx (process 812): stop it, or ...
 *   --   the name in containers: not connected: docker model connect
 *
 * A check is a function here and a row in cmd_doctor.c; it prints its lines and
 * never fails itself. Nothing is changed, but for a container and its image
 * that are made and removed. */
#pragma once
#include "cli/call.h"
#include "cli/connection.h"

struct doctor {
	size_t n_failed;
	struct call *daemon;	/* owned; NULL: modeld does not answer */
	int pid;		/* modeld's, or 0 */
	json_t *version;	/* owned; GET /version, or NULL */
	struct connection ways; /* valid if has_docker_part */
	bool has_docker_part;	/* modeld-docker is installed */
	bool has_engine;	/* Docker Engine answers */
};

void doctor_ok(struct doctor *d, const char *fmt, ...) printf_like(2, 3);
/* What is wrong, and after a colon what to do. */
void doctor_fail(struct doctor *d, const char *fmt, ...) printf_like(2, 3);
/* Nothing to find here, and why. */
void doctor_skip(struct doctor *d, const char *fmt, ...) printf_like(2, 3);
/* Is it connected? If not, says so of `what`. */
bool doctor_is_connected(struct doctor *d, const char *what);
/* The same, and does modeld let containers in? */
bool doctor_is_for_containers(struct doctor *d, const char *what);
/* A member of GET /version, or NULL. */
const char *doctor_told(const struct doctor *d, const char *member);

/* modeld itself */
void doctor_daemon_answers(struct doctor *d);
void doctor_daemon_port(struct doctor *d);
void doctor_daemon_config(struct doctor *d);
void doctor_daemon_store(struct doctor *d);
void doctor_daemon_llama(struct doctor *d);
void doctor_daemon_memory(struct doctor *d);
/* what connects it to Docker */
void doctor_ways_engine(struct doctor *d);
void doctor_ways_helper(struct doctor *d);
void doctor_ways_address(struct doctor *d);
void doctor_ways_route(struct doctor *d);
void doctor_ways_name(struct doctor *d);
void doctor_ways_front(struct doctor *d);
void doctor_firewall_check(struct doctor *d);
void doctor_container_check(struct doctor *d);
