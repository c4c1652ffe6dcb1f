#include "cli/commands.h"
#include "cli/doctor.h"
#include "cli/term.h"

#include <string.h>

/* In an order where what comes later builds on what came before. */
static void (*const checks[])(struct doctor *d) = {
	doctor_daemon_answers, doctor_daemon_port,     doctor_daemon_config,
	doctor_daemon_store,   doctor_daemon_llama,    doctor_daemon_memory,
	doctor_ways_engine,    doctor_ways_helper,     doctor_ways_address,
	doctor_ways_route,     doctor_ways_name,       doctor_firewall_check,
	doctor_ways_front,     doctor_container_check,
};

static void fini(struct doctor *d)
{
	call_free(d->daemon);
	json_decref(d->version);
	connection_fini(&d->ways);
}

int cmd_doctor(const struct cmd_line *in, struct err *e)
{
	__attribute__((cleanup(fini))) struct doctor d = { 0 };
	struct err why;
	(void)in;
	int got = connection_read(&d.ways, &why);
	d.has_docker_part = got == 0;
	if (got < 0)
		doctor_fail(&d, "the settings of modeld-docker: %s", why.msg);
	for (size_t i = 0; i < ARRAY_LEN(checks); i++)
		checks[i](&d);
	if (d.n_failed)
		return err_set(e, ERR_UNAVAILABLE, "%zu check%s failed",
			       d.n_failed, d.n_failed == 1 ? "" : "s");
	return 0;
}
