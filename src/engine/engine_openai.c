#include "engine/engine_openai.h"
#include "base/log.h"
#include "http/client.h"
#include "http/url.h"
#include "io/tls.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

/* Longer keys are signed tokens of cloud providers; 8 KiB holds them all. */
#define KEY_BYTES 8192
/* The official SDKs give up after 10 minutes too. */
#define DEFAULT_TIMEOUT_S 600

struct openai {
	struct engine base;
	struct url_base url;
	struct http_pool *pool; /* owned */
	struct tls *tls;	/* owned, until it is the pool's; or NULL */
	char *fields;		/* owned; "Authorization: ..." or "" */
	int64_t timeout_s;
	size_t n_models;
	const char **models; /* owned, with its texts; empty: any by name */
};

static struct openai *of(struct engine *en)
{
	return container_of(en, struct openai, base);
}

static bool serves(struct engine *en, struct str name,
		   const struct catalog_model *m, bool is_named)
{
	struct openai *o = of(en);
	(void)m;
	for (size_t i = 0; i < o->n_models; i++)
		if (str_eq(name, o->models[i]))
			return true;
	return is_named && !o->n_models;
}

static int acquire(struct engine *en, struct str name,
		   const struct catalog_model *m, struct engine_lease *lease,
		   struct err *e)
{
	struct openai *o = of(en);
	(void)name;
	(void)m;
	(void)e;
	lease->target = (struct engine_target){
		.pool = o->pool,
		.host = o->url.host,
		.prefix = o->url.prefix,
		.fields = str_of(o->fields),
		.limit_ms = (unsigned)(o->timeout_s * 1000)
	};
	return 0;
}

static void release(struct engine *en, struct engine_lease *lease)
{
	(void)en;
	(void)lease;
}

static void each_running(struct engine *en, engine_running_fn fn, void *ctx)
{
	(void)en;
	(void)fn;
	(void)ctx;
}

static size_t unload(struct engine *en, const char *model_id,
		     const enum engine_mode *mode)
{
	(void)en;
	(void)model_id;
	(void)mode;
	return 0;
}

static const char *const *models(struct engine *en, size_t *n)
{
	*n = of(en)->n_models;
	return (const char *const *)of(en)->models;
}

static int status(struct engine *en, struct buf *out)
{
	return buf_printf(out, "Running: %s", of(en)->url.host);
}

static void openai_free(struct engine *en)
{
	struct openai *o = of(en);
	http_pool_free(o->pool);
	tls_free(o->tls);
	for (size_t i = 0; i < o->n_models; i++)
		free((char *)o->models[i]);
	free(o->models);
	free(o->fields);
	free(o);
}

const struct engine_kind engine_openai = {
	.name = "openai",
	.serves = serves,
	.acquire = acquire,
	.release = release,
	.each_running = each_running,
	.unload = unload,
	.models = models,
	.status = status,
	.free = openai_free,
};

/* The first line of the file, as a header line. */
static int read_key(const char *path, char **fields, struct err *e)
{
	char key[KEY_BYTES + 1];
	auto_close int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return err_sys(e, "read key_file %s", path);
	ssize_t n = read(fd, key, sizeof key);
	if (n < 0)
		return err_sys(e, "read key_file %s", path);
	if ((size_t)n == sizeof key)
		return err_set(e, ERR_INVALID,
			       "key_file %s is longer than %d bytes", path,
			       KEY_BYTES);
	struct str rest = { key, (size_t)n }, line;
	if (!str_split(&rest, '\n', &line) || !str_trim(line).n)
		return err_set(e, ERR_INVALID, "key_file %s is empty", path);
	line = str_trim(line);
	for (size_t i = 0; i < line.n; i++)
		if (line.p[i] <= ' ' || line.p[i] > '~')
			return err_set(e, ERR_INVALID,
				       "key_file %s: a key is one line of "
				       "visible ASCII",
				       path);
	*fields = xasprintf("Authorization: Bearer %.*s\r\n", STR_ARG(line));
	return 0;
}

static int read_models(const json_t *list, struct openai *o, struct err *e)
{
	size_t i;
	json_t *item;
	if (!list)
		return 0;
	if (!json_is_array(list))
		return err_set(e, ERR_INVALID, "'models' must be a list");
	o->models = xcalloc(json_array_size(list), sizeof *o->models);
	json_array_foreach(list, i, item)
	{
		if (!json_is_string(item))
			return err_set(e, ERR_INVALID,
				       "'models' must hold strings");
		o->models[o->n_models++] = xstrdup(json_string_value(item));
	}
	return 0;
}

static int check_names(const json_t *config, struct err *e)
{
	static const char *const known[] = { "kind",	       "url",
					     "key_file",       "models",
					     "timeout_s",      "ca_file",
					     "tls_skip_verify" };
	const char *name;
	json_t *value;
	json_object_foreach((json_t *)config, name, value)
	{
		size_t i = 0;
		while (i < ARRAY_LEN(known) && strcmp(name, known[i]) != 0)
			i++;
		if (i == ARRAY_LEN(known))
			return err_set(e, ERR_INVALID,
				       "there is no setting '%s'", name);
	}
	return 0;
}

/* How an https server is known: by the system's CAs, or by those of a file. */
static int configure_tls(struct openai *o, const json_t *config, struct err *e)
{
	struct str ca_file = { 0 };
	json_t *skip = json_object_get(config, "tls_skip_verify");
	if (json_get_str(config, "ca_file", &ca_file, e))
		return -1;
	if (skip && !json_is_boolean(skip))
		return err_set(e, ERR_INVALID,
			       "'tls_skip_verify' must be true or false");
	if (!o->url.is_tls && (ca_file.n || skip))
		return err_set(e, ERR_INVALID,
			       "'ca_file' and 'tls_skip_verify' are for https");
	if (!o->url.is_tls)
		return 0;
	const char *const files[] = { ca_file.p, NULL };
	const struct tls_trust trust = { .ca_files = ca_file.n ? files : NULL,
					 .any = json_is_true(skip) };
	if (trust.any)
		log_warn("anybody can pose as this engine, since "
			 "tls_skip_verify is on engine=%s",
			 o->base.name);
	return tls_client_new(&trust, &o->tls, e);
}

static int configure(struct openai *o, const json_t *config, struct err *e)
{
	struct str url = { 0 }, key_file = { 0 };
	o->timeout_s = DEFAULT_TIMEOUT_S;
	if (check_names(config, e) ||
	    json_get_int(config, "timeout_s", 1, 86400, &o->timeout_s, e) ||
	    json_get_str(config, "url", &url, e) ||
	    json_get_str(config, "key_file", &key_file, e))
		return -1;
	if (!url.n)
		return err_set(e, ERR_INVALID,
			       "'url' is missing, for example "
			       "\"http://127.0.0.1:9000/v1\"");
	if (url_parse_base(url.p, &o->url, e))
		return -1;
	if (configure_tls(o, config, e))
		return -1;
	/* Request paths keep their own "/v1". */
	size_t n = strlen(o->url.prefix);
	if (n >= 3 && strcmp(o->url.prefix + n - 3, "/v1") == 0)
		o->url.prefix[n - 3] = '\0';
	if (key_file.n && read_key(key_file.p, &o->fields, e))
		return -1;
	return read_models(json_object_get(config, "models"), o, e);
}

int engine_openai_new(struct uv_loop_s *loop, const char *name,
		      const json_t *config, struct engine **out, struct err *e)
{
	struct openai *o = xcalloc(1, sizeof *o);
	engine_init(&o->base, &engine_openai, name);
	if (configure(o, config, e)) {
		free(o->base.name);
		openai_free(&o->base);
		return err_wrap(e, "engine '%s'", name);
	}
	if (!o->fields)
		o->fields = xstrdup("");
	o->pool = http_pool_new(loop, o->url.address);
	if (o->tls)
		http_pool_use_tls(o->pool, steal(&o->tls));
	*out = &o->base;
	return 0;
}
