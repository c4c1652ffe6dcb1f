/* base.h - the few macros and helpers that every file may use.
 *
 * Locals clean up by scope: `auto_free char *s`, `auto_close int fd = -1`,
 * `auto_(store) s`. Ownership leaves a local by name: `*out = steal(&s)`.
 * Allocation never fails for the caller: out of memory ends the program, since
 * every size that a client can choose has a ceiling in limits.h. */
#pragma once
#include <stddef.h>
#include <stdlib.h>

#define must_use __attribute__((warn_unused_result))
#define printf_like(fmt, args) __attribute__((format(printf, fmt, args)))

/* `auto_(x) p` is a `struct x *p` that x_free() gets when its scope ends. */
#define auto_(t) __attribute__((cleanup(t##_freep))) struct t *
#define BASE_AUTO(t)                               \
	static inline void t##_freep(struct t **p) \
	{                                          \
		t##_free(*p);                      \
	}                                          \
	struct t /* takes the semicolon */

#define auto_free __attribute__((cleanup(base_freep)))
#define auto_close __attribute__((cleanup(base_closep)))

/* Takes the value out of *p and leaves NULL there. */
#define steal(p)                                     \
	__extension__({                              \
		__typeof__(*(p)) base_stolen = *(p); \
		*(p) = NULL;                         \
		base_stolen;                         \
	})

/* The same for a file descriptor; leaves -1. */
int steal_fd(int *fd);

/* The struct that `ptr`, its member `member`, is embedded in. */
#define container_of(ptr, type, member) \
	((type *)(void *)((char *)(ptr)-offsetof(type, member)))

#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))
#define MIN(a, b) ((a) < (b) ? (a) : (b))
#define MAX(a, b) ((a) > (b) ? (a) : (b))

/* Zeroed memory; never NULL. */
void *xcalloc(size_t n, size_t size) must_use;
void *xrealloc(void *p, size_t size) must_use;
char *xstrdup(const char *s) must_use;
char *xstrndup(const char *s, size_t n) must_use;
/* The caller frees the text. */
char *xasprintf(const char *fmt, ...) must_use printf_like(1, 2);

/* Frees what a pointer points to, or closes, and leaves NULL or -1 there. */
void base_freep(void *p);
void base_closep(int *fd);
