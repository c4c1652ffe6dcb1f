#include "llama/exif.h"

#define UPRIGHT 1
#define MOST 8
/* The field and its type, a 16-bit number (EXIF 2.32, 4.6.4). */
#define ORIENTATION 0x0112
#define SHORT 3
#define ENTRY_BYTES 12

enum order { LITTLE, BIG };

/* They are there: the caller has looked. */
static uint32_t number(struct str s, size_t at, size_t n, enum order order)
{
	uint32_t out = 0;
	for (size_t i = 0; i < n; i++)
		out = out << 8 |
		      (uint8_t)s.p[at + (order == BIG ? i : n - 1 - i)];
	return out;
}

static bool begins(struct str s, struct str with)
{
	return s.n >= with.n && memcmp(s.p, with.p, with.n) == 0;
}

/* ---- TIFF: the data itself ---- */

static unsigned orientation_of_entry(struct str s, enum order order)
{
	if (number(s, 0, 2, order) != ORIENTATION ||
	    number(s, 2, 2, order) != SHORT || number(s, 4, 4, order) != 1)
		return 0;
	uint32_t value = number(s, 8, 2, order);
	return value <= MOST ? value : 0;
}

/* Of the first directory, which is that of the picture itself; the next ones
 * are of its thumbnail. */
static unsigned orientation_of(struct str tiff)
{
	bool is_big = begins(tiff, STR("MM\0*"));
	enum order order = is_big ? BIG : LITTLE;
	if (tiff.n < 8 || (!is_big && !begins(tiff, STR("II*\0"))))
		return UPRIGHT;
	struct str rest = str_tail(tiff, number(tiff, 4, 4, order));
	if (rest.n < 2)
		return UPRIGHT;
	uint32_t n = number(rest, 0, 2, order);
	rest = str_tail(rest, 2);
	for (; n && rest.n >= ENTRY_BYTES; n--) {
		unsigned found = orientation_of_entry(rest, order);
		if (found)
			return found;
		rest = str_tail(rest, ENTRY_BYTES);
	}
	return UPRIGHT;
}

/* A JPEG's segment has a name before it, and some writers put that into the
 * other files, too. */
static struct str without_name(struct str exif)
{
	struct str name = STR("Exif\0\0");
	return begins(exif, name) ? str_tail(exif, name.n) : exif;
}

/* ---- where it stands: nothing, or the data ---- */

/* To behind the next marker; 0: there is none. What stands before it is passed
 * over, as stb_image does. */
static uint8_t next_marker(struct str *rest)
{
	uint8_t marker = 0xff;
	ptrdiff_t at = str_find(*rest, '\xff');
	*rest = str_tail(*rest, at < 0 ? rest->n : (size_t)at);
	while (marker == 0xff && rest->n) {
		marker = (uint8_t)rest->p[0];
		*rest = str_tail(*rest, 1);
	}
	return marker == 0xff ? 0 : marker;
}

static bool has_no_length(uint8_t marker)
{
	return !marker || marker == 0x01 || (marker >= 0xd0 && marker <= 0xd8);
}

static struct str find_in_jpeg(struct str rest)
{
	enum { APP1 = 0xe1, START_OF_SCAN = 0xda, END = 0xd9 };
	while (rest.n) {
		uint8_t marker = next_marker(&rest);
		if (has_no_length(marker))
			continue;
		if (marker == START_OF_SCAN || marker == END || rest.n < 2)
			break;
		size_t n = number(rest, 0, 2, BIG); /* with these two */
		struct str body = str_tail(str_head(rest, n), 2);
		if (marker == APP1 && begins(body, STR("Exif\0\0")))
			return body;
		rest = str_tail(rest, MAX(n, (size_t)2));
	}
	return (struct str){ 0 };
}

static struct str find_in_png(struct str rest)
{
	rest = str_tail(rest, 8);
	while (rest.n >= 12 && !begins(str_tail(rest, 4), STR("IEND"))) {
		size_t n = number(rest, 0, 4, BIG);
		if (begins(str_tail(rest, 4), STR("eXIf")))
			return str_head(str_tail(rest, 8), n);
		rest = str_tail(rest, n + 12); /* with name and checksum */
	}
	return (struct str){ 0 };
}

static struct str find_in_webp(struct str rest)
{
	rest = str_tail(rest, 12);
	while (rest.n >= 8) {
		size_t n = number(rest, 4, 4, LITTLE);
		if (begins(rest, STR("EXIF")))
			return str_head(str_tail(rest, 8), n);
		rest = str_tail(rest, 8 + n + n % 2);
	}
	return (struct str){ 0 };
}

static struct str find(struct str file)
{
	if (begins(file, STR("\xff\xd8")))
		return find_in_jpeg(file);
	if (begins(file, STR("\x89PNG\r\n\x1a\n")))
		return find_in_png(file);
	if (begins(file, STR("RIFF")) && begins(str_tail(file, 8), STR("WEBP")))
		return find_in_webp(file);
	return (struct str){ 0 };
}

unsigned exif_orientation(struct str file)
{
	return orientation_of(without_name(find(file)));
}
