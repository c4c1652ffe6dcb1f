/* curllib.h - libcurl, loaded when it is first needed.
 *
 * Linked in the usual way it would cost every modeld that never pulls 6 MB of
 * memory and half of its time to start (libcurl brings 25 libraries along). The
 * functions are called through the table: `lib->easy_init()`. */
#pragma once
#include "base/err.h"

#include <curl/curl.h>

#define CURLLIB_EACH(F)        \
	F(global_init)         \
	F(easy_init)           \
	F(easy_setopt)         \
	F(easy_getinfo)        \
	F(easy_pause)          \
	F(easy_cleanup)        \
	F(easy_strerror)       \
	F(slist_append)        \
	F(slist_free_all)      \
	F(multi_init)          \
	F(multi_setopt)        \
	F(multi_add_handle)    \
	F(multi_remove_handle) \
	F(multi_socket_action) \
	F(multi_assign)        \
	F(multi_info_read)     \
	F(multi_cleanup)

struct curllib {
#define CURLLIB_MEMBER(name) __typeof__(curl_##name) *name;
	CURLLIB_EACH(CURLLIB_MEMBER)
#undef CURLLIB_MEMBER
};

/* The table, ready for use; it stays for ever. On the loop's thread only. NULL
 * with *e: no libcurl on this machine. */
const struct curllib *curllib_get(struct err *e);
