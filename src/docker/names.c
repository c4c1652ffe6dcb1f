/* names.c - where Docker's data are is asked of the Engine, each time that it
 * comes up. Until it answers for the first time, what was remembered holds:
 * containers that restart with the machine start before the Engine answers. */
#include "docker/names.h"
#include "base/limits.h"
#include "docker/dockerd.h"
#include "docker/ends.h"
#include "docker/follow.h"
#include "docker/host_line.h"
#include "docker/names_nets.h"
#include "docker/names_state.h"
#include "docker/places.h"
#include "docker/service.h"
#include "io/timer.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#define LOCK_FILE "/run/modeld-docker/names.lock"
#define DEFAULT_ROOT "/var/lib/docker"
/* Without the Engine's word by then, we are as ready as we can be. */
#define READY_MS 2000
#define EVENTS "{\"type\":[\"network\"],\"event\":[\"create\",\"destroy\"]}"

struct names {
	struct service service;
	const struct setup *setup;
	struct ends ends;
	struct names_state state;
	struct names_nets nets;
	struct hosts_rule rule;	     /* for containers */
	struct hosts_rule host_rule; /* for the host's own file */
	struct follow *follow;
	struct host_line *host_line;
	struct dockerd *dockerd;
	struct timer ready;
	bool has_engine;
	struct timer ask_again; /* when the Engine failed */
};

/* The same lines are ours, and none shall be there. */
static struct hosts_rule without(const struct hosts_rule *r)
{
	struct hosts_rule none = *r;
	none.address = none.address6 = NULL;
	return none;
}

static bool has_host_line(const struct setup *s)
{
	return strcmp(s->hosts, "off") != 0;
}

/* One at a time: two would take each other's lines for the user's. */
static int lock(int *fd, struct err *e)
{
	if (service_make_folder(LOCK_FILE, e))
		return -1;
	*fd = open(LOCK_FILE, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (*fd < 0)
		return err_sys(e, "open " LOCK_FILE);
	if (flock(*fd, LOCK_EX | LOCK_NB) == 0)
		return 0;
	if (errno != EWOULDBLOCK)
		return err_sys(e, "lock " LOCK_FILE);
	return err_set(e, ERR_CONFLICT,
		       "another 'modeld-docker names' is running; end that "
		       "one, which takes its lines out");
}

/* ---- taking lines out ---- */

/* How many files could not be changed. */
static size_t clean(const struct names *n, const char *root)
{
	struct hosts_rule none = without(&n->rule);
	struct places_count c = places_once(root, &none);
	log_info("lines taken out root=%s files=%zu changed=%zu", root, c.files,
		 c.changed);
	return c.failed;
}

static size_t clean_all(const struct names *n, const char *root)
{
	struct hosts_rule none = without(&n->host_rule);
	size_t failed = clean(n, root);
	if (has_host_line(n->setup))
		failed += !host_line_apply(n->setup->hosts, &none);
	return failed;
}

/* What is remembered stays while a file may hold a line of ours. */
static int remove_all(const struct names *n, const char *root, struct err *e)
{
	size_t failed = clean_all(n, root);
	if (failed)
		return err_set(e, ERR_SYSTEM,
			       "%zu hosts files could not be changed and may "
			       "still have the name; 'modeld-docker names "
			       "remove' says which: make them writable, then "
			       "run it again",
			       failed);
	names_state_remove();
	return 0;
}

/* Lines that a killed one wrote when the setting was another name. */
static void clean_former_name(struct names *n, const char *root)
{
	if (!n->state.name || strcmp(n->state.name, n->setup->name) == 0)
		return;
	struct hosts_rule kept = n->rule, kept_host = n->host_rule;
	n->rule.name = n->host_rule.name = n->state.name;
	clean_all(n, root);
	n->rule = kept;
	n->host_rule = kept_host;
	free(steal(&n->state.name));
}

/* ---- what is remembered ---- */

static const char *first_root(const struct names *n)
{
	if (n->setup->root)
		return n->setup->root;
	return n->state.root ? n->state.root : DEFAULT_ROOT;
}

static void remember(struct names *n, const char *root)
{
	struct err e;
	if (root != n->state.root) {
		free(n->state.root);
		n->state.root = xstrdup(root);
	}
	free(n->state.name);
	n->state.name = xstrdup(n->setup->name);
	if (names_state_write(&n->state, &e))
		log_warn("what a later start needs is not remembered "
			 "error=\"%s\"",
			 e.msg);
}

/* Nothing of ours is in any file now; only the folder is worth knowing. */
static void forget_lines(struct names *n)
{
	struct err e;
	struct names_state kept = { .root = n->state.root };
	if (names_state_write(&kept, &e))
		log_warn("remembered more than there is error=\"%s\"", e.msg);
}

static int init(struct names *n, const struct setup *s, struct err *e)
{
	*n = (struct names){ .setup = s };
	if (ends_read(s, &n->ends, e))
		return -1;
	names_state_read(&n->state);
	/* What was remembered for another name is of that name. */
	names_state_add(&n->state, n->ends.inner_text);
	if (n->ends.has6)
		names_state_add(&n->state, n->ends.inner6_text);
	n->host_rule = (struct hosts_rule){ .name = s->name,
					    .address = n->ends.inner_text };
	n->rule = n->host_rule;
	n->rule.ours = (const char *const *)n->state.addresses;
	n->rule.address6 = n->ends.has6 ? n->ends.inner6_text : NULL;
	return 0;
}

static void fini(struct names *n)
{
	names_state_fini(&n->state);
	names_nets_fini(&n->nets);
}

/* ---- the Engine ---- */

static void set_root(struct names *n, const char *root)
{
	const char *old = follow_root(n->follow);
	if (old && strcmp(old, root) == 0)
		return;
	log_info("follows hosts files root=%s", root);
	if (old)
		clean(n, old);
	remember(n, root); /* before the first line is written */
	follow_set_root(n->follow, root);
}

static void ask_again(struct names *n)
{
	if (n->has_engine)
		timer_start(&n->ask_again, LIMIT_DOCKERD_AGAIN_MS);
}

static void on_info(void *ctx, int outcome, const json_t *answer,
		    const struct err *e)
{
	struct names *n = ctx;
	const char *root =
		json_string_value(json_object_get(answer, "DockerRootDir"));
	if (outcome == 0 && root && root[0] == '/')
		set_root(n, root);
	else
		log_warn("the Docker Engine does not say where its data are "
			 "error=\"%s\"",
			 outcome ? e->msg : "no DockerRootDir");
	if (outcome)
		ask_again(n);
	service_ready(&n->service, n->setup);
}

static void on_networks(void *ctx, int outcome, const json_t *answer,
			const struct err *e)
{
	struct names *n = ctx;
	struct err why = outcome ? *e : (struct err){ 0 };
	if (outcome == 0)
		outcome = names_nets_take(&n->nets, n->setup, answer, &why);
	if (outcome < 0) {
		log_warn("internal networks are not known error=\"%s\"",
			 why.msg);
		ask_again(n);
	}
	if (outcome)
		return;
	n->rule.nets = n->nets.nets;
	n->rule.n_nets = n->nets.n;
	log_info("internal networks that were let in subnets=%zu", n->nets.n);
	follow_look(n->follow);
}

static void on_event(void *ctx, const json_t *event)
{
	struct names *n = ctx;
	(void)event;
	if (n->setup->internal)
		dockerd_get(n->dockerd, "/networks", on_networks, n);
}

static void on_engine(void *ctx)
{
	struct names *n = ctx;
	n->has_engine = true;
	if (!n->setup->root)
		dockerd_get(n->dockerd, "/info", on_info, n);
	on_event(n, NULL);
}

static void on_lost(void *ctx, const struct err *e)
{
	struct names *n = ctx;
	log_info("waits for the Docker Engine reason=\"%s\"", e->msg);
	n->has_engine = false; /* we hear when it is back */
	timer_stop(&n->ask_again);
	service_ready(&n->service, n->setup);
}

/* ---- running ---- */

static void on_ready(void *ctx)
{
	struct names *n = ctx;
	service_ready(&n->service, n->setup);
}

static int start(struct names *n, struct err *e)
{
	static const struct dockerd_follow_fns fns = { .on_look = on_engine,
						       .on_event = on_event,
						       .on_lost = on_lost };
	if (follow_new(&n->service.loop, &n->rule, &n->follow, e))
		return -1;
	set_root(n, first_root(n));
	if (has_host_line(n->setup))
		n->host_line = host_line_new(&n->service.loop, n->setup->hosts,
					     &n->host_rule);
	n->dockerd = dockerd_new(&n->service.loop, n->setup);
	timer_init(&n->ready, &n->service.loop, on_ready, n);
	timer_init(&n->ask_again, &n->service.loop, on_engine, n);
	timer_start(&n->ready, n->setup->root ? 0 : READY_MS);
	dockerd_follow(n->dockerd, EVENTS, &fns, n);
	return 0;
}

static int follow_until_signal(struct names *n, struct err *e)
{
	service_init(&n->service);
	int r = start(n, e);
	if (r == 0) {
		service_run(&n->service);
		timer_fini(&n->ready);
		timer_fini(&n->ask_again);
	}
	dockerd_free(n->dockerd);
	host_line_free(n->host_line);
	follow_free(n->follow);
	/* Else the next start, or the undo, has to know of them. */
	if (r == 0 && clean_all(n, n->state.root) == 0)
		forget_lines(n);
	service_fini(&n->service);
	return r;
}

int names_run(const struct setup *s, struct err *e)
{
	struct names n;
	auto_close int locked = -1;
	if (lock(&locked, e) || init(&n, s, e))
		return -1;
	auto_free char *root = xstrdup(first_root(&n));
	clean_former_name(&n, root);
	int r = s->action ? remove_all(&n, root, e)
			  : follow_until_signal(&n, e);
	fini(&n);
	return r;
}
