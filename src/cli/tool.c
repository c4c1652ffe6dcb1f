#include "cli/tool.h"
#include "io/child.h"
#include "io/timer.h"

#include <unistd.h>
#include <uv.h>

#define GRACE_MS 2000

struct tool {
	uv_loop_t loop;
	struct child *child;
	struct timer limit;
	struct buf *out; /* may be NULL */
	int status, signal;
	bool is_late;
};

/* The path of a program by its name, or NULL. */
static char *find(const char *name)
{
	static const char more[] = "/usr/local/sbin:/usr/sbin:/sbin:/usr/bin";
	const char *path = getenv("PATH");
	auto_free char *all = xasprintf("%s:%s", path ? path : "", more);
	struct str rest = str_of(all), folder;
	if (strchr(name, '/'))
		return access(name, X_OK) == 0 ? xstrdup(name) : NULL;
	while (str_split(&rest, ':', &folder)) {
		auto_free char *file =
			xasprintf("%.*s/%s", STR_ARG(folder), name);
		if (folder.n && folder.p[0] == '/' && access(file, X_OK) == 0)
			return steal(&file);
	}
	return NULL;
}

static void on_line(void *ctx, enum child_output from, struct str line)
{
	struct tool *t = ctx;
	/* Full: the rest of it is dropped, as the header says. */
	if (from != CHILD_EVENTS && t->out &&
	    buf_printf(t->out, "%.*s\n", STR_ARG(line)))
		t->out = NULL;
}

static void on_exit_status(void *ctx, int status, int signal)
{
	struct tool *t = ctx;
	t->status = status;
	t->signal = signal;
	timer_stop(&t->limit);
	child_free(steal(&t->child));
}

static void on_late(void *ctx)
{
	struct tool *t = ctx;
	t->is_late = true;
	child_stop(t->child, GRACE_MS);
}

static int outcome(const struct tool *t, const char *name, struct err *e)
{
	if (t->is_late)
		return err_set(e, ERR_SYSTEM, "%s did not end in time", name);
	if (t->signal)
		return err_set(e, ERR_SYSTEM, "%s was ended by signal %d", name,
			       t->signal);
	return t->status ? TOOL_FAILED : 0;
}

int tool_run(const char *const argv[], unsigned limit_ms, struct buf *out,
	     struct err *e)
{
	static const struct child_fns fns = { .on_line = on_line,
					      .on_exit = on_exit_status };
	struct tool t = { .out = out };
	auto_free char *path = find(argv[0]);
	size_t n = 0;
	if (!path)
		return TOOL_ABSENT;
	while (argv[n])
		n++;
	auto_free char **copy = xcalloc(n + 1, sizeof *copy);
	for (size_t i = 1; i < n; i++)
		copy[i] = xstrdup(argv[i]);
	copy[0] = path;
	uv_loop_init(&t.loop);
	timer_init(&t.limit, &t.loop, on_late, &t);
	int failed = child_start(&t.loop, copy, NULL, &fns, &t, &t.child, e);
	if (!failed) {
		timer_start(&t.limit, limit_ms);
		uv_run(&t.loop, UV_RUN_DEFAULT);
	}
	timer_fini(&t.limit);
	uv_run(&t.loop, UV_RUN_DEFAULT);
	uv_loop_close(&t.loop);
	for (size_t i = 1; i < n; i++)
		free(copy[i]);
	return failed ? -1 : outcome(&t, argv[0], e);
}

char *tool_find_own(const char *name)
{
	static const char *const folders[] = { "", "../libexec/modeld/" };
	char self[4096];
	ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
	if (n <= 0)
		return NULL;
	self[n] = '\0';
	strrchr(self, '/')[1] = '\0';
	for (size_t i = 0; i < ARRAY_LEN(folders); i++) {
		auto_free char *path =
			xasprintf("%s%s%s", self, folders[i], name);
		if (access(path, X_OK) == 0)
			return steal(&path);
	}
	return NULL;
}

struct str tool_last_line(struct str text)
{
	struct str rest = text, line, last = { "", 0 };
	while (str_split(&rest, '\n', &line)) {
		/* A terminal ends its lines with CR LF. */
		if (str_ends(line, "\r"))
			line.n--;
		if (str_trim(line).n)
			last = str_trim(line);
	}
	return last;
}
