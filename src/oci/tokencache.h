/* tokencache.h - bearer tokens that registries' token servers gave, until they
 * expire: one pull's are the next one's. */
#pragma once
#include "base/list.h"
#include "base/str.h"

#include <stdint.h>

struct tokencache {
	struct list all; /* newest first */
	size_t n;
};

void tokencache_init(struct tokencache *t);
void tokencache_fini(struct tokencache *t);
/* `key` is whatever makes a token fit: registry, service, scope, who asks. The
 * result is borrowed until the next call; NULL: none that lives. */
const char *tokencache_find(struct tokencache *t, const char *key,
			    uint64_t now_ms);
void tokencache_put(struct tokencache *t, const char *key, const char *text,
		    uint64_t until_ms);
void tokencache_drop(struct tokencache *t, const char *key);
