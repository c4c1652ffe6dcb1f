#include "oci/choose.h"
#include "base/json.h"
#include "base/limits.h"
#include "oci/manifest.h"

bool choose_is_index(struct str text, const char *media_type)
{
	auto_json *index = NULL;
	struct str own = { NULL, 0 };
	struct err unused;
	if (json_parse_bounded(text, LIMIT_MANIFEST_MARKS, &index, &unused) ||
	    !json_is_object(index) ||
	    json_get_str(index, "mediaType", &own, &unused))
		return false;
	if (own.n)
		return str_eq(own, CHOOSE_INDEX_TYPE) ||
		       str_eq(own, CHOOSE_LIST_TYPE);
	return strcmp(media_type, CHOOSE_INDEX_TYPE) == 0 ||
	       strcmp(media_type, CHOOSE_LIST_TYPE) == 0 ||
	       json_object_get(index, "manifests");
}

static bool names_model(struct str type)
{
	static const char *const types[] = {
		MANIFEST_CONFIG_V1, MANIFEST_CONFIG_V2, MANIFEST_CONFIG_CNCF,
		"application/vnd.cncf.model.manifest.v1+json"
	};
	for (size_t i = 0; i < ARRAY_LEN(types); i++)
		if (str_eq(type, types[i]))
			return true;
	return false;
}

struct found {
	size_t manifests, models;
	struct digest manifest, model; /* the last of each */
};

static void look(const json_t *entry, struct found *f)
{
	struct str type = { NULL, 0 }, artifact = type, digest = type;
	struct digest d;
	struct err unused;
	if (json_get_str(entry, "mediaType", &type, &unused) ||
	    json_get_str(entry, "artifactType", &artifact, &unused) ||
	    json_get_str(entry, "digest", &digest, &unused) ||
	    !str_eq(type, MANIFEST_MEDIA_TYPE) ||
	    digest_parse(digest, &d, &unused))
		return;
	f->manifests++;
	f->manifest = d;
	if (!names_model(artifact))
		return;
	f->models++;
	f->model = d;
}

int choose_manifest(struct str text, struct digest *out, struct err *e)
{
	auto_json *index = NULL;
	struct found f = { 0 };
	size_t i;
	json_t *entry;
	if (json_parse_bounded(text, LIMIT_MANIFEST_MARKS, &index, e))
		return err_wrap(e, "image index");
	json_array_foreach(json_object_get(index, "manifests"), i, entry)
	{
		if (json_is_object(entry))
			look(entry, &f);
	}
	if (f.models == 1 || f.manifests == 1) {
		*out = f.models == 1 ? f.model : f.manifest;
		return 0;
	}
	return err_set(e, ERR_UNSUPPORTED,
		       "it is an image index with %zu manifests, of which %zu "
		       "say that they are a model; name the one you want by "
		       "its digest: NAME@sha256:...",
		       f.manifests, f.models);
}
