/* album.h - what one modeld-llama knows of the pictures of all its requests:
 * their names in prompts (runs.h), and how many are in memory. Any thread. */
#pragma once
#include "oci/digest.h"

#include <stddef.h>
#include <stdint.h>

struct album;

struct album *album_new(void);
void album_free(struct album *a);

/* Takes n into account; -1, ERR_UNAVAILABLE: with those that are there they
 * are more than LIMIT_IMAGES_OPEN. One request alone always fits. */
must_use int album_open(struct album *a, size_t n, struct err *e);
void album_close(struct album *a, size_t n);

/* A negative number, not -1, for part `part` of the picture with this digest:
 * two never have the same. One that was seen lately has its number again. */
int32_t album_name(struct album *a, const struct digest *d, size_t part);
