/* options.h - modeld's settings: flags, the environment, the configuration
 * file. A flag wins over the environment, that over the file. One table has
 * them all; --help comes from it. */
#pragma once
#include "api/access.h"
#include "base/json.h"
#include "base/log.h"

#define OPTIONS_PORT_OFF (-1)

struct options {
	int port;	/* 0: any free one; OPTIONS_PORT_OFF */
	char *bind;	/* owned; "localhost" is 127.0.0.1 and ::1 */
	char *keys;	/* owned; the file of API keys, "off" or NULL */
	char *names;	/* owned; of this server, separated by commas */
	int tls_port;	/* as port */
	char *tls_cert; /* owned; NULL: made by tls_ca.h */
	char *tls_key;	/* owned; NULL without tls_cert */
	bool tls_auto;	/* a certificate may be made */
	char *socket;	/* owned; "off" for none */
	char *store;	/* owned */
	char *llama;	/* owned; the program modeld-llama */
	enum access_mode containers;
	char *helper; /* owned; its socket, or "off" */
	bool share_cache;
	char *origins;	       /* owned; as in DMR_ORIGINS */
	char *registry;	       /* owned; for names that have none, or NULL */
	char *insecure;	       /* owned; as in INSECURE_REGISTRY, or NULL */
	char *mirrors;	       /* owned; URLs, comma-separated, or NULL */
	char *hf_endpoint;     /* owned; URL, or NULL */
	char *hf_token_file;   /* owned, or NULL */
	int64_t keep_alive_ms; /* < 0: for ever */
	uint64_t memory_bytes; /* 0: nine tenths of what there is */
	bool metrics;
	bool record; /* the last requests */
	bool sandbox;
	enum log_level log_level;
	int ready_fd; /* -1: none */
	/* The file's "engines", or NULL; owned. */
	json_t *engines;
	char *config;  /* owned; the file, which need not be there */
	bool has_file; /* it was */
};

enum options_outcome { OPTIONS_DONE = 1 };

/* Reads everything. OPTIONS_DONE: --help or --version was printed. The caller
 * ends *o with options_fini() in every case. */
must_use int options_read(struct options *o, int argc, char **argv,
			  struct err *e);
void options_fini(struct options *o);
/* "off", "inference" or "full" */
const char *options_containers(const struct options *o);
bool options_has_keys(const struct options *o);
/* An address of this machine alone? */
bool options_is_loopback(const char *ip);
