/* sandbox.h - shuts the process in before it reads a model that a stranger
 * made. What it promises, on which kernels: docs/security.md.
 *
 * Order of a worker's life: libraries and their backends are loaded, the
 * listening socket is made, then sandbox_enter(), then the model is read, then
 * sandbox_seal(). */
#pragma once
#include "base/err.h"

#include <stdint.h>

struct sandbox_options {
	const char *const *files; /* all that may be read; NULLs are skipped */
	size_t n_files;
	bool has_gpu; /* a graphics card's driver works in this process */
	/* That it may take beside the files that it only reads; 0: no ceiling.
	 * A sanitizer, which reserves more than there is, has none. */
	uint64_t memory_bytes;
};

/* What holds; zeroed for a process that is not shut in. */
struct sandbox {
	int landlock; /* the version in force; 0 for none */
	bool has_seccomp;
	bool has_gpu;	   /* with the wider rules for drivers */
	bool is_sanitized; /* with the wider rules for a sanitizer's build */
	bool is_sealed;
};

/* Once, while this is the process's only thread: Landlock binds no thread that
 * is there already. A kernel without Landlock is no error, one without seccomp
 * is. */
must_use int sandbox_enter(const struct sandbox_options *o, struct sandbox *out,
			   struct err *e);
/* Once the model is read: no file can be opened any more. Does nothing for
 * drivers and sanitizers, which open files as long as they run. */
must_use int sandbox_seal(struct sandbox *s, struct err *e);

#define SANDBOX_TEXT_BYTES 100
/* "Landlock 6, seccomp", "seccomp (this kernel has no Landlock)", "off". */
void sandbox_text(const struct sandbox *s, char out[SANDBOX_TEXT_BYTES]);
