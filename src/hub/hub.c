#include "hub/hub.h"
#include "hub/hub_pull.h"

#include <stdio.h>

#define HUB_ENDPOINT "https://huggingface.co"
/* Between the two halves of a stored tag (ref.h). */
#define REVISION_MARK "--"

struct hub {
	struct hub_settings settings; /* strings owned */
};

static char *copy(const char *s)
{
	return s && s[0] ? xstrdup(s) : NULL;
}

static void settings_fini(struct hub_settings *s)
{
	free((char *)s->endpoint);
	free((char *)s->token);
	free((char *)s->token_file);
}

void hub_change(struct hub *h, const struct hub_settings *s)
{
	settings_fini(&h->settings);
	h->settings = (struct hub_settings){
		.endpoint = copy(s->endpoint),
		.token = copy(s->token),
		.token_file = copy(s->token_file),
	};
}

struct hub *hub_new(const struct hub_settings *s)
{
	struct hub *h = xcalloc(1, sizeof *h);
	hub_change(h, s);
	return h;
}

void hub_free(struct hub *h)
{
	if (!h)
		return;
	settings_fini(&h->settings);
	free(h);
}

bool hub_has(const struct ref *ref)
{
	return strcmp(ref->registry, "huggingface.co") == 0;
}

/* The repository as it was written; the reference has it in lower case. */
static void spell(const struct ref *ref, struct str name,
		  char out[REF_PATH_BYTES])
{
	size_t n = strlen(ref->repository);
	name = str_trim(name);
	for (;;) {
		if (name.n >= n &&
		    str_eq_nocase(str_head(name, n), ref->repository)) {
			snprintf(out, REF_PATH_BYTES, "%.*s", (int)n, name.p);
			return;
		}
		ptrdiff_t slash = str_find(name, '/');
		if (slash < 0)
			break;
		name = str_tail(name, (size_t)slash + 1);
	}
	snprintf(out, REF_PATH_BYTES, "%s", ref->repository);
}

int hub_start(struct hub *h, struct pull_set *pulls, const struct ref *ref,
	      struct str name, const char *bearer, const struct pull_fns *fns,
	      void *ctx, struct pull **out, struct err *e)
{
	struct weburl endpoint;
	char repository[REF_PATH_BYTES], tag[REF_TAG_BYTES];
	const char *url = h->settings.endpoint;
	const char *revision = "main";
	if (weburl_parse(str_of(url ? url : HUB_ENDPOINT), &endpoint, e))
		return err_wrap(e, "HF_ENDPOINT");
	spell(ref, name, repository);
	snprintf(tag, sizeof tag, "%s", ref->tag);
	char *mark = strstr(tag, REVISION_MARK);
	if (mark && mark[strlen(REVISION_MARK)]) {
		*mark = '\0';
		revision = mark + strlen(REVISION_MARK);
	}
	struct hub_pull *src = hub_pull_new(&(struct hub_pull_config){
		.registries = pull_set_registries(pulls),
		.endpoint = &endpoint,
		.repository = repository,
		.tag = tag,
		.revision = revision,
		.token = bearer ? bearer : h->settings.token,
		.token_file = bearer ? NULL : h->settings.token_file });
	if (pull_start(pulls, ref, &hub_pull_source, src, fns, ctx, out, e))
		return -1;
	hub_pull_set(src, *out);
	return 0;
}
