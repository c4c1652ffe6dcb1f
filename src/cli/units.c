#include "cli/units.h"
#include "base/buf.h"
#include "cli/connection.h"
#include "cli/tool.h"

#define START_MS 90000
#define OUTPUT_BYTES 65536
#define MAX_WORDS 16

/* systemctl and these words. Not 0 is an error with the last thing it said. */
static int control(const char *verb, const char *const words[], size_t n,
		   struct err *e)
{
	const char *argv[MAX_WORDS + 4] = { "systemctl", "--quiet", verb };
	auto_buf struct buf out;
	buf_init(&out, OUTPUT_BYTES);
	for (size_t i = 0; i < n && i < MAX_WORDS; i++)
		argv[3 + i] = words[i];
	int got = tool_run(argv, START_MS, &out, e);
	if (got == TOOL_ABSENT)
		return err_set(e, ERR_SYSTEM, "there is no systemctl here");
	if (got <= 0)
		return got;
	struct str last = tool_last_line(buf_str(&out));
	return err_set(e, ERR_SYSTEM, "systemctl %s: %.*s", verb,
		       STR_ARG(last));
}

static size_t count(void)
{
	size_t n = 0;
	while (connection_units[n])
		n++;
	return n;
}

int units_check_installed(struct err *e)
{
	const char *const argv[] = {
		"systemctl", "show", "-p", "LoadState", CONNECTION_TARGET, NULL
	};
	auto_buf struct buf out;
	buf_init(&out, 4096);
	/* What was installed a moment ago is not known before. */
	if (control("daemon-reload", NULL, 0, e))
		return -1;
	int got = tool_run(argv, START_MS, &out, e);
	if (got < 0)
		return -1;
	if (got == 0 &&
	    str_eq(tool_last_line(buf_str(&out)), "LoadState=loaded"))
		return 0;
	return err_set(e, ERR_NOT_FOUND,
		       "systemd does not know " CONNECTION_TARGET
		       ": install modeld's package, or 'sudo make install'");
}

/* A unit that gave up a moment ago may start again. */
static void reset_failed(void)
{
	struct err unused;
	if (control("reset-failed", connection_units, count(), &unused))
		return; /* none of them had failed */
}

int units_start(bool takes_socket, struct err *e)
{
	const char *const target[] = { CONNECTION_TARGET };
	const char *const *socket = connection_units + CONNECTION_SOCKET_UNITS;
	size_t n = takes_socket ? count() : CONNECTION_SOCKET_UNITS;
	reset_failed();
	if (control("enable", target, 1, e))
		return -1;
	if (!takes_socket &&
	    (control("stop", socket, count() - CONNECTION_SOCKET_UNITS, e) ||
	     control("disable", socket, count() - CONNECTION_SOCKET_UNITS, e)))
		return -1;
	/* The target starts them too, but would not tell when one fails. */
	if (control("start", target, 1, e))
		return -1;
	return control("start", connection_units, n, e);
}

int units_stop(struct err *e)
{
	const char *const target[] = { CONNECTION_TARGET };
	/* One transaction, so that they stop in the order of the units. */
	int failed = control("stop", target, 1, e);
	if (!failed)
		failed = control("stop", connection_units, count(), e);
	reset_failed();
	if (!failed)
		failed = control("disable", target, 1, e);
	return failed;
}

int units_start_modeld(struct err *e)
{
	const char *const word[] = { "modeld.service" };
	if (control("enable", word, 1, e))
		return -1;
	return control("start", word, 1, e);
}
