#include "llama/backends.h"

#include "base/base.h"
#include "base/log.h"

#include <dirent.h>
#include <dlfcn.h>
#include <ggml-backend.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define BASE "libggml-base.so"
#define CPU "libggml-cpu-"

/* Each before those whose instructions it has as well. */
static const char *const best_first[] = {
	"sapphirerapids", "zen4",	 "cooperlake", "icelake", "cascadelake",
	"cannonlake",	  "skylakex",	 "alderlake",  "haswell", "piledriver",
	"ivybridge",	  "sandybridge", "sse42",      "x64",
};

static bool is_known(const char *file)
{
	char name[64];
	for (size_t i = 0; i < ARRAY_LEN(best_first); i++) {
		snprintf(name, sizeof name, CPU "%s.so", best_first[i]);
		if (strcmp(file, name) == 0)
			return true;
	}
	return strcmp(file, BASE) == 0;
}

/* Has it no other backend than the CPU's that are known here? */
static bool has_only_known(const char *folder)
{
	bool out = true;
	DIR *dir = opendir(folder);
	if (!dir)
		return false;
	for (struct dirent *d; (d = readdir(dir));)
		if (strncmp(d->d_name, "libggml-", strlen("libggml-")) == 0)
			out &= is_known(d->d_name);
	closedir(dir);
	return out;
}

/* Loads it if this processor has all that it needs. */
static bool load_cpu(const char *folder, const char *name)
{
	auto_free char *path = xasprintf("%s/" CPU "%s.so", folder, name);
	int (*score)(void);
	void *lib = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	if (!lib)
		return false;
	*(void **)&score = dlsym(lib, "ggml_backend_score");
	bool out = score && score() > 0 && ggml_backend_load(path);
	dlclose(lib);
	if (out)
		log_debug("the processor's code is %s", name);
	return out;
}

void backends_load(const char *folder)
{
	if (has_only_known(folder))
		for (size_t i = 0; i < ARRAY_LEN(best_first); i++)
			if (load_cpu(folder, best_first[i]))
				return;
	ggml_backend_load_all_from_path(folder);
}
