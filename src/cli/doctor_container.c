/* A container of our own asks for the name as any container would. Its image is
 * one static program, made here, so nothing is pulled; both have a name that
 * nobody else has, and go in every case: signals wait until they are gone. What
 * a killed doctor left, the next one takes away. */
#include "cli/doctor.h"
#include "cli/tool.h"
#include "model/tar.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#define STEP_MS 30000
#define RUN_MS 40000
#define LOOK_MS 50
#define PROBE_BYTES (8u << 20)
#define ANSWER_BYTES (4u << 20)
#define LABEL "modeld.doctor"
/* Older than this, a container with our label was left behind. */
#define LEFT_SECONDS 600

struct trial {
	struct call *docker; /* owned */
	char name[64];	     /* of the container, and of the image */
	bool has_image, has_container;
	char result[300];
};

/* One request; the answer's text, if `out` is not NULL. */
static int ask(struct trial *t, const char *method, const char *path,
	       struct str body, struct buf *out, struct err *e)
{
	auto_buf struct buf unread;
	const struct call_request r = { .method = method,
					.path = path,
					.body = body,
					.limit_ms = STEP_MS };
	buf_init(&unread, ANSWER_BYTES);
	return call_text(t->docker, &r, out ? out : &unread, e);
}

/* ---- the image ---- */

static int read_program(struct buf *out, struct err *e)
{
	auto_free char *path = tool_find_own("modeld-probe");
	if (!path)
		return err_set(e, ERR_NOT_FOUND,
			       "modeld-probe is not "
			       "installed");
	auto_close int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return err_sys(e, "read %s", path);
	int got = buf_read(out, fd);
	if (got == BUF_FULL)
		return err_set(e, ERR_TOO_LARGE, "%s is too large", path);
	return got ? err_sys(e, "read %s", path) : 0;
}

static int make_tar(struct buf *out, struct err *e)
{
	static const char zeros[3 * TAR_BLOCK_BYTES];
	char header[TAR_BLOCK_BYTES];
	auto_buf struct buf program;
	buf_init(&program, PROBE_BYTES);
	if (read_program(&program, e))
		return -1;
	tar_header(header, "modeld-probe", 0755, program.n);
	size_t odd = program.n % TAR_BLOCK_BYTES;
	size_t fill = 2 * TAR_BLOCK_BYTES + (odd ? TAR_BLOCK_BYTES - odd : 0);
	if (buf_put(out, header, sizeof header) ||
	    buf_put(out, program.p, program.n) || buf_put(out, zeros, fill))
		return err_set(e, ERR_TOO_LARGE, "modeld-probe is too large");
	return 0;
}

/* Given out by call_request.source. */
static int next_piece(void *ctx, void *to, size_t cap, size_t *n, struct err *e)
{
	struct str *rest = ctx;
	(void)e;
	*n = MIN(cap, rest->n);
	if (*n)
		memcpy(to, rest->p, *n);
	*rest = str_tail(*rest, *n);
	return 0;
}

/* The Engine says 200 first, and what went wrong after it. */
static int read_import(struct str text, struct err *e)
{
	auto_json *line = NULL;
	struct err unused;
	if (json_parse(tool_last_line(text), &line, &unused))
		line = NULL;
	const char *why = json_string_value(json_object_get(line, "error"));
	return why ? err_set(e, ERR_ENGINE, "%s", why) : 0;
}

static int make_image(struct trial *t, struct err *e)
{
	auto_buf struct buf tar, answer;
	buf_init(&tar, PROBE_BYTES);
	buf_init(&answer, ANSWER_BYTES);
	if (make_tar(&tar, e))
		return -1;
	struct str rest = buf_str(&tar);
	auto_free char *path = xasprintf(
		"/images/create?fromSrc=-&repo=%s&tag=latest", t->name);
	const struct call_request r = { .method = "POST",
					.path = path,
					.source = next_piece,
					.source_ctx = &rest,
					.source_bytes = rest.n,
					.source_type = "application/x-tar",
					.limit_ms = STEP_MS };
	t->has_image = true;
	if (call_text(t->docker, &r, &answer, e) ||
	    read_import(buf_str(&answer), e))
		return err_wrap(e, "make an image");
	return 0;
}

/* ---- the container ---- */

static int make_container(struct trial *t, const char *name, struct err *e)
{
	auto_json *body =
		json_pack("{s:s,s:[s,s,s,s],s:b,s:{s:s},s:{s:i,s:i,s:b}}",
			  "Image", t->name, "Cmd", "/modeld-probe", name, "80",
			  "/engines/v1/models", "Tty", true, "Labels", LABEL,
			  "1", "HostConfig", "Memory", 64 << 20, "PidsLimit",
			  16, "ReadonlyRootfs", true);
	auto_free char *text = json_text(body);
	auto_free char *path = xasprintf("/containers/create?name=%s", t->name);
	auto_free char *start = xasprintf("/containers/%s/start", t->name);
	t->has_container = true;
	if (ask(t, "POST", path, str_of(text), NULL, e))
		return err_wrap(e, "make a container");
	if (ask(t, "POST", start, STR(""), NULL, e))
		return err_wrap(e, "start a container");
	return 0;
}

static bool is_interrupted(void)
{
	sigset_t s;
	return sigpending(&s) == 0 &&
	       (sigismember(&s, SIGINT) == 1 || sigismember(&s, SIGTERM) == 1);
}

static int is_running(struct trial *t, bool *out, struct err *e)
{
	auto_free char *path = xasprintf("/containers/%s/json", t->name);
	auto_buf struct buf text;
	auto_json *answer = NULL;
	*out = false;
	buf_init(&text, ANSWER_BYTES);
	if (ask(t, "GET", path, STR(""), &text, e) ||
	    json_parse(buf_str(&text), &answer, e))
		return -1;
	return json_get_bool(json_object_get(answer, "State"), "Running", out,
			     e);
}

static int wait_for_end(struct trial *t, struct err *e)
{
	bool running = true;
	for (int ms = 0; ms < RUN_MS; ms += LOOK_MS) {
		if (is_interrupted())
			return err_set(e, ERR_GONE, "interrupted");
		if (is_running(t, &running, e))
			return -1;
		if (!running)
			return 0;
		poll(NULL, 0, LOOK_MS);
	}
	return err_set(e, ERR_ENGINE_SLOW, "the container did not end in %d s",
		       RUN_MS / 1000);
}

static int read_result(struct trial *t, struct err *e)
{
	auto_free char *path =
		xasprintf("/containers/%s/logs?stdout=1&stderr=1", t->name);
	auto_buf struct buf text;
	buf_init(&text, ANSWER_BYTES);
	if (ask(t, "GET", path, STR(""), &text, e))
		return err_wrap(e, "read its output");
	snprintf(t->result, sizeof t->result, "%.*s",
		 STR_ARG(tool_last_line(buf_str(&text))));
	return 0;
}

static int try_name(struct trial *t, const char *name, struct err *e)
{
	if (make_image(t, e) || make_container(t, name, e) ||
	    wait_for_end(t, e))
		return -1;
	return read_result(t, e);
}

/* ---- and away with both ---- */

static void remove_both(struct trial *t, const char *container,
			const char *image)
{
	struct err unused;
	auto_free char *one = xasprintf("/containers/%s?force=1", container);
	auto_free char *two = xasprintf("/images/%s?force=1", image);
	if (t->has_container)
		t->has_container =
			ask(t, "DELETE", one, STR(""), NULL, &unused) != 0;
	if (t->has_image)
		t->has_image =
			ask(t, "DELETE", two, STR(""), NULL, &unused) != 0;
}

static void remove_leftovers(struct trial *t)
{
	auto_free char *filter = call_escape("{\"label\":[\"" LABEL "\"]}");
	auto_free char *path =
		xasprintf("/containers/json?all=1&filters=%s", filter);
	auto_buf struct buf text;
	auto_json *all = NULL;
	struct err unused;
	size_t i;
	json_t *one;
	buf_init(&text, ANSWER_BYTES);
	if (ask(t, "GET", path, STR(""), &text, &unused) ||
	    json_parse(buf_str(&text), &all, &unused))
		return;
	json_array_foreach(all, i, one)
	{
		struct trial left = { .docker = t->docker,
				      .has_image = true,
				      .has_container = true };
		const char *id = json_string_value(json_object_get(one, "Id"));
		const char *image =
			json_string_value(json_object_get(one, "Image"));
		json_int_t made =
			json_integer_value(json_object_get(one, "Created"));
		if (id && image &&
		    str_starts(str_of(image), "modeld-doctor-") &&
		    made < time(NULL) - LEFT_SECONDS)
			remove_both(&left, id, image);
	}
}

static void show(struct doctor *d, const struct trial *t)
{
	struct str r = str_of(t->result);
	if (str_starts(r, "ok ") && str_ends(r, " 200"))
		doctor_ok(d, "a container reaches http://%s (%s)", d->ways.name,
			  t->result + strlen("ok "));
	else if (str_starts(r, "ok ") && str_ends(r, " 403"))
		doctor_skip(d, "a new container is refused (403), as API keys "
			       "or --containers have it");
	else if (str_starts(r, "ok "))
		doctor_fail(d,
			    "a new container reaches modeld and gets status "
			    "%s: 'docker model logs' says why",
			    strrchr(t->result, ' ') + 1);
	else if (str_starts(r, "connect "))
		doctor_fail(d,
			    "a new container knows the name, but cannot %s: "
			    "look for firewall rules that drop what containers "
			    "send to %s",
			    t->result, d->ways.address);
	else
		doctor_fail(d,
			    "a new container does not know %s (%s): does the "
			    "helper follow Docker's folder (DockerRootDir of "
			    "'docker info')? see \"root\" in "
			    "modeld-docker(8)",
			    d->ways.name, r.n ? t->result : "no answer");
}

static void run_trial(struct doctor *d, struct trial *t)
{
	struct err why;
	remove_leftovers(t);
	int failed = try_name(t, d->ways.name, &why);
	remove_both(t, t->name, t->name);
	if (!failed)
		show(d, t);
	else if (why.code == ERR_NOT_FOUND && !t->has_image)
		doctor_skip(d, "a container: %s", why.msg);
	else
		doctor_fail(d,
			    "a container could not be tried: %s: does "
			    "'docker run' work?",
			    why.msg);
	if (t->has_container || t->has_image)
		doctor_fail(d,
			    "container and image %s could not be removed: "
			    "docker rm -f %s; docker rmi %s",
			    t->name, t->name, t->name);
}

void doctor_container_check(struct doctor *d)
{
	struct trial t = { 0 };
	struct timespec now;
	struct err why;
	sigset_t stop, before;
	if (!doctor_is_for_containers(d, "a container"))
		return;
	if (!d->has_engine) {
		doctor_skip(d, "a container: Docker Engine does not answer");
		return;
	}
	auto_free char *base = xasprintf("unix:%s", d->ways.docker);
	if (call_open_url(base, &t.docker, &why)) {
		doctor_fail(d, "a container: %s", why.msg);
		return;
	}
	clock_gettime(CLOCK_REALTIME, &now);
	snprintf(t.name, sizeof t.name, "modeld-doctor-%d-%lx", (int)getpid(),
		 (unsigned long)now.tv_nsec);
	sigemptyset(&stop);
	sigaddset(&stop, SIGINT);
	sigaddset(&stop, SIGTERM);
	sigprocmask(SIG_BLOCK, &stop, &before);
	run_trial(d, &t);
	call_free(t.docker);
	sigprocmask(SIG_SETMASK, &before, NULL);
}
