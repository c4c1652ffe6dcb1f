#include "cli/undo.h"
#include "base/buf.h"
#include "cli/background.h"
#include "cli/connection.h"
#include "cli/term.h"
#include "cli/tool.h"
#include "cli/units.h"
#include "io/unixpath.h"

#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <sys/file.h>
#include <unistd.h>

#define STOP_MS 60000
#define STEP_MS 60000
#define AGAIN_MS 10000
#define LOOK_MS 200
#define OUTPUT_BYTES 65536
#define HOSTS_BYTES (4u << 20)
#define HOSTS_MARK "# modeld"

/* What there was, to say so when it has gone. */
struct found {
	bool socket, name, address;
};

static bool has_line(const char *path, const char *name)
{
	auto_buf struct buf text;
	auto_close int fd = open(path, O_RDONLY | O_CLOEXEC);
	buf_init(&text, HOSTS_BYTES);
	/* Of a file that cannot be read to its end, what was read counts. */
	(void)!(fd >= 0 && buf_read(&text, fd));
	return text.p && strstr(text.p, name) && strstr(text.p, HOSTS_MARK);
}

static struct found look(const struct connection *c)
{
	auto_free char *netns = xasprintf("/run/netns/%s", c->netns);
	return (struct found){
		.socket = access(c->engine, F_OK) == 0,
		.name = has_line(c->hosts, c->name),
		.address = access(netns, F_OK) == 0,
	};
}

static int clean_once(const struct connection *c, const char *const step[2],
		      struct err *e)
{
	const char *argv[6] = { c->program, step[0] };
	auto_buf struct buf out;
	size_t n = 2;
	buf_init(&out, OUTPUT_BYTES);
	if (step[1])
		argv[n++] = step[1];
	if (c->config) {
		argv[n++] = "--config";
		argv[n++] = c->config;
	}
	int got = tool_run(argv, STEP_MS, &out, e);
	if (got <= 0)
		return got;
	struct str last = tool_last_line(buf_str(&out));
	return err_set(e, ERR_SYSTEM, "%.*s", STR_ARG(last));
}

/* A helper that was killed may still be cleaning up, and holds its lock. */
static int clean(const struct connection *c, const char *const step[2],
		 struct err *e)
{
	int failed = clean_once(c, step, e);
	for (int ms = 0; failed && ms < AGAIN_MS; ms += LOOK_MS) {
		poll(NULL, 0, LOOK_MS);
		failed = clean_once(c, step, e);
	}
	return failed;
}

static int stop(struct connection *c, struct err *e)
{
	if (c->has_systemd) {
		bool was_on = c->is_on;
		struct err unused;
		/* Units that are not installed cannot run. */
		if (units_check_installed(&unused))
			return 0;
		if (units_stop(e))
			return -1;
		if (was_on)
			term_printf("helper          " CONNECTION_TARGET
				    " is stopped and disabled\n");
	}
	if (!c->pid)
		return 0;
	if (background_stop(c->pid, STOP_MS, e))
		return -1;
	term_printf("helper          stopped, process %d\n", c->pid);
	return 0;
}

/* What a 'modeld-docker run' that was killed leaves, unless another has begun
 * since; it holds run.lock. */
static void remove_files(void)
{
	static const char *const files[] = { CONNECTION_RUN_DIR "/run.pid",
					     CONNECTION_RUN_DIR "/run.json" };
	static const char *const sockets[] = { CONNECTION_RUN_DIR
					       "/docker.sock",
					       CONNECTION_RUN_DIR
					       "/helper.sock" };
	static const char lock[] = CONNECTION_RUN_DIR "/run.lock";
	auto_close int fd = open(lock, O_RDWR | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 || flock(fd, LOCK_EX | LOCK_NB) < 0)
		return;
	for (size_t i = 0; i < ARRAY_LEN(files); i++)
		unlink(files[i]);
	for (size_t i = 0; i < ARRAY_LEN(sockets); i++) {
		auto_close int live = -1;
		struct err why;
		if (unixpath_connect(sockets[i], &live, &why) &&
		    why.code == ERR_REFUSED)
			unlink(sockets[i]);
	}
	unlink(lock);
}

int undo_all(struct connection *c, bool is_dry, struct err *e)
{
	struct found before = look(c);
	struct err why;
	int failed = 0;
	if (!c->is_on && !before.socket && !before.name && !before.address)
		term_printf("nothing is connected\n");
	if (is_dry) {
		if (c->is_on)
			term_printf("helper          would be stopped\n");
		return 0;
	}
	failed |= stop(c, e);
	/* Each is tried, whatever the one before said; the first error stays.
	 * The order is that of connecting.md. */
	static const char *const steps[][2] = { { "release", NULL },
						{ "names", "remove" },
						{ "net", "down" } };
	for (size_t i = 0; i < ARRAY_LEN(steps); i++)
		if (clean(c, steps[i], failed ? &why : e))
			failed = -1;
	if (!failed) {
		remove_files();
		/* Nothing holds this lock now; the folder goes if it is
		 * empty. */
		unlink(CONNECTION_RUN_DIR "/names.lock");
		rmdir(CONNECTION_RUN_DIR);
	}
	struct found after = look(c);
	if (before.socket && !after.socket)
		term_printf("Docker socket   is Docker Engine's own again\n");
	if (before.name && !after.name)
		term_printf("name            is out of all hosts files\n");
	if (before.address && !after.address)
		term_printf("address         is gone\n");
	return failed;
}
