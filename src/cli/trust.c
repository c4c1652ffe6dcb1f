#include "cli/trust.h"
#include "base/paths.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const char *variable(const char *name)
{
	const char *value = getenv(name);
	return value && *value ? value : NULL;
}

static bool is_true(const char *name)
{
	const char *text = variable(name);
	return text && (!strcmp(text, "true") || !strcmp(text, "1"));
}

int trust_new(struct tls **out, struct err *e)
{
	auto_free char *user = paths_user_certs();
	auto_free char *own = xasprintf("%s/ca.crt", user);
	const char *named = variable("MODEL_RUNNER_TLS_CA_CERT");
	const char *files[3] = { NULL };
	struct tls_trust trust = { .ca_files = files, .and_system = !named };
	size_t n = 0;
	trust.any = is_true("MODEL_RUNNER_TLS_SKIP_VERIFY");
	if (trust.any)
		fprintf(stderr, "warning: MODEL_RUNNER_TLS_SKIP_VERIFY is on: "
				"anybody can pose as the server\n");
	else if (named)
		files[n++] = named;
	if (!named && access(own, R_OK) == 0)
		files[n++] = own;
	if (!named && access(PATHS_SYSTEM_CA, R_OK) == 0)
		files[n++] = PATHS_SYSTEM_CA;
	return tls_client_new(&trust, out, e) ? err_wrap(e, "TLS") : 0;
}
