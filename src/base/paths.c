#include "base/paths.h"

#include <pwd.h>
#include <string.h>
#include <unistd.h>

/* NULL if it is not set or empty. */
static const char *variable(const char *name)
{
	const char *value = getenv(name);
	return value && *value ? value : NULL;
}

/* The XDG specification has relative paths ignored. */
static const char *xdg(const char *name)
{
	const char *value = variable(name);
	return value && *value == '/' ? value : NULL;
}

static const char *home(void)
{
	const char *dir = variable("HOME");
	if (dir)
		return dir;
	const struct passwd *me = getpwuid(geteuid());
	return me && me->pw_dir && *me->pw_dir ? me->pw_dir : "/";
}

char *paths_runtime_dir(void)
{
	const char *dir;
	if (geteuid() == 0)
		return xstrdup(PATHS_SYSTEM_RUNTIME_DIR);
	if ((dir = xdg("XDG_RUNTIME_DIR")) || (dir = xdg("XDG_STATE_HOME")))
		return xasprintf("%s/modeld", dir);
	return xasprintf("%s/.local/state/modeld", home());
}

char *paths_socket(void)
{
	const char *path = variable("MODEL_RUNNER_SOCK");
	if (path)
		return xstrdup(path);
	auto_free char *dir = paths_runtime_dir();
	return xasprintf("%s/modeld.sock", dir);
}

char *paths_store(void)
{
	const char *dir = variable("MODELS_PATH");
	return dir ? xstrdup(dir) : xasprintf("%s/.docker/models", home());
}

char *paths_config(void)
{
	/* Our unit runs under an account of its own, with /etc/modeld. */
	const char *unit = xdg("CONFIGURATION_DIRECTORY");
	const char *dir = xdg("XDG_CONFIG_HOME");
	if (unit)
		return xasprintf("%s/config.json", unit);
	if (geteuid() == 0)
		return xstrdup("/etc/modeld/config.json");
	return dir ? xasprintf("%s/modeld/config.json", dir)
		   : xasprintf("%s/.config/modeld/config.json", home());
}

char *paths_keys(void)
{
	auto_free char *config = paths_config();
	return xasprintf("%.*skeys.json",
			 (int)(strrchr(config, '/') + 1 - config), config);
}

bool paths_is_system(void)
{
	return geteuid() == 0 || xdg("STATE_DIRECTORY");
}

char *paths_certs(void)
{
	/* systemd's, which may be a list. */
	const char *state = xdg("STATE_DIRECTORY");
	if (state)
		return xasprintf("%.*s/certs", (int)strcspn(state, ":"), state);
	if (paths_is_system())
		return xstrdup(PATHS_SYSTEM_STATE_DIR "/certs");
	return paths_user_certs();
}

char *paths_user_certs(void)
{
	return xasprintf("%s/.docker/model-runner/certs", home());
}

char *paths_docker(void)
{
	const char *dir = variable("DOCKER_CONFIG");
	return dir ? xstrdup(dir) : xasprintf("%s/.docker", home());
}
