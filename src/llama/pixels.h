/* pixels.h - the pixels of a PNG, JPEG or GIF file, by stb_image, which
 * llama.cpp brings along, and of WebP (webp.h), turned upright where the file
 * tells how the camera was held (exif.h). The bytes may be hostile: stb_image
 * is given no more memory and time than such a picture needs. Pure; any
 * thread. */
#pragma once
#include "base/err.h"
#include "base/str.h"

#include <stdint.h>

struct pixels {
	uint8_t *rgb; /* owned; three bytes each, row after row */
	uint32_t width, height;
};

/* -1: ERR_INVALID, with LIMIT_IMAGE_SIDE and so on in words. */
must_use int pixels_read(struct str file, struct pixels *out, struct err *e);
void pixels_fini(struct pixels *p);
