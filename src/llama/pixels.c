#include "llama/pixels.h"

#include "base/limits.h"
#include "llama/bounds.h"
#include "llama/exif.h"
#include "llama/turn.h"
#include "llama/webp.h"

#include <stdbool.h>
#include <string.h>

/* What stb_image may take at once while it reads one picture, and until when:
 * a PNG may unpack to a thousand times its size, and a JPEG may paint the same
 * pixels any number of times. */
static _Thread_local struct {
	size_t most;
	uint64_t until_ns;
} bound;

static void *take(size_t n)
{
	return n <= bound.most ? malloc(n) : NULL;
}

static void *retake(void *p, size_t n)
{
	return n <= bound.most ? realloc(p, n) : NULL;
}

#define STB_IMAGE_IMPLEMENTATION
#define STB_IMAGE_STATIC
#define STBI_ONLY_PNG
#define STBI_ONLY_JPEG
#define STBI_ONLY_GIF
#define STBI_NO_STDIO
#define STBI_NO_HDR
#define STBI_NO_LINEAR
#define STBI_MAX_DIMENSIONS LIMIT_IMAGE_SIDE
#define STBI_ASSERT(x) ((void)0)
#define STBI_MALLOC(n) take(n)
#define STBI_REALLOC(p, n) retake(p, n)
#define STBI_FREE(p) free(p)
#ifdef __clang__
#pragma clang diagnostic ignored "-Wunused-function"
#else
#pragma GCC diagnostic ignored "-Wunused-function"
#endif
#include <stb/stb_image.h>

/* Bytes for a pixel of 16 bits in each of four channels. */
#define PIXEL_BYTES 8
/* Tables, rows and what is read ahead. */
#define SPARE_BYTES (4u << 20)

/* ---- the file, which ends when the time is up ---- */

static int on_read(void *ctx, char *data, int size)
{
	struct str *left = ctx;
	size_t n = MIN((size_t)size, left->n);
	if (bounds_cpu_ns() > bound.until_ns) {
		left->n = 0;
		return 0;
	}
	memcpy(data, left->p, n);
	*left = str_tail(*left, n);
	return (int)n;
}

static void on_skip(void *ctx, int n)
{
	struct str *left = ctx;
	if (n > 0)
		*left = str_tail(*left, MIN((size_t)n, left->n));
}

static int on_eof(void *ctx)
{
	return ((struct str *)ctx)->n == 0;
}

static const stbi_io_callbacks io = { on_read, on_skip, on_eof };

/* ---- what it may be ---- */

static bool is_known(struct str file)
{
	return str_starts(file, "\x89PNG\r\n\x1a\n") ||
	       str_starts(file, "\xff\xd8\xff") || str_starts(file, "GIF87a") ||
	       str_starts(file, "GIF89a");
}

static int check_size(int width, int height, struct err *e)
{
	int least = MIN(width, height), most = MAX(width, height);
	if (least < 1 || most > LIMIT_IMAGE_SIDE ||
	    (uint64_t)width * (uint64_t)height > LIMIT_IMAGE_PIXELS)
		return err_set(e, ERR_INVALID,
			       "it has %d x %d pixels, and a side may have %d "
			       "and all of it %u: make it smaller",
			       width, height, LIMIT_IMAGE_SIDE,
			       LIMIT_IMAGE_PIXELS);
	if (most / least > LIMIT_IMAGE_ASPECT)
		return err_set(e, ERR_INVALID,
			       "it has %d x %d pixels, and one side may be %d "
			       "times the other: cut it in pieces",
			       width, height, LIMIT_IMAGE_ASPECT);
	return 0;
}

#if WEBP
#define KINDS "PNG, JPEG, WebP or GIF"

static bool is_webp(struct str file)
{
	return str_starts(file, "RIFF") && file.n >= 12 &&
	       memcmp(file.p + 8, "WEBP", 4) == 0;
}

static int read_webp(struct str file, struct pixels *out, struct err *e)
{
	int width, height;
	if (webp_size(file, &width, &height, e) || check_size(width, height, e))
		return -1;
	auto_free uint8_t *rgb = xcalloc((size_t)width * (size_t)height, 3);
	if (webp_read(file, width, height, rgb, e))
		return -1;
	*out = (struct pixels){ steal(&rgb), (uint32_t)width,
				(uint32_t)height };
	return 0;
}
#else
#define KINDS "PNG, JPEG or GIF"
#endif

static int decode(struct str file, struct pixels *out, struct err *e)
{
	struct str left = file;
	int width, height, n;
#if WEBP
	if (is_webp(file))
		return read_webp(file, out, e);
#endif
	if (!is_known(file))
		return err_set(e, ERR_INVALID,
			       "it is no " KINDS ": send one of these");
	bound.most = SPARE_BYTES;
	bound.until_ns = bounds_cpu_ns() + LIMIT_IMAGE_MS * 1000000ull;
	if (!stbi_info_from_callbacks(&io, &left, &width, &height, &n))
		return err_set(e, ERR_INVALID, "it cannot be read: %s",
			       stbi_failure_reason());
	if (check_size(width, height, e))
		return -1;
	left = file;
	/* Buffers grow by doubling. */
	bound.most = 2 * PIXEL_BYTES * (size_t)width * (size_t)height +
		     2 * file.n + SPARE_BYTES;
	uint8_t *rgb =
		stbi_load_from_callbacks(&io, &left, &width, &height, &n, 3);
	if (bounds_cpu_ns() > bound.until_ns) {
		free(rgb);
		return err_set(e, ERR_INVALID,
			       "it takes longer than %d s to read",
			       LIMIT_IMAGE_MS / 1000);
	}
	if (!rgb)
		return err_set(e, ERR_INVALID, "it cannot be read: %s",
			       stbi_failure_reason());
	*out = (struct pixels){ rgb, (uint32_t)width, (uint32_t)height };
	return 0;
}

/* Turning takes a second copy for a moment, as the encoder does later. */
int pixels_read(struct str file, struct pixels *out, struct err *e)
{
	if (decode(file, out, e))
		return -1;
	turn_upright(out, exif_orientation(file));
	return 0;
}

void pixels_fini(struct pixels *p)
{
	free(p->rgb);
	*p = (struct pixels){ 0 };
}
