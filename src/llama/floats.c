#include "llama/floats.h"

#include <math.h>
#include <stdio.h>

void floats_normalise(float *v, size_t n)
{
	double sum = 0;
	for (size_t i = 0; i < n; i++)
		sum += (double)v[i] * v[i];
	if (sum <= 0 || !isfinite(sum))
		return;
	float scale = (float)(1 / sqrt(sum));
	for (size_t i = 0; i < n; i++)
		v[i] *= scale;
}

int floats_put_json(struct buf *out, const float *v, size_t n)
{
	int full = buf_puts(out, "[");
	for (size_t i = 0; i < n && !full; i++) {
		/* JSON has no word for NaN; a model that makes one is broken,
		 * and null tells so. Nine digits carry every float. */
		if (isfinite(v[i]))
			full = buf_printf(out, i ? ",%.9g" : "%.9g",
					  (double)v[i]);
		else
			full = buf_puts(out, i ? ",null" : "null");
	}
	return full ? full : buf_puts(out, "]");
}

static uint8_t byte_at(const float *v, size_t i)
{
	uint32_t word;
	memcpy(&word, &v[i / 4], sizeof word);
	return (uint8_t)(word >> 8 * (i % 4));
}

int floats_put_base64(struct buf *out, const float *v, size_t n)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
				     "abcdefghijklmnopqrstuvwxyz0123456789+/";
	size_t bytes = n * sizeof *v;
	int full = buf_puts(out, "\"");
	for (size_t i = 0; i < bytes && !full; i += 3) {
		size_t have = MIN(bytes - i, (size_t)3);
		uint32_t group = 0;
		for (size_t k = 0; k < 3; k++)
			group = group << 8 | (k < have ? byte_at(v, i + k) : 0);
		char quad[4];
		for (size_t k = 0; k < 4; k++)
			quad[k] = k <= have ? digits[group >> (18 - 6 * k) & 63]
					    : '=';
		full = buf_put(out, quad, sizeof quad);
	}
	return full ? full : buf_puts(out, "\"");
}
