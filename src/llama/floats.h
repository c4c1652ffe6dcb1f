/* floats.h - vectors of numbers as embeddings need them: scaled to length 1,
 * written as JSON or as base64 of little-endian 32-bit floats. Pure. */
#pragma once
#include "base/buf.h"

/* Scales v to Euclidean length 1; a vector of zeros stays as it is. */
void floats_normalise(float *v, size_t n);
/* "[0.1,-0.2]"; each number is the shortest that reads back as the same float.
 */
must_use int floats_put_json(struct buf *out, const float *v, size_t n);
/* A JSON string: RFC 4648, section 4, with padding. */
must_use int floats_put_base64(struct buf *out, const float *v, size_t n);
