#include "model/artifact.h"
#include "base/limits.h"

void artifact_init(struct artifact *a)
{
	*a = (struct artifact){ 0 };
	arena_init(&a->m.arena);
	buf_init(&a->config, LIMIT_CONFIG_BLOB_BYTES);
	buf_init(&a->text, LIMIT_MANIFEST_BYTES);
}

void artifact_fini(struct artifact *a)
{
	arena_fini(&a->m.arena);
	buf_fini(&a->config);
	buf_fini(&a->text);
}

struct digest *artifact_diff_ids(struct artifact *a)
{
	struct digest *ids =
		arena_alloc(&a->m.arena, a->m.n_layers * sizeof *ids);
	for (size_t i = 0; i < a->m.n_layers; i++)
		ids[i] = a->m.layers[i].digest;
	return ids;
}

int artifact_seal(struct artifact *a, const char *config_type, struct err *e)
{
	a->m.artifact_type = strcmp(config_type, MANIFEST_CONFIG_CNCF) == 0
				     ? MANIFEST_ARTIFACT_CNCF
				     : NULL;
	a->m.config = (struct manifest_blob){
		.media_type = config_type,
		.bytes = a->config.n,
		.digest = digest_of(buf_str(&a->config)),
	};
	if (manifest_write(&a->m, &a->text))
		return err_set(e, ERR_TOO_LARGE,
			       "the manifest would be larger than %u bytes",
			       LIMIT_MANIFEST_BYTES);
	a->id = digest_of(buf_str(&a->text));
	return 0;
}
