#include "io/curllib.h"

#include <dlfcn.h>
#include <string.h>

#define FILE_NAME "libcurl.so.4"

static struct curllib lib;

static int load(void *at, struct err *e)
{
#define FIND(name)                                                       \
	{                                                                \
		void *p = dlsym(at, "curl_" #name);                      \
		if (!p)                                                  \
			return err_set(e, ERR_SYSTEM,                    \
				       FILE_NAME " has no curl_" #name); \
		memcpy(&lib.name, &p, sizeof p);                         \
	}
	CURLLIB_EACH(FIND)
#undef FIND
	if (lib.global_init(CURL_GLOBAL_DEFAULT))
		return err_set(e, ERR_SYSTEM, FILE_NAME " cannot be started");
	return 0;
}

const struct curllib *curllib_get(struct err *e)
{
	static bool is_ready;
	if (is_ready)
		return &lib;
	void *at = dlopen(FILE_NAME, RTLD_NOW | RTLD_LOCAL);
	if (!at) {
		err_set(e, ERR_SYSTEM,
			"registries are reached with libcurl, which is not "
			"here: install libcurl4 (%s)",
			dlerror());
		return NULL;
	}
	if (load(at, e))
		return NULL;
	is_ready = true;
	return &lib;
}
