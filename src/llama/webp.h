/* webp.h - the pixels of a WebP file, by libwebp: pixels.c calls it where that
 * is there (WEBP is 1). Its decoder's memory and time grow with the pixels that
 * a head announces, and with nothing else. Pure; any thread. */
#pragma once
#include "base/err.h"
#include "base/str.h"

#include <stdint.h>

/* As the head has it. -1: ERR_INVALID (broken, or moving). */
must_use int webp_size(struct str file, int *width, int *height, struct err *e);
/* Into room for three bytes a pixel, row after row. -1: ERR_INVALID. */
must_use int webp_read(struct str file, int width, int height, uint8_t *rgb,
		       struct err *e);
