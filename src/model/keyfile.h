/* keyfile.h - the file of API keys: its format, for the daemon that reads it
 * and the CLI that changes it.
 *
 *   {"keys":[{"name":"ci","hash":"sha256:<hex of the key>",
 *     "classes":["infer"],"models":["team/x*"],"expires":"2027-01-01T00:00:00Z",
 *     "requests_per_minute":60,"tokens_per_minute":10000,"parallel":4}]}
 *
 * Only `name` and `hash` must be there. A key itself is never in it: who reads
 * the file cannot use what it names. Unknown members are refused, since a
 * misspelt limit would be none. Blocks on the disk. */
#pragma once
#include "base/json.h"
#include "oci/digest.h"

/* The values of the API's classes of endpoints. */
enum keyfile_class {
	KEYFILE_INFER = 2,
	KEYFILE_MANAGE = 4,
	KEYFILE_INSPECT = 8,
};

#define KEYFILE_NAME_BYTES 65
/* A new key: the prefix and 256 random bits in base64url. */
#define KEYFILE_PREFIX "mdk_"
#define KEYFILE_KEY_BYTES 48

struct keyfile_key {
	char name[KEYFILE_NAME_BYTES]; /* letters, digits, "._-" */
	struct digest hash;	       /* of the key */
	unsigned classes;	       /* keyfile_class; infer if not said */
	/* Patterns of names, '*' is any text; owned, ended by NULL. NULL: every
	 * model. */
	char **models;
	int64_t expires_s; /* Unix time; 0: never */
	/* 0: no limit */
	uint64_t requests_per_minute, tokens_per_minute, parallel;
};

struct keyfile {
	struct keyfile_key *keys; /* owned */
	size_t n;
};

enum keyfile_outcome { KEYFILE_ABSENT = 1 };

must_use int keyfile_parse(struct str text, struct keyfile *out, struct err *e);
/* The file must be regular, not larger than LIMIT_KEY_FILE_BYTES, and neither
 * readable nor writable by everybody. May give KEYFILE_ABSENT. The caller ends
 * *out with keyfile_fini() in every case. */
must_use int keyfile_read(const char *path, struct keyfile *out, struct err *e);
void keyfile_fini(struct keyfile *f);
void keyfile_key_fini(struct keyfile_key *k);

/* Reads the file, lets `fn` change what is in it, and puts it in the file's
 * place at once, under a lock that keeps other writers out. A new file belongs
 * to the folder's owner and can be read by nobody else, but by the service's
 * group where root writes it; an old one keeps what it has. */
must_use int keyfile_change(const char *path,
			    int (*fn)(void *ctx, struct keyfile *f,
				      struct err *e),
			    void *ctx, struct err *e);
/* Takes over what `key` owns. A name that is there already is refused. */
must_use int keyfile_add(struct keyfile *f, struct keyfile_key *key,
			 struct err *e);
/* False: there is none of this name. */
bool keyfile_remove(struct keyfile *f, const char *name);

must_use int keyfile_make_key(char out[KEYFILE_KEY_BYTES], struct err *e);

/* Parts of the format that the CLI has as flags. */
must_use int keyfile_check_name(const char *name, struct err *e);
/* Separated by commas: "infer,manage". */
must_use int keyfile_parse_classes(struct str list, unsigned *out,
				   struct err *e);
/* Separated by commas; the caller owns *out. */
must_use int keyfile_parse_models(struct str list, char ***out, struct err *e);
/* RFC 3339, with seconds; a fraction is ignored. */
must_use int keyfile_parse_time(struct str text, int64_t *out_s, struct err *e);
#define KEYFILE_TIME_BYTES 32
const char *keyfile_time_text(int64_t s, char out[KEYFILE_TIME_BYTES]);
/* "infer,manage" */
#define KEYFILE_CLASSES_BYTES 32
const char *keyfile_classes_text(unsigned classes,
				 char out[KEYFILE_CLASSES_BYTES]);
