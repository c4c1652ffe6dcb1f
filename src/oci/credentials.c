#include "oci/credentials.h"
#include "base/buf.h"
#include "base/json.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/paths.h"
#include "io/child.h"
#include "io/job.h"
#include "io/timer.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <unistd.h>

#define HUB "docker.io"
#define HUB_SERVER "https://index.docker.io/v1/"

void credentials_fini(struct credentials *c)
{
	free(c->user);
	free(c->secret);
	free(c->identity);
	*c = (struct credentials){ 0 };
}

/* ---- config.json ---- */

/* "https://reg.example/v1/" and "reg.example" are one. */
static struct str bare(struct str server)
{
	static const char *const ends[] = { "/", "/v1", "/v2" };
	if (str_starts(server, "https://"))
		server = str_tail(server, 8);
	else if (str_starts(server, "http://"))
		server = str_tail(server, 7);
	for (size_t i = 0; i < ARRAY_LEN(ends); i++)
		if (str_ends(server, ends[i]))
			server.n -= strlen(ends[i]);
	return server;
}

static bool is_helper(const char *name)
{
	size_t n = strspn(name, "abcdefghijklmnopqrstuvwxyz"
				"ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-");
	return n > 0 && !name[n] && n < 100;
}

/* The member of `all` that means this server. */
static json_t *of_server(json_t *all, const char *server)
{
	const char *key;
	json_t *value;
	struct str want = bare(str_of(server));
	json_t *exact = json_object_get(all, server);
	if (exact)
		return exact;
	json_object_foreach(all, key, value)
	{
		struct str has = bare(str_of(key));
		if (has.n == want.n && memcmp(has.p, want.p, has.n) == 0)
			return value;
	}
	return NULL;
}

/* `auth` is "user:password" in base64. */
static void read_auth(struct str text, struct credentials *out)
{
	auto_free unsigned char *plain = xcalloc(text.n + 4, 1);
	int n = text.n % 4 || text.n > INT32_MAX
			? -1
			: EVP_DecodeBlock(plain, (const unsigned char *)text.p,
					  (int)text.n);
	char *colon = n > 0 ? strchr((char *)plain, ':') : NULL;
	if (!colon)
		return;
	out->user = xstrndup((char *)plain, (size_t)(colon - (char *)plain));
	/* Padding comes out as NULs, which end the string. */
	out->secret = xstrdup(colon + 1);
}

static void read_entry(const json_t *entry, struct credentials *out)
{
	struct str auth = { NULL, 0 }, user = auth, secret = auth,
		   identity = auth;
	struct err unused;
	if (json_get_str(entry, "auth", &auth, &unused) ||
	    json_get_str(entry, "username", &user, &unused) ||
	    json_get_str(entry, "password", &secret, &unused) ||
	    json_get_str(entry, "identitytoken", &identity, &unused))
		return;
	if (identity.n)
		out->identity = str_dup(identity);
	else if (user.n && secret.n) {
		out->user = str_dup(user);
		out->secret = str_dup(secret);
	} else if (auth.n)
		read_auth(auth, out);
}

void credentials_parse_config(struct str text, const char *server,
			      char **out_helper, struct credentials *out)
{
	auto_json *config = NULL;
	struct err e;
	*out_helper = NULL;
	*out = (struct credentials){ 0 };
	if (json_parse(text, &config, &e)) {
		log_warn("config.json is not read error=\"%s\"", e.msg);
		return;
	}
	const json_t *helper =
		of_server(json_object_get(config, "credHelpers"), server);
	if (!helper)
		helper = json_object_get(config, "credsStore");
	const char *name = json_string_value(helper);
	if (name && is_helper(name))
		*out_helper = xstrdup(name);
	/* Also when there is a helper: it may have nothing. */
	read_entry(of_server(json_object_get(config, "auths"), server), out);
}

void credentials_parse_helper(struct str text, struct credentials *out)
{
	auto_json *answer = NULL;
	struct str user = { NULL, 0 }, secret = user;
	struct err unused;
	*out = (struct credentials){ 0 };
	if (json_parse(text, &answer, &unused) ||
	    json_get_str(answer, "Username", &user, &unused) ||
	    json_get_str(answer, "Secret", &secret, &unused) || !secret.n)
		return;
	if (str_eq(user, "<token>")) {
		out->identity = str_dup(secret);
		return;
	}
	out->user = str_dup(user);
	out->secret = str_dup(secret);
}

/* ---- looking them up ---- */

struct credentials_query {
	struct uv_loop_s *loop;
	credentials_fn fn; /* NULL: nobody waits */
	void *ctx;
	char *server; /* owned, as everything here */
	char *path;   /* of config.json */
	char *helper;
	char *program;
	struct credentials found;
	struct child *child;
	struct buf said; /* by the helper */
	struct timer deadline;
	bool is_working; /* the job runs */
};

static void query_free(struct credentials_query *q)
{
	child_free(q->child);
	timer_fini(&q->deadline);
	credentials_fini(&q->found);
	buf_fini(&q->said);
	free(q->server);
	free(q->path);
	free(q->helper);
	free(q->program);
	free(q);
}

static void tell(struct credentials_query *q)
{
	credentials_fn fn = q->fn;
	void *ctx = q->ctx;
	struct credentials found = q->found;
	q->found = (struct credentials){ 0 };
	query_free(q);
	fn(ctx, &found);
	credentials_fini(&found);
}

static void on_line(void *ctx, enum child_output from, struct str line)
{
	struct credentials_query *q = ctx;
	/* Too long: it will not be JSON, which is told in on_exit. */
	if (from == CHILD_STDOUT && buf_put(&q->said, line.p, line.n))
		buf_clear(&q->said);
}

static void on_exit_child(void *ctx, int status, int signal)
{
	struct credentials_query *q = ctx;
	struct credentials c = { 0 };
	if (status == 0 && signal == 0)
		credentials_parse_helper(buf_str(&q->said), &c);
	else
		log_debug("credential helper has none name=%s status=%d",
			  q->helper, status);
	if (c.secret || c.identity) {
		credentials_fini(&q->found);
		q->found = c;
	}
	tell(q);
}

static const struct child_fns child_fns = { .on_line = on_line,
					    .on_exit = on_exit_child };

static void on_deadline(void *ctx)
{
	struct credentials_query *q = ctx;
	log_warn("credential helper hangs and is ended name=%s", q->helper);
	tell(q);
}

static void run_helper(struct credentials_query *q)
{
	struct err e;
	q->program = xasprintf("docker-credential-%s", q->helper);
	char get[] = "get";
	char *argv[] = { q->program, get, NULL };
	if (child_start_asked(q->loop, argv, NULL, str_of(q->server),
			      &child_fns, q, &q->child, &e)) {
		log_warn("credential helper not run error=\"%s\"", e.msg);
		tell(q);
		return;
	}
	timer_start(&q->deadline, LIMIT_CREDENTIAL_HELPER_MS);
}

static int read_config(void *ctx, struct err *e)
{
	struct credentials_query *q = ctx;
	auto_close int fd = open(q->path, O_RDONLY | O_CLOEXEC);
	auto_buf struct buf text;
	buf_init(&text, LIMIT_CONFIG_FILE_BYTES);
	if (fd < 0 && errno == ENOENT)
		return 0;
	if (fd < 0)
		return err_sys(e, "read %s", q->path);
	if (buf_read(&text, fd) == BUF_FULL)
		return err_set(e, ERR_INVALID, "%s is too large", q->path);
	credentials_parse_config(buf_str(&text), q->server, &q->helper,
				 &q->found);
	return 0;
}

static void on_config(void *ctx, int outcome, const struct err *e)
{
	struct credentials_query *q = ctx;
	q->is_working = false;
	if (!q->fn) {
		query_free(q);
		return;
	}
	if (outcome)
		log_warn("no credentials: %s", e->msg);
	if (q->helper)
		run_helper(q);
	else
		tell(q);
}

static bool take_variables(struct credentials *out, const char *user,
			   const char *secret)
{
	const char *u = getenv(user), *s = getenv(secret);
	if (!u || !u[0] || !s || !s[0])
		return false;
	out->user = xstrdup(u);
	out->secret = xstrdup(s);
	return true;
}

static bool from_variables(const char *registry, const char *default_registry,
			   struct credentials *out)
{
	if (!default_registry || !default_registry[0])
		default_registry = HUB;
	if (strcmp(registry, default_registry) == 0 &&
	    take_variables(out, "DOCKER_USERNAME", "DOCKER_PASSWORD"))
		return true;
	return strcmp(registry, HUB) == 0 &&
	       take_variables(out, "DOCKER_HUB_USER", "DOCKER_HUB_PASSWORD");
}

static void on_variables(void *ctx)
{
	tell(ctx);
}

struct credentials_query *credentials_find(struct uv_loop_s *loop,
					   const char *registry,
					   const char *default_registry,
					   credentials_fn fn, void *ctx)
{
	struct credentials_query *q = xcalloc(1, sizeof *q);
	q->loop = loop;
	q->fn = fn;
	q->ctx = ctx;
	buf_init(&q->said, LIMIT_CREDENTIAL_BYTES);
	if (from_variables(registry, default_registry, &q->found)) {
		timer_init(&q->deadline, loop, on_variables, q);
		timer_start(&q->deadline, 0);
		return q;
	}
	auto_free char *dir = paths_docker();
	timer_init(&q->deadline, loop, on_deadline, q);
	q->path = xasprintf("%s/config.json", dir);
	q->server = xstrdup(strcmp(registry, HUB) == 0 ? HUB_SERVER : registry);
	q->is_working = true;
	job_start(loop, read_config, on_config, q);
	return q;
}

void credentials_cancel(struct credentials_query *q)
{
	q->fn = NULL;
	if (!q->is_working)
		query_free(q);
}
