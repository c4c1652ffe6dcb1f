#include "llama/webp.h"

#include <webp/decode.h>

int webp_size(struct str file, int *width, int *height, struct err *e)
{
	WebPBitstreamFeatures f;
	if (WebPGetFeatures((const uint8_t *)file.p, file.n, &f) !=
	    VP8_STATUS_OK)
		return err_set(e, ERR_INVALID,
			       "it cannot be read: its head is broken");
	if (f.has_animation)
		return err_set(e, ERR_INVALID,
			       "it is an animation: send one picture of it");
	*width = f.width;
	*height = f.height;
	return 0;
}

int webp_read(struct str file, int width, int height, uint8_t *rgb,
	      struct err *e)
{
	size_t row = 3 * (size_t)width;
	if (WebPDecodeRGBInto((const uint8_t *)file.p, file.n, rgb,
			      row * (size_t)height, (int)row))
		return 0;
	return err_set(e, ERR_INVALID,
		       "it cannot be read: it is cut or broken");
}
