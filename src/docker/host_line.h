/* host_line.h - keeps our marked line in the host's own hosts file.
 *
 * The file is edited in place, like those of containers. Whoever rewrites it
 * (an editor, a configuration manager) is seen, and the line comes back; a line
 * of the administrator's for the same name wins. */
#pragma once
#include "docker/hosts.h"

struct host_line;
struct uv_loop_s;

/* Puts the line in and watches. `path` and `rule` are borrowed. Never fails:
 * what cannot be done is logged, and tried again when the file changes. */
struct host_line *host_line_new(struct uv_loop_s *loop, const char *path,
				const struct hosts_rule *rule);
/* Stops watching; the line stays. */
void host_line_free(struct host_line *h);
BASE_AUTO(host_line);

/* Applies a rule once. False: it could not, which was logged. */
bool host_line_apply(const char *path, const struct hosts_rule *rule);
