#include "docker/dns.h"
#include "docker/listen.h"
#include "docker/net.h"
#include "docker/names.h"
#include "docker/front.h"
#include "docker/run.h"
#include "docker/setup.h"
#include "docker/take.h"

#include <stdio.h>
#include <sys/prctl.h>

/* A command is a row here and a file of its name. */
static const struct setup_command commands[] = {
	{ "settings", "print the settings in force, as JSON", NULL, "",
	  setup_print },
	{ "run", "all of these, kept running, for hosts without systemd", NULL,
	  "address address6 netns device name hosts docker engine listen modeld "
	  "helper user take root",
	  run_run },
	{ "net", "make or remove the network that containers reach modeld by",
	  "up|down", "address address6 netns device", net_command },
	{ "listen",
	  "give modeld the listeners for containers, and tell it who "
	  "calls",
	  NULL, "address address6 netns device docker engine helper user",
	  listen_run },
	{ "front", "serve the Docker socket: Engine and models behind one name",
	  NULL, "listen engine docker modeld", front_run },
	{ "take", "give the front the Docker socket's name, while it works",
	  NULL, "listen engine docker", take_run },
	{ "release", "give the Docker socket's name back to the Engine", NULL,
	  "listen engine docker", take_release },
	{ "names", "give containers, builds and the host the name", "[remove]",
	  "address address6 name hosts docker engine root", names_run },
	{ "dns", "answer DNS for the name, and pass other questions on", NULL,
	  "address address6 netns name dns-address upstream", dns_run },
	{ 0 }
};

static void help(void)
{
	printf("Usage: modeld-docker COMMAND [OPTIONS]\n\n"
	       "Brings modeld to the containers and to the Docker socket. "
	       "'docker model connect'\nruns it; by hand, as root:\n\n");
	for (const struct setup_command *c = commands; c->name; c++)
		printf("  %-9s %s\n", c->name, c->help);
	printf("\nmodeld-docker COMMAND --help shows its options.\n");
}

static int run(int argc, char **argv, struct err *e)
{
	struct setup s;
	const struct setup_command *c = commands;
	if (argc < 2 || strcmp(argv[1], "--help") == 0 ||
	    strcmp(argv[1], "help") == 0) {
		help();
		return argc < 2 ? err_set(e, ERR_USAGE, "which command?") : 0;
	}
	if (strcmp(argv[1], "--version") == 0) {
		printf("modeld-docker %s\n", MODELD_VERSION);
		return 0;
	}
	while (c->name && strcmp(c->name, argv[1]) != 0)
		c++;
	if (!c->name)
		return err_set(e, ERR_USAGE,
			       "there is no command '%s'; see modeld-docker "
			       "--help",
			       argv[1]);
	int got = setup_read(&s, c, argc, argv, e);
	if (got == 0) {
		log_init("modeld-docker", s.log_level);
		got = c->run(&s, e);
	}
	setup_fini(&s);
	return got;
}

int main(int argc, char **argv)
{
	struct err e;
	/* As a child of `run` it would be "exe". */
	prctl(PR_SET_NAME, "modeld-docker");
	if (run(argc, argv, &e) >= 0)
		return 0;
	fprintf(stderr, "modeld-docker: %s\n", e.msg);
	return err_exit_status(e.code);
}
