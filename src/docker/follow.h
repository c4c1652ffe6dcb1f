/* follow.h - keeps a rule true in every hosts file below Docker's data folder:
 * those of containers (<root>/containers/ID/hosts) and of BuildKit's steps
 * (<root>/buildkit/executor/hosts*), from the moment that Docker has written
 * one and before anybody runs with it.
 *
 * By inotify: the watch comes first, then the look, so nothing falls between.
 * Folders may be missing, come and go; a queue that ran over is answered by
 * looking at everything. A container that writes its file without end is looked
 * at ever so often (LIMIT_HOSTS_LOOKS) and not listened to in between. */
#pragma once
#include "base/err.h"
#include "docker/hosts.h"

struct follow;
struct uv_loop_s;

/* `rule` is borrowed. Nothing is followed before follow_set_root(). */
must_use int follow_new(struct uv_loop_s *loop, const struct hosts_rule *rule,
			struct follow **out, struct err *e);
void follow_free(struct follow *f);
BASE_AUTO(follow);

/* Docker's data folder, which need not exist; files of a former one are left as
 * they are. Looks at everything before it returns. */
void follow_set_root(struct follow *f, const char *root);
const char *follow_root(const struct follow *f); /* NULL: none yet */
/* Looks at everything anew: the rule has changed, or who knows what has. */
void follow_look(struct follow *f);
