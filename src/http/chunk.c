#include "http/chunk.h"
#include "base/limits.h"
#include "http/head_priv.h"

/* One state per place in the grammar of RFC 9112, section 7.1:
 *
 *   size *( ";" name [ "=" ( token | quoted ) ] ) CRLF data CRLF
 *   ... "0" ... CRLF *( name ":" value CRLF ) CRLF
 *
 * Data is passed on in runs; every other byte is a step, and a byte that has no
 * place where it stands is refused. White space around ";" and "=", which the
 * RFC lets a lenient parser take, is not (parsers differ on it). */
enum state {
	SIZE,
	EXT_NAME,
	EXT_VALUE,
	EXT_QUOTED,
	EXT_ESCAPE,
	EXT_AFTER_QUOTED,
	SIZE_LF,
	DATA,
	DATA_CR,
	DATA_LF,
	TRAILER_START,
	TRAILER_NAME,
	TRAILER_VALUE,
	TRAILER_LF,
	LAST_LF,
	OVER,
};

enum { MAX_DIGITS = 16 };

void chunk_decoder_init(struct chunk_decoder *d)
{
	*d = (struct chunk_decoder){ .state = SIZE };
}

static int bad(struct err *e, const char *why)
{
	return err_set(e, ERR_INVALID, "the chunked body is wrong: %s", why);
}

static bool is(unsigned char c, unsigned class)
{
	return (head_class[c] & class) != 0;
}

/* Where a part of the size line ends: at the next extension or at CR. */
static bool line_goes_on(struct chunk_decoder *d, unsigned char c)
{
	d->mark = 0;
	if (c == ';')
		d->state = EXT_NAME;
	else if (c == '\r')
		d->state = SIZE_LF;
	else
		return false;
	return true;
}

static int size(struct chunk_decoder *d, unsigned char c, struct err *e)
{
	int digit = str_hex((char)c);
	if (digit >= 0) {
		if (d->digits == MAX_DIGITS)
			return bad(e, "a chunk size is too long");
		d->digits++;
		d->left = d->left << 4 | (uint64_t)digit;
		return 0;
	}
	if (!d->digits || !line_goes_on(d, c))
		return bad(e, "a chunk size must be hex digits");
	return 0;
}

/* `mark` tells that the token being read has a character. */
static int extension(struct chunk_decoder *d, unsigned char c, struct err *e)
{
	bool ok;
	if (d->state == EXT_QUOTED) {
		ok = is(c, HEAD_VALUE);
		d->state = c == '"'    ? EXT_AFTER_QUOTED
			   : c == '\\' ? EXT_ESCAPE
				       : EXT_QUOTED;
	} else if (d->state == EXT_ESCAPE) {
		ok = is(c, HEAD_VALUE);
		d->state = EXT_QUOTED;
	} else if (d->state == EXT_AFTER_QUOTED) {
		ok = line_goes_on(d, c);
	} else if (is(c, HEAD_TOKEN)) {
		ok = true;
		d->mark = 1;
	} else if (d->state == EXT_VALUE && c == '"') {
		ok = !d->mark;
		d->state = EXT_QUOTED;
	} else if (d->state == EXT_NAME && c == '=') {
		ok = d->mark;
		d->mark = 0;
		d->state = EXT_VALUE;
	} else {
		ok = d->mark && line_goes_on(d, c);
	}
	return ok ? 0 : bad(e, "a chunk extension is malformed");
}

/* A trailer cannot change the framing that it ends; one that tries is meant for
 * a parser that merges it into the head (RFC 9110, section 6.5.1). */
static bool is_framing_field(const struct chunk_decoder *d)
{
	struct str name = { d->name, (size_t)d->mark };
	return str_eq_nocase(name, "Content-Length") ||
	       str_eq_nocase(name, "Transfer-Encoding");
}

/* `mark` counts the bytes of the name, of which enough are kept. */
static int trailer_name(struct chunk_decoder *d, unsigned char c, struct err *e)
{
	if (d->state == TRAILER_START)
		d->mark = 0;
	if (is(c, HEAD_TOKEN)) {
		d->state = TRAILER_NAME;
		if (d->mark < (int)sizeof d->name)
			d->name[d->mark++] = (char)c;
	} else if (d->state == TRAILER_START && c == '\r') {
		d->state = LAST_LF;
	} else if (d->state == TRAILER_NAME && c == ':') {
		d->state = TRAILER_VALUE;
		if (is_framing_field(d))
			return bad(e, "a trailer field about its framing");
	} else {
		return bad(e, "a trailer field has no name");
	}
	return 0;
}

static int trailer_value(struct chunk_decoder *d, unsigned char c,
			 struct err *e)
{
	if (c == '\r')
		d->state = TRAILER_LF;
	else if (!is(c, HEAD_VALUE))
		return bad(e, "a control character in a trailer field");
	return 0;
}

static int expect(struct chunk_decoder *d, unsigned char c, char wanted,
		  enum state next, struct err *e)
{
	if (c != (unsigned char)wanted)
		return bad(e, "CR LF is missing");
	d->state = next;
	return 0;
}

/* Any byte that is not data. */
static int step(struct chunk_decoder *d, unsigned char c, struct err *e)
{
	d->line++;
	switch ((enum state)d->state) {
	case SIZE:
		return size(d, c, e);
	case EXT_NAME:
	case EXT_VALUE:
	case EXT_QUOTED:
	case EXT_ESCAPE:
	case EXT_AFTER_QUOTED:
		return extension(d, c, e);
	case SIZE_LF:
		d->line = 0;
		return expect(d, c, '\n', d->left ? DATA : TRAILER_START, e);
	case DATA_CR:
		return expect(d, c, '\r', DATA_LF, e);
	case DATA_LF:
		chunk_decoder_init(d);
		return expect(d, c, '\n', SIZE, e);
	case TRAILER_START:
	case TRAILER_NAME:
		return trailer_name(d, c, e);
	case TRAILER_VALUE:
		return trailer_value(d, c, e);
	case TRAILER_LF:
		return expect(d, c, '\n', TRAILER_START, e);
	case LAST_LF:
		return expect(d, c, '\n', OVER, e);
	case DATA:
	case OVER:
		break;
	}
	abort(); /* chunk_decode() takes no step there */
}

static int check_line(const struct chunk_decoder *d, struct err *e)
{
	if (d->state <= SIZE_LF && d->line > LIMIT_CHUNK_LINE_BYTES)
		return bad(e, "a chunk size line is too long");
	if (d->state >= TRAILER_START && d->line > LIMIT_TRAILER_BYTES)
		return err_set(e, ERR_HEAD_LARGE,
			       "the trailer is larger than %d bytes",
			       LIMIT_TRAILER_BYTES);
	return 0;
}

int chunk_decode(struct chunk_decoder *d, struct str *in, struct str *data,
		 struct err *e)
{
	*data = (struct str){ in->p, 0 };
	while (d->state != OVER && in->n) {
		if (d->state == DATA) {
			*data = str_head(*in, (size_t)MIN(d->left, in->n));
			*in = str_tail(*in, data->n);
			d->left -= data->n;
			if (!d->left)
				d->state = DATA_CR;
			return in->n ? 0 : CHUNK_MORE;
		}
		if (step(d, (unsigned char)in->p[0], e) || check_line(d, e))
			return -1;
		in->p++;
		in->n--;
	}
	return d->state == OVER ? CHUNK_DONE : CHUNK_MORE;
}

struct str chunk_head(uint64_t n, char *out)
{
	static const char hex_digits[] = "0123456789abcdef";
	char *p = out + CHUNK_HEAD_BYTES;
	*--p = '\n';
	*--p = '\r';
	do {
		*--p = hex_digits[n & 15];
		n >>= 4;
	} while (n);
	return (struct str){ p, (size_t)(out + CHUNK_HEAD_BYTES - p) };
}
