/* ways.h - the sockets that modeld opens itself: its TCP port and its Unix
 * socket.
 *
 * Each accepted stream goes to api->server with its way in, and api->listen
 * says where they are. With a TLS port every address is open there too; then
 * plain HTTP stays on loopback. One that cannot be opened is logged and does
 * not stop the others. A port that changes is opened before the old one is
 * closed, and answers that run on the old one finish. */
#pragma once
#include "api/api.h"
#include "base/list.h"
#include "modeld/certs.h"

struct ways {
	struct uv_loop_s *loop;
	struct api *api;	   /* borrowed; its server must be there */
	const struct certs *certs; /* borrowed; loaded as the options say */
	struct list open;	   /* way.link, owned */
	struct list closed; /* way.link: their last streams may live on */
	json_t *more;	    /* owned; URLs of other ways in */
};

void ways_init(struct ways *w, struct uv_loop_s *loop, struct api *api,
	       const struct certs *certs);
/* -1: nothing could be opened. */
must_use int ways_open(struct ways *w, const struct options *o, struct err *e);
/* Follows the ports and bind of `fresh`. Where no new one can be opened the old
 * ones stay, and `fresh` gets their settings back. */
void ways_follow(struct ways *w, const struct options *old,
		 struct options *fresh);
/* A way in that another module opened, or closed, for api->listen. */
void ways_tell(struct ways *w, const char *url, bool is_open);
/* The TCP port of this host's programs; 0 if there is none. */
int ways_port(const struct ways *w);
/* Nobody can connect any more. */
void ways_stop(struct ways *w);
/* After the server was freed: its streams know their listener. */
void ways_fini(struct ways *w);
