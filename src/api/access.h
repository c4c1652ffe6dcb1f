/* access.h - who may call what, from where.
 *
 * Every row of the route table has a class, every way in a set of classes. On
 * TCP the Host must be one of our names (else a web page could reach us through
 * a name of its own: DNS rebinding), and a page's Origin must be allowed on
 * every way. All of it is decided from the head, before a body is read.
 *
 * With API keys every way but the Unix sockets asks for one. Then the key says
 * what its holder may do, whichever way he came: what containers may do without
 * keys does not cap it, since an administrator gave it those classes. */
#pragma once
#include "base/err.h"
#include "http/head.h"

struct caller;
struct key;
struct keys;

enum access_class {
	ACCESS_OPEN = 1,    /* is it alive? */
	ACCESS_INFER = 2,   /* OpenAI and the other dialects, the model list */
	ACCESS_MANAGE = 4,  /* what changes models or memory */
	ACCESS_INSPECT = 8, /* metrics, logs, others' requests */
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

/* What containers may do without a key. */
enum access_mode {
	ACCESS_MODE_OFF,       /* nothing at all */
	ACCESS_MODE_INFERENCE, /* ask models and list them */
	ACCESS_MODE_FULL,      /* everything */
};

struct access {
	/* Origins beyond those of this machine; "*" allows every one. Each
	 * owned, the array ended by NULL; may be NULL. */
	char **origins;
	/* Names of this server beyond the usual ones; they count where a key is
	 * needed. Owned like origins. */
	char **names;
	enum access_mode containers;
	struct keys *keys; /* borrowed; NULL: none are needed */
};

/* `list` as in DMR_ORIGINS: separated by commas. Replaces what was there. */
void access_set_origins(struct access *a, const char *list);
void access_set_names(struct access *a, const char *list);
void access_fini(struct access *a);

/* Is the Host right, the Origin allowed? -1: ERR_FORBIDDEN says what to do. */
must_use int access_check(const struct access *a, const struct caller *c,
			  const struct http_head *h, struct err *e);
/* Is a key needed on this way? */
bool access_needs_key(const struct access *a, enum access_way way);
/* What may be called on this way, with this key (NULL: none). */
unsigned access_classes(const struct access *a, enum access_way way,
			const struct key *key);
/* Why somebody may not: who may, and how. Sets *e; gives -1. */
int access_refuse(const struct access *a, enum access_way way,
		  const struct key *key, enum access_class c, struct err *e);
/* "infer"; of one class. */
const char *access_class_name(enum access_class c);
