/* access.h - who may call what, from where.
 *
 * Every row of the route table has a class, every way in a set of classes. On
 * TCP the Host must be one of our names (else a web page could reach us through
 * a name of its own: DNS rebinding), and a page's Origin must be allowed on
 * every way. All of it is decided from the head, before a body is read. */
#pragma once
#include "base/err.h"
#include "http/head.h"

enum access_class {
	ACCESS_OPEN = 1,    /* is it alive? */
	ACCESS_INFER = 2,   /* OpenAI and the other dialects, the model list */
	ACCESS_MANAGE = 4,  /* what changes models or memory */
	ACCESS_INSPECT = 8, /* metrics, logs */
};

enum access_way {
	ACCESS_HOST,	   /* TCP on loopback */
	ACCESS_SOCKET,	   /* our own Unix socket; its file mode guards it */
	ACCESS_DOCKER,	   /* the Docker socket's front, for its client */
	ACCESS_CONTAINERS, /* the address that containers have a name for */
	ACCESS_GATEWAY,	   /* the gateway address of docker0 */
	ACCESS_OTHER,	   /* any other address, by --bind */
};

/* "host", "socket", "docker", "containers", "gateway", "other" */
const char *access_way_name(enum access_way way);
/* False if no way has this name. */
bool access_way_parse(struct str name, enum access_way *out);

struct access {
	/* Origins beyond those of this machine; "*" allows every one. Each
	 * owned, the array ended by NULL; may be NULL. */
	char **origins;
};

/* `list` as in DMR_ORIGINS: separated by commas. Replaces what was there. */
void access_set_origins(struct access *a, const char *list);
void access_fini(struct access *a);

/* Is the Host right, the Origin allowed? -1: ERR_FORBIDDEN says what to do. */
must_use int access_check(const struct access *a, enum access_way way,
			  const struct http_head *h, struct err *e);
/* May this way in call this class? */
must_use int access_check_class(enum access_way way, enum access_class c,
				struct err *e);
