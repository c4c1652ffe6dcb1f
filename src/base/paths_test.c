#include "base/paths.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <cmocka.h>
#include <unistd.h>

/* What a test sees must not depend on who runs it, or where. */
static int clean_environment(void **state)
{
	static const char *const names[] = {
		"MODEL_RUNNER_SOCK",	   "MODELS_PATH",     "DOCKER_CONFIG",
		"XDG_RUNTIME_DIR",	   "XDG_CONFIG_HOME", "XDG_STATE_HOME",
		"CONFIGURATION_DIRECTORY",
	};
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		unsetenv(names[i]);
	return setenv("HOME", "/home/ada", 1);
}

static void expect(char *got, const char *want)
{
	assert_string_equal(got, want);
	free(got);
}

static const char *for_root(const char *root, const char *user)
{
	return geteuid() == 0 ? root : user;
}

static void without_variables_the_home_folder_decides(void **state)
{
	(void)state;
	expect(paths_store(), "/home/ada/.docker/models");
	expect(paths_docker(), "/home/ada/.docker");
	expect(paths_socket(),
	       for_root("/run/modeld/modeld.sock",
			"/home/ada/.local/state/modeld/modeld.sock"));
	expect(paths_config(),
	       for_root("/etc/modeld/config.json",
			"/home/ada/.config/modeld/config.json"));
}

static void the_variables_of_model_runner_come_first(void **state)
{
	(void)state;
	setenv("MODEL_RUNNER_SOCK", "/tmp/x.sock", 1);
	setenv("MODELS_PATH", "/srv/models", 1);
	setenv("DOCKER_CONFIG", "/srv/docker", 1);
	expect(paths_socket(), "/tmp/x.sock");
	expect(paths_store(), "/srv/models");
	expect(paths_docker(), "/srv/docker");
}

static void an_empty_variable_counts_as_unset(void **state)
{
	(void)state;
	setenv("MODELS_PATH", "", 1);
	expect(paths_store(), "/home/ada/.docker/models");
}

static void the_xdg_folders_hold_a_users_socket_and_config(void **state)
{
	(void)state;
	setenv("XDG_RUNTIME_DIR", "/run/user/7", 1);
	setenv("XDG_CONFIG_HOME", "relative/is/ignored", 1);
	expect(paths_runtime_dir(),
	       for_root("/run/modeld", "/run/user/7/modeld"));
	expect(paths_config(),
	       for_root("/etc/modeld/config.json",
			"/home/ada/.config/modeld/config.json"));
	setenv("XDG_CONFIG_HOME", "/cfg", 1);
	expect(paths_config(),
	       for_root("/etc/modeld/config.json", "/cfg/modeld/config.json"));
}

static void a_unit_of_systemd_has_its_own_config_folder(void **state)
{
	(void)state;
	setenv("CONFIGURATION_DIRECTORY", "/etc/modeld", 1);
	setenv("XDG_CONFIG_HOME", "/cfg", 1);
	expect(paths_config(), "/etc/modeld/config.json");
}

int main(void)
{
#define T(name) cmocka_unit_test_setup(name, clean_environment)
	const struct CMUnitTest tests[] = {
		T(without_variables_the_home_folder_decides),
		T(the_variables_of_model_runner_come_first),
		T(an_empty_variable_counts_as_unset),
		T(the_xdg_folders_hold_a_users_socket_and_config),
		T(a_unit_of_systemd_has_its_own_config_folder),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
