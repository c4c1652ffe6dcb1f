#include "cli/plugin.h"

#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static const struct {
	const char *name;
	char letter;
	bool has_value;
} globals[] = {
	{ "config", 0, true },	    { "context", 'c', true },
	{ "debug", 'D', false },    { "host", 'H', true },
	{ "log-level", 'l', true }, { "tls", 0, false },
	{ "tlscacert", 0, true },   { "tlscert", 0, true },
	{ "tlskey", 0, true },	    { "tlsverify", 0, false },
};

const char *plugin_metadata(void)
{
	return "{\n"
	       "     \"SchemaVersion\": \"0.1.0\",\n"
	       "     \"Vendor\": \"modeld\",\n"
	       "     \"Version\": \"" MODELD_VERSION "\",\n"
	       "     \"ShortDescription\": \"Docker Model Runner\"\n"
	       "}\n";
}

/* How many words the flag at argv[0] takes, 0 if it is not docker's; *value is
 * what was given to it. */
static int global(int argc, char *const argv[], const char **name,
		  const char **value)
{
	const char *word = argv[0];
	const char *equals = strchr(word, '=');
	size_t n = equals ? (size_t)(equals - word) : strlen(word);
	for (size_t i = 0; i < ARRAY_LEN(globals); i++) {
		const char *long_name = globals[i].name;
		bool is_long = n > 2 && !strncmp(word, "--", 2) &&
			       n - 2 == strlen(long_name) &&
			       !strncmp(word + 2, long_name, n - 2);
		bool is_short = globals[i].letter && word[0] == '-' &&
				word[1] == globals[i].letter && n == 2;
		if (!is_long && !is_short)
			continue;
		*name = long_name;
		*value = equals ? equals + 1 : argc > 1 ? argv[1] : "";
		return globals[i].has_value && !equals ? 2 : 1;
	}
	return 0;
}

int plugin_skip_globals(int argc, char *const argv[])
{
	const char *name, *value;
	int i = 0, n;
	while (i < argc && (n = global(argc - i, argv + i, &name, &value))) {
		if (!strcmp(name, "config"))
			setenv("DOCKER_CONFIG", value, 1);
		i += n;
	}
	i = MIN(i, argc);
	return i < argc && !strcmp(argv[i], "model") ? i + 1 : i;
}

void plugin_follow_docker(void)
{
	const char *name = getenv("DOCKER_CLI_PLUGIN_SOCKET");
	struct sockaddr_un to = { .sun_family = AF_UNIX };
	if (!name || name[0] != '@' || strlen(name) >= sizeof to.sun_path)
		return;
	/* An abstract name begins with NUL, and its length counts. */
	size_t n = strlen(name);
	memcpy(to.sun_path + 1, name + 1, n - 1);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return;
	/* An older docker, or one that has gone: then nothing tells us. */
	if (connect(fd, (const struct sockaddr *)&to,
		    (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n)) ||
	    fcntl(fd, F_SETOWN, getpid()) || fcntl(fd, F_SETSIG, SIGTERM) ||
	    fcntl(fd, F_SETFL, O_ASYNC))
		close(fd);
}
