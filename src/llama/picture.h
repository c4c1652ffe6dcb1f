/* picture.h - a picture that a request carries in a data: URL. Nothing is
 * fetched: a URL of another kind would let whoever may ask a model reach what
 * only this machine reaches. Pure; any thread. */
#pragma once
#include "llama/pixels.h"
#include "oci/digest.h"

struct picture {
	struct pixels pixels; /* owned */
	struct digest digest; /* of the file's bytes */
};

/* Is it a URL that picture_read() will take apart? Cheap. -1: ERR_INVALID. */
must_use int picture_check(struct str url, struct err *e);
/* Decodes it all. -1: ERR_INVALID. */
must_use int picture_read(struct str url, struct picture *out, struct err *e);
void picture_fini(struct picture *p);
