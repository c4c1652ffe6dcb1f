#include "base/paths.h"
#include "cli/doctor.h"
#include "cli/human.h"
#include "cli/jsonfile.h"
#include "cli/process.h"
#include "cli/tool.h"
#include "cli/waysin.h"
#include "io/holder.h"

#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define DEFAULT_PORT 12434
/* Below these, pulling or loading any model fails. */
#define MIN_DISK_BYTES (2ull << 30)
#define MIN_MEMORY_BYTES (512ull << 20)
#define TOOL_MS 20000
#define ANSWER_MS 5000

static int ask_version(struct doctor *d, struct err *e)
{
	auto_buf struct buf text;
	buf_init(&text, 65536);
	const struct call_request r = { .method = "GET",
					.path = "/version",
					.limit_ms = ANSWER_MS };
	if (call_text(d->daemon, &r, &text, e))
		return -1;
	return json_parse(buf_str(&text), &d->version, e);
}

void doctor_daemon_answers(struct doctor *d)
{
	struct err why;
	struct process p;
	if (call_open(&d->daemon, &why)) {
		doctor_fail(d, "modeld: %s", why.msg);
		return;
	}
	const struct where *w = call_where(d->daemon);
	if (ask_version(d, &why)) {
		doctor_fail(d, "modeld does not answer: %s", why.msg);
		call_free(steal(&d->daemon));
		return;
	}
	if (w->kind == WHERE_SOCKET &&
	    process_behind(w->base.address + strlen("unix:"), &p, &why) == 0)
		d->pid = p.pid;
	const char *version = doctor_told(d, "version");
	if (!version)
		doctor_fail(d,
			    "what answers at %s is not modeld: stop it, or "
			    "set MODEL_RUNNER_HOST",
			    w->text);
	else if (strcmp(version, MODELD_VERSION) != 0)
		doctor_fail(d,
			    "modeld is version %s, this program " MODELD_VERSION
			    ": restart modeld after an upgrade",
			    version);
	else
		doctor_ok(d, "modeld %s answers at %s", version, w->text);
}

static bool accepts(const struct sockaddr *to, socklen_t n)
{
	auto_close int fd =
		socket(to->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	return fd >= 0 && connect(fd, to, n) == 0;
}

/* By IPv4 and by IPv6. */
static bool accepts_at(int port, bool is_v6)
{
	struct sockaddr_in a = { .sin_family = AF_INET,
				 .sin_port = htons((uint16_t)port),
				 .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct sockaddr_in6 b = { .sin6_family = AF_INET6,
				  .sin6_port = htons((uint16_t)port),
				  .sin6_addr = IN6ADDR_LOOPBACK_INIT };
	return is_v6 ? accepts((const struct sockaddr *)&b, sizeof b)
		     : accepts((const struct sockaddr *)&a, sizeof a);
}

/* Where it listens on loopback, with TLS or without. */
static size_t show_ports(struct doctor *d, const json_t *listen)
{
	size_t i, n = 0;
	json_t *url;
	json_array_foreach(listen, i, url)
	{
		struct str s = str_of(json_string_value(url));
		bool is_v6 = s.p && str_find(s, '[') >= 0;
		uint64_t port;
		if (!s.p || !waysin_is_on_host(s.p))
			continue;
		n++;
		if (!str_to_u64(str_tail(s, (size_t)str_find_last(s, ':') + 1),
				&port))
			continue;
		if (is_v6 || accepts_at((int)port, false))
			doctor_ok(d, "port: %s", s.p);
		else
			doctor_fail(d,
				    "%s does not accept: is loopback (lo) "
				    "up? does a firewall block it?",
				    s.p);
	}
	return n;
}

void doctor_daemon_port(struct doctor *d)
{
	struct holder h;
	const json_t *listen = json_object_get(d->version, "listen");
	if (d->daemon && !json_is_array(listen)) {
		doctor_skip(d, "port: modeld does not tell us where it "
			       "listens");
		return;
	}
	if (d->daemon && show_ports(d, listen))
		return;
	if (!accepts_at(DEFAULT_PORT, false) &&
	    !accepts_at(DEFAULT_PORT, true)) {
		if (d->daemon)
			doctor_skip(d, "port: off; docker model enable --tcp "
				       "12434 opens it");
		else
			doctor_ok(d, "port 12434 is free");
	} else if (holder_find(DEFAULT_PORT, &h) == 0) {
		doctor_fail(d,
			    "port 12434 is held by %s (process %d): stop it, "
			    "or docker model enable --tcp another port",
			    h.command, h.pid);
	} else {
		doctor_fail(d, "port 12434 is held by a program of another "
			       "user: see 'sudo ss -ltnp', stop it, or docker "
			       "model enable --tcp another port");
	}
}

void doctor_daemon_config(struct doctor *d)
{
	auto_free char *path = paths_config();
	auto_json *file = NULL;
	struct err why;
	const char *told = doctor_told(d, "config");
	told = told ? told : path;
	int got = jsonfile_read(told, &file, &why);
	if (got == JSONFILE_ABSENT)
		doctor_ok(d, "configuration: the defaults (there is no %s)",
			  told);
	else if (got == 0)
		doctor_ok(d, "configuration: %s", told);
	else if (access(told, R_OK) < 0 && errno == EACCES)
		doctor_skip(d,
			    "configuration: you may not read %s; run this "
			    "with sudo",
			    told);
	else
		doctor_fail(d,
			    "configuration: %s: correct it, then restart "
			    "modeld",
			    why.msg);
}

static void check_space(struct doctor *d, const char *folder)
{
	struct statvfs v;
	char free_text[HUMAN_BYTES];
	if (statvfs(folder, &v) < 0) {
		/* Another user's folder; modeld itself can read it. */
		doctor_skip(d, "disk: cannot look at %s; run this with sudo",
			    folder);
		return;
	}
	unsigned long long bytes = (unsigned long long)v.f_bavail * v.f_frsize;
	human_size((double)bytes, free_text);
	if (bytes < MIN_DISK_BYTES)
		doctor_fail(d,
			    "disk: only %s free at %s: remove models with "
			    "'docker model rm', or move the store (--store)",
			    free_text, folder);
	else
		doctor_ok(d, "disk: %s free at %s", free_text, folder);
}

void doctor_daemon_store(struct doctor *d)
{
	auto_json *models = NULL;
	struct err why;
	auto_free char *path = paths_store();
	const char *told = doctor_told(d, "store");
	told = told ? told : path;
	if (!d->daemon)
		doctor_skip(d, "models: modeld does not answer");
	else if (call_json(d->daemon, "GET", "/models", STR(""), &models, &why))
		doctor_fail(d,
			    "models in %s: %s: restore models.json there "
			    "from a copy, or move it away",
			    told, why.msg);
	else
		doctor_ok(d, "models: %zu in %s", json_array_size(models),
			  told);
	if (access(told, F_OK) == 0)
		check_space(d, told);
}

/* The engine itself tries, on this kernel. */
static void check_sandbox(struct doctor *d, const char *program)
{
	auto_buf struct buf out;
	struct err why = { 0 };
	const char *const argv[] = { program, "--show-sandbox", NULL };
	buf_init(&out, 65536);
	int got = tool_run(argv, TOOL_MS, &out, &why);
	struct str last = tool_last_line(buf_str(&out));
	if (got == 0)
		doctor_ok(d, "engine sandbox: %.*s", STR_ARG(last));
	else
		doctor_fail(d,
			    "engine sandbox: %s%.*s: this kernel or container "
			    "forbids seccomp filters, so no model starts",
			    why.msg, STR_ARG(last));
}

void doctor_daemon_llama(struct doctor *d)
{
	auto_buf struct buf out;
	struct err why = { 0 };
	auto_free char *own = tool_find_own("modeld-llama");
	const char *program = doctor_told(d, "llama");
	buf_init(&out, 65536);
	program = program ? program : own;
	if (!program) {
		doctor_fail(d, "engine: modeld-llama is not installed: install "
			       "modeld again");
		return;
	}
	const char *const argv[] = { program, "--version", NULL };
	int got = tool_run(argv, TOOL_MS, &out, &why);
	struct str last = tool_last_line(buf_str(&out));
	if (got == 0) {
		doctor_ok(d, "engine: %.*s", STR_ARG(last));
		check_sandbox(d, program);
	} else if (got == TOOL_ABSENT)
		doctor_fail(d,
			    "engine: %s is not there or no program: install "
			    "modeld again, or set --llama",
			    program);
	else
		doctor_fail(d,
			    "engine: %s does not start: %s%.*s: install "
			    "modeld again",
			    program, why.msg, STR_ARG(last));
}

void doctor_daemon_memory(struct doctor *d)
{
	char line[200], text[HUMAN_BYTES];
	unsigned long long kib = 0;
	FILE *f = fopen("/proc/meminfo", "re");
	while (f && fgets(line, sizeof line, f))
		if (sscanf(line, "MemAvailable: %llu", &kib) == 1)
			break;
	if (f)
		fclose(f);
	if (!kib)
		return;
	human_size((double)kib * 1024, text);
	if (kib * 1024 < MIN_MEMORY_BYTES)
		doctor_fail(d,
			    "memory: only %s available: unload models with "
			    "'docker model unload --all', or end other "
			    "programs",
			    text);
	else
		doctor_ok(d, "memory: %s available", text);
}
