/* catalog.h - the names that people use, and the models behind them.
 *
 * Follows the store's index: a look-up costs one stat(2) and a binary search
 * (a few microseconds) while nothing changes, in this or another process. After
 * a change the index is read again (10,000 models: some 80 ms), which is for a
 * job: who looks names up on the loop asks catalog_is_fresh() first. The first
 * look at a model reads its manifest and config, two small files; a bounded
 * cache keeps them.
 *
 * Any thread may call any function; what comes out lies in the caller's arena
 * and stays true to the moment of the call. */
#pragma once
#include "oci/store.h"

struct catalog;

enum catalog_outcome { CATALOG_ABSENT = 1 };

/* A name without a tag means the tag `latest`. LOOSE: where no model has that,
 * the first whose repository's last part is the name (inspect, tag); STRICT:
 * none (inference, delete, push, export). */
enum catalog_match { CATALOG_STRICT, CATALOG_LOOSE };

struct catalog_model {
	struct digest id;
	const char *const *tags; /* fully qualified */
	size_t n_tags;
	/* Unix time: of the artifact; when it came here, if it says 1970 (to be
	 * the same everywhere) or nothing. 0: not known. */
	int64_t created_s;
	/* From the config; "" or 0 where it does not say. */
	const char *format;
	const char *architecture;
	const char *parameters;
	const char *quantization;
	const char *size;
	int64_t context_size;
	struct str config; /* the artifact's config object, compact JSON */
	bool is_embedding; /* or for ranking: guessed, from the metadata */
	bool has_template; /* of its own, or in the GGUF file */
	/* Absolute paths of blobs. */
	const char *const *weights; /* in order: the shards of a split GGUF */
	size_t n_weights;
	uint64_t weight_bytes;
	const char *mmproj; /* or NULL */
	uint64_t mmproj_bytes;
	const char *chat_template; /* or NULL: the one in the GGUF file */
	const char *const *licences;
	size_t n_licences;
};

/* Borrows the store; `default_registry` NULL: docker.io. */
struct catalog *catalog_new(struct store *s,
			    const char *default_registry) must_use;
void catalog_free(struct catalog *c);
BASE_AUTO(catalog);

/* Does the next look-up know of every change that was made before this call,
 * without reading the index? One stat(2). */
bool catalog_is_fresh(struct catalog *c);
/* Makes it so. Also reads what is said of the first models that nobody looked
 * at yet, so that in a store of usual size a look-up reads no file. Blocks. */
must_use int catalog_refresh(struct catalog *c, struct err *e);

/* By any form of ref.h. A text that names nothing, an invalid one too, is
 * CATALOG_ABSENT; -1 is a store or model that cannot be read. */
must_use int catalog_find(struct catalog *c, struct str name,
			  enum catalog_match match, struct arena *a,
			  const struct catalog_model **out, struct err *e);

/* All models in the order they came. One that cannot be read is left out, with
 * a warning in the log. Linear: from a job thread when there may be many (about
 * 50 us each while not in the cache). */
must_use int catalog_list(struct catalog *c, struct arena *a,
			  const struct catalog_model **out, size_t *out_n,
			  struct err *e);

/* Of names that have none. */
const char *catalog_registry(const struct catalog *c);

/* What catalog_find() takes, for calls to the store that need a reference
 * (delete, tag). */
must_use int catalog_ref(const struct catalog *c, struct str name,
			 struct ref *out, struct err *e);
