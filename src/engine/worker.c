#include "engine/worker.h"
#include "base/buf.h"
#include "base/json.h"
#include "base/limits.h"
#include "base/log.h"
#include "engine/oom.h"
#include "http/client.h"
#include "io/child.h"
#include "io/timer.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum worker_state { LOADING, READY, STOPPING, GONE };
enum worker_event {
	SAID_READY,
	SAID_FAILED,
	WENT_SILENT,
	TOLD_TO_STOP,
	EXITED
};

struct worker {
	enum worker_state state;
	struct uv_loop_s *loop;
	struct worker_fns fns;
	void *ctx;
	struct child *child;	/* owned */
	struct http_pool *pool; /* owned */
	struct timer silence;	/* runs while LOADING */
	struct worker_facts facts;
	struct err cause; /* what `failed` or the exit said */
	bool has_cause;
	struct buf tail;    /* its last log lines */
	char *label;	    /* owned */
	char *socket;	    /* owned */
	int status, signal; /* once EXITED */
	struct oom_watch oom;
};

static int explain_memory(struct err *e)
{
	return err_set(e, ERR_MEMORY,
		       "the kernel killed the engine because memory ran out: "
		       "the model is too large for what is free; a smaller "
		       "context size or quantization takes less, and --memory "
		       "is how much models may take");
}

static int explain_kill(const struct worker *w, struct err *e)
{
	switch (oom_watch_came(&w->oom)) {
	case OOM_YES:
		return explain_memory(e);
	case OOM_UNKNOWN:
		return err_set(e, ERR_ENGINE,
			       "the engine was killed (signal 9; the kernel "
			       "does that when memory runs out)");
	case OOM_NO:
		break;
	}
	return err_set(e, ERR_ENGINE,
		       "the engine was killed (signal 9), not by the kernel "
		       "but by a person or a program; some do that when memory "
		       "becomes scarce (systemd-oomd, earlyoom)");
}

/* How a process ended, in words. */
static void explain_end(const struct worker *w, int status, int sig,
			struct err *e)
{
	if (sig == SIGKILL)
		explain_kill(w, e);
	else if (sig)
		err_set(e, ERR_ENGINE, "the engine crashed: signal %d (%s)",
			sig, strsignal(sig));
	else if (status == ERR_EXIT_MEMORY)
		err_set(e, ERR_MEMORY,
			"the engine ended: it took far more memory than it "
			"should need");
	else if (status)
		err_set(e, ERR_ENGINE, "the engine ended with exit status %d",
			status);
	else
		err_set(e, ERR_UNAVAILABLE,
			"the engine was stopped; ask again");
}

/* Adds the last line of the log to a cause that is only an exit status. */
static void quote_tail(struct worker *w, struct err *e)
{
	struct str tail = buf_str(&w->tail);
	while (tail.n && tail.p[tail.n - 1] == '\n')
		tail.n--;
	tail = str_tail(tail, (size_t)(str_find_last(tail, '\n') + 1));
	size_t n = strlen(e->msg);
	if (tail.n)
		snprintf(e->msg + n, sizeof e->msg - n, "; it said: %.*s",
			 STR_ARG(tail));
}

static void settle_cause(struct worker *w)
{
	if (w->has_cause)
		return;
	w->has_cause = true;
	explain_end(w, w->status, w->signal, &w->cause);
	/* Who is killed says nothing about it. */
	if ((w->status || w->signal) && w->signal != SIGKILL)
		quote_tail(w, &w->cause);
}

static void enter_gone(struct worker *w)
{
	settle_cause(w);
	w->state = GONE;
	timer_stop(&w->silence);
	unlink(w->socket);
	w->fns.on_gone(w->ctx, &w->cause);
}

static void enter_stopping(struct worker *w)
{
	w->state = STOPPING;
	timer_stop(&w->silence);
	child_stop(w->child, LIMIT_WORKER_STOP_MS);
}

static void step(struct worker *w, enum worker_event event)
{
	switch (w->state) {
	case LOADING:
		switch (event) {
		case SAID_READY:
			w->state = READY;
			timer_stop(&w->silence);
			w->fns.on_ready(w->ctx);
			return;
		case WENT_SILENT:
			w->has_cause = true;
			err_set(&w->cause, ERR_ENGINE_SLOW,
				"the model did not load: no progress for %d s",
				LIMIT_LOAD_SILENCE_MS / 1000);
			enter_stopping(w);
			return;
		case SAID_FAILED: /* its exit follows */
			return;
		case TOLD_TO_STOP:
			enter_stopping(w);
			return;
		case EXITED:
			enter_gone(w);
			return;
		}
		return;
	case READY:
		switch (event) {
		case TOLD_TO_STOP:
			enter_stopping(w);
			return;
		case EXITED:
			enter_gone(w);
			return;
		case SAID_READY:
		case SAID_FAILED:
		case WENT_SILENT:
			return;
		}
		return;
	case STOPPING:
		switch (event) {
		case EXITED:
			enter_gone(w);
			return;
		case SAID_READY:
		case SAID_FAILED:
		case WENT_SILENT:
		case TOLD_TO_STOP:
			return;
		}
		return;
	case GONE:
		return;
	}
}

static void on_silence(void *ctx)
{
	step(ctx, WENT_SILENT);
}

static void said_failed(struct worker *w, const json_t *event, struct err *e)
{
	static const struct {
		const char *cause;
		enum err_code code;
	} causes[] = {
		{ "memory", ERR_MEMORY },
		{ "file", ERR_CORRUPT },
		{ "unsupported", ERR_UNSUPPORTED },
	};
	struct str cause = STR("bug"), message = STR("no reason given");
	enum err_code code = ERR_ENGINE;
	if (json_get_str(event, "cause", &cause, e) ||
	    json_get_str(event, "message", &message, e))
		return;
	for (size_t i = 0; i < ARRAY_LEN(causes); i++)
		if (str_eq(cause, causes[i].cause))
			code = causes[i].code;
	w->has_cause = true;
	err_set(&w->cause, code, "%.*s", STR_ARG(message));
	step(w, SAID_FAILED);
}

static int said_ready(struct worker *w, const json_t *event, struct err *e)
{
	struct str kind = STR("text");
	if (json_get_int(event, "context", 0, INT32_MAX, &w->facts.context,
			 e) ||
	    json_get_int(event, "slots", 0, INT32_MAX, &w->facts.slots, e) ||
	    json_get_str(event, "kind", &kind, e))
		return -1;
	w->facts.mode = str_eq(kind, "embedding") ? ENGINE_EMBEDDING
			: str_eq(kind, "ranking") ? ENGINE_RERANKING
						  : ENGINE_COMPLETION;
	w->facts.loaded = 1;
	step(w, SAID_READY);
	return 0;
}

static void on_event(struct worker *w, struct str line)
{
	struct err e;
	auto_json *event = NULL;
	struct str what = { 0 };
	if (json_parse(line, &event, &e) ||
	    json_get_str(event, "event", &what, &e)) {
		log_warn("engine event not understood model=%s error=\"%s\"",
			 w->label, e.msg);
		return;
	}
	oom_watch_well(&w->oom, timer_now_ms(w->loop));
	if (w->state == LOADING)
		timer_start(&w->silence, LIMIT_LOAD_SILENCE_MS);
	if (str_eq(what, "loading")) {
		if (json_get_num(event, "fraction", 0, 1, &w->facts.loaded, &e))
			w->facts.loaded = 0;
	} else if (str_eq(what, "failed")) {
		said_failed(w, event, &e);
	} else if (str_eq(what, "ready") && said_ready(w, event, &e)) {
		log_warn("engine event not understood model=%s error=\"%s\"",
			 w->label, e.msg);
	}
}

static void on_line(void *ctx, enum child_output from, struct str line)
{
	struct worker *w = ctx;
	if (from == CHILD_EVENTS) {
		on_event(w, line);
		return;
	}
	log_relay(LOG_INFO, "modeld-llama", line);
	line = str_head(line, LIMIT_ENGINE_TAIL_BYTES / 2);
	if (line.n + 1 > w->tail.max - w->tail.n)
		buf_drop(&w->tail, MIN(w->tail.n, line.n + 1));
	if (buf_put(&w->tail, line.p, line.n) || buf_put(&w->tail, "\n", 1))
		buf_clear(&w->tail);
}

static void on_exit_(void *ctx, int status, int sig)
{
	struct worker *w = ctx;
	w->status = status;
	w->signal = sig;
	step(w, EXITED);
}

static const struct child_fns child_fns = { .on_line = on_line,
					    .on_exit = on_exit_ };

/* argv with what the worker itself adds; the caller frees the array only. */
static char **with_socket(char *const argv[], char *listen)
{
	size_t n = 0;
	while (argv[n])
		n++;
	char **all = xcalloc(n + 5, sizeof *all);
	memcpy(all, argv, n * sizeof *all);
	all[n] = (char *)"--listen";
	all[n + 1] = listen;
	all[n + 2] = (char *)"--events-fd";
	all[n + 3] = (char *)"3";
	return all;
}

/* What an engine has no use for, and a model that has taken it over would: the
 * daemon's tokens, passwords, and proxies with theirs. */
static bool is_secret(const char *variable)
{
	static const char *const parts[] = { "TOKEN",  "SECRET", "PASSW",
					     "CREDEN", "_KEY",	 "_PROXY",
					     "AUTH",   "COOKIE" };
	struct str name = str_of(variable);
	ptrdiff_t equals = str_find(name, '=');
	auto_free char *text =
		str_dup(equals < 0 ? name : str_head(name, (size_t)equals));
	for (size_t i = 0; i < ARRAY_LEN(parts); i++)
		if (strcasestr(text, parts[i]))
			return true;
	return false;
}

/* The caller frees the array only. */
static char **without_secrets(char *const env[])
{
	size_t n = 0, kept = 0;
	while (env[n])
		n++;
	char **out = xcalloc(n + 1, sizeof *out);
	for (size_t i = 0; i < n; i++)
		if (!is_secret(env[i]))
			out[kept++] = env[i];
	return out;
}

int worker_start(struct uv_loop_s *loop, char *const argv[], const char *socket,
		 const char *label, const struct worker_fns *fns, void *ctx,
		 struct worker **out, struct err *e)
{
	auto_free char *listen = xasprintf("unix:%s", socket);
	auto_free char **all = with_socket(argv, listen);
	auto_free char **env = without_secrets(environ);
	auto_(worker) w = xcalloc(1, sizeof *w);
	w->loop = loop;
	w->fns = *fns;
	w->ctx = ctx;
	w->label = xstrdup(label);
	w->socket = xstrdup(socket);
	buf_init(&w->tail, LIMIT_ENGINE_TAIL_BYTES);
	timer_init(&w->silence, loop, on_silence, w);
	w->pool = http_pool_new(loop, listen);
	if (child_start(loop, all, env, &child_fns, w, &w->child, e))
		return err_wrap(e, "start the engine");
	oom_offer(child_pid(w->child));
	oom_watch_init(&w->oom, timer_now_ms(loop));
	timer_start(&w->silence, LIMIT_LOAD_SILENCE_MS);
	*out = steal(&w);
	return 0;
}

void worker_stop(struct worker *w)
{
	step(w, TOLD_TO_STOP);
}

void worker_free(struct worker *w)
{
	if (!w)
		return;
	child_free(w->child);
	if (w->state != GONE)
		unlink(w->socket);
	http_pool_free(w->pool);
	timer_fini(&w->silence);
	buf_fini(&w->tail);
	free(w->label);
	free(w->socket);
	free(w);
}

bool worker_is_ready(const struct worker *w)
{
	return w->state == READY;
}

struct http_pool *worker_pool(struct worker *w)
{
	return w->pool;
}

const struct worker_facts *worker_facts(const struct worker *w)
{
	return &w->facts;
}

uint64_t worker_memory(const struct worker *w)
{
	char path[64];
	unsigned long long pages = 0;
	if (w->state == GONE)
		return 0;
	snprintf(path, sizeof path, "/proc/%d/statm", child_pid(w->child));
	FILE *f = fopen(path, "re");
	if (!f)
		return 0;
	if (fscanf(f, "%*u %llu", &pages) != 1)
		pages = 0;
	fclose(f);
	return pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

bool worker_explain(const struct worker *w, struct err *e)
{
	siginfo_t si = { 0 };
	if (w->state == GONE) {
		*e = w->cause;
		return true;
	}
	/* WNOWAIT leaves the status for libuv to collect. */
	if (waitid(P_PID, (id_t)child_pid(w->child), &si,
		   WEXITED | WNOHANG | WNOWAIT) < 0 ||
	    si.si_pid == 0) {
		/* Large ones take a while to end. */
		if (oom_watch_came(&w->oom) == OOM_YES)
			explain_memory(e);
		return false;
	}
	bool exited = si.si_code == CLD_EXITED;
	explain_end(w, exited ? si.si_status : 0, exited ? 0 : si.si_status, e);
	return true;
}
