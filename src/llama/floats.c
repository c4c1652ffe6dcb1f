#include "llama/floats.h"

#include "llama/float_text.h"

#include <math.h>

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
		 * and null tells so. */
		char text[1 + FLOAT_TEXT] = ",null";
		size_t bytes = isfinite(v[i]) ? 1 + float_text(v[i], text + 1)
					      : strlen(text);
		full = buf_put(out, text + !i, bytes - !i);
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
