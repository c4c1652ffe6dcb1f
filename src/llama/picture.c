#include "llama/picture.h"

#include "base/buf.h"
#include "base/limits.h"

/* ---- base64 (RFC 4648, section 4) ---- */

static int digit_of(unsigned char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	return c == '+' ? 62 : c == '/' ? 63 : -1;
}

static struct str without_padding(struct str text)
{
	for (int i = 0; i < 2 && str_ends(text, "="); i++)
		text.n--;
	return text;
}

static int put_group(struct buf *out, uint32_t group, size_t digits)
{
	char bytes[3];
	group <<= 6 * (4 - digits);
	for (size_t i = 0; i < 3; i++)
		bytes[i] = (char)(group >> (16 - 8 * i));
	return buf_put(out, bytes, digits - 1);
}

static int decode(struct str text, struct buf *out, struct err *e)
{
	uint32_t group = 0;
	size_t digits = 0;
	text = without_padding(text);
	for (size_t i = 0; i < text.n; i++) {
		int digit = digit_of((unsigned char)text.p[i]);
		if (digit < 0)
			return err_set(e, ERR_INVALID,
				       "byte %zu of its base64 is none", i);
		group = group << 6 | (uint32_t)digit;
		if (++digits < 4)
			continue;
		if (put_group(out, group, digits))
			return err_set(e, ERR_INVALID,
				       "it has more than %u bytes",
				       LIMIT_IMAGE_BYTES);
		group = 0;
		digits = 0;
	}
	if (digits == 1)
		return err_set(e, ERR_INVALID, "its base64 is cut");
	if (digits && put_group(out, group, digits))
		return err_set(e, ERR_INVALID, "it has more than %u bytes",
			       LIMIT_IMAGE_BYTES);
	return 0;
}

/* ---- data:image/png;base64,... (RFC 2397) ---- */

static int split(struct str url, struct str *data, struct err *e)
{
	if (str_starts(url, "http://") || str_starts(url, "https://"))
		return err_set(
			e, ERR_INVALID,
			"pictures are not fetched from the web: send the "
			"picture itself, as data:image/png;base64,...");
	ptrdiff_t comma = str_find(str_head(url, 200), ',');
	if (!str_starts(url, "data:") || comma < 0 ||
	    !str_ends(str_head(url, (size_t)comma), ";base64"))
		return err_set(e, ERR_INVALID,
			       "the URL of a picture must be "
			       "data:image/png;base64,... or image/jpeg");
	*data = str_tail(url, (size_t)comma + 1);
	if (data->n / 4 * 3 > LIMIT_IMAGE_BYTES + 2)
		return err_set(e, ERR_INVALID,
			       "it has %zu bytes, and %u is the most",
			       data->n / 4 * 3, LIMIT_IMAGE_BYTES);
	return 0;
}

int picture_check(struct str url, struct err *e)
{
	struct str data = { 0 };
	return split(url, &data, e);
}

int picture_read(struct str url, struct picture *out, struct err *e)
{
	struct str data = { 0 };
	auto_buf struct buf file;
	buf_init(&file, LIMIT_IMAGE_BYTES);
	if (split(url, &data, e) || decode(data, &file, e) ||
	    pixels_read(buf_str(&file), &out->pixels, e))
		return -1;
	out->digest = digest_of(buf_str(&file));
	return 0;
}

void picture_fini(struct picture *p)
{
	pixels_fini(&p->pixels);
}
