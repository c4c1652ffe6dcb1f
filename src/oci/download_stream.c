#include "oci/download_priv.h"

#include <stdio.h>

static void write_on(struct download_stream *s);

/* ---- to the disk ---- */

static int write_out(void *ctx, struct err *e)
{
	struct download_stream *s = ctx;
	return partial_write(s->d->partial, s->written_at, buf_str(&s->out), e);
}

/* The bytes lie in one chunk after the other. */
static void note(struct download_stream *s)
{
	struct ranges *have = &s->d->have;
	uint64_t at = s->written_at, left = s->out.n;
	while (left) {
		size_t i = (size_t)(at / have->chunk_bytes);
		uint64_t room =
			ranges_chunk_size(have, i) - have->chunks[i].done;
		uint64_t n = MIN(left, room);
		ranges_add(have, i, n);
		at += n;
		left -= n;
	}
	s->written_at = at;
}

static void on_written(void *ctx, int outcome, const struct err *e)
{
	struct download_stream *s = ctx;
	struct download *d = s->d;
	d->jobs--;
	s->is_writing = false;
	if (outcome) {
		download_on_fail(d, s, e);
		return;
	}
	note(s);
	d->got += s->out.n;
	buf_clear(&s->out);
	if (s->is_open) {
		write_on(s);
		if (s->is_paused && s->fetch) {
			s->is_paused = false;
			fetch_resume(s->fetch);
		}
	}
	if (s->is_open && s->is_ended && !s->is_writing) {
		s->is_open = false;
		download_on_done(d, s);
		return;
	}
	download_on_bytes(d);
}

/* Small pieces gather while the job before is under way. */
static void write_on(struct download_stream *s)
{
	bool is_enough = s->fill.n >= LIMIT_PULL_WRITE_BYTES / 2 || s->is_ended;
	if (s->is_writing || s->d->is_changing || !s->fill.n || !is_enough)
		return;
	struct buf empty = s->out;
	s->out = s->fill;
	s->fill = empty;
	s->is_writing = true;
	s->d->jobs++;
	lane_start(s->d->all->lane, &s->job, write_out, on_written, s);
}

/* ---- from the network ---- */

static void give_up(struct download_stream *s, struct err *e)
{
	if (s->fetch)
		fetch_cancel(steal(&s->fetch));
	download_on_fail(s->d, s, e);
}

/* "bytes 0-99/1000", and it must be what we asked for. */
static bool is_our_range(const struct download_stream *s, struct str text)
{
	char want[80], open[80];
	unsigned long long at = s->at, last = s->end - 1, all = s->d->bytes;
	snprintf(want, sizeof want, "bytes %llu-%llu/%llu", at, last, all);
	snprintf(open, sizeof open, "bytes %llu-%llu/*", at, last);
	return str_eq_nocase(text, want) || str_eq_nocase(text, open);
}

static void on_head(void *ctx, int status)
{
	struct download_stream *s = ctx;
	struct download *d = s->d;
	struct str range = fetch_field(s->fetch, "Content-Range");
	struct str length = fetch_field(s->fetch, "Content-Length");
	uint64_t n;
	struct err e;
	const struct weburl *location = fetch_location(s->fetch);
	if (location && !d->has_location) {
		d->has_location = true;
		d->location = *location;
	}
	s->is_everything = status == 200;
	if (status == 206 && !is_our_range(s, range)) {
		err_set(&e, ERR_CORRUPT,
			"the server sends another range than the one that "
			"was asked for (%.*s)",
			STR_ARG(str_head(range, 60)));
		give_up(s, &e);
		return;
	}
	uint64_t expected = status == 206 ? s->end - s->at : d->bytes;
	if (length.p && str_to_u64(length, &n) && n != expected) {
		err_set(&e, ERR_CORRUPT,
			"the server says that blob sha256:%s has %llu bytes; "
			"it should have %llu",
			d->blob.hex,
			(unsigned long long)(d->bytes - expected + n),
			(unsigned long long)d->bytes);
		give_up(s, &e);
		return;
	}
	download_on_head(d, s);
}

static int on_body(void *ctx, struct str piece)
{
	struct download_stream *s = ctx;
	struct err e;
	uint64_t skipped = MIN(s->skip, (uint64_t)piece.n);
	s->skip -= skipped;
	piece = str_tail(piece, (size_t)skipped);
	if (piece.n > s->end - s->at) {
		err_set(&e, ERR_CORRUPT,
			"the server sends more than the %llu bytes of blob "
			"sha256:%s",
			(unsigned long long)s->d->bytes, s->d->blob.hex);
		give_up(s, &e);
		return 0;
	}
	if (buf_put(&s->fill, piece.p, piece.n))
		abort(); /* it was paused long before */
	s->at += piece.n;
	write_on(s);
	if (s->fill.n < LIMIT_PULL_WRITE_BYTES)
		return 0;
	s->is_paused = true;
	return TRANSFER_FULL;
}

static void on_end(void *ctx, int outcome, const struct err *e)
{
	struct download_stream *s = ctx;
	struct download *d = s->d;
	struct err why;
	d->pause_ms = MAX(d->pause_ms, fetch_retry_after_ms(s->fetch));
	s->fetch = NULL;
	if (outcome == 0 && s->at < s->end) {
		err_set(&why, ERR_ENGINE,
			"the server ended blob sha256:%s after %llu of %llu "
			"bytes",
			d->blob.hex, (unsigned long long)s->at,
			(unsigned long long)s->end);
		e = &why;
		outcome = -1;
	}
	if (outcome) {
		download_on_fail(d, s, e);
		return;
	}
	s->is_ended = true;
	write_on(s);
	if (!s->is_writing && !s->fill.n) {
		s->is_open = false;
		download_on_done(d, s);
	}
}

static const struct fetch_fns fns = { .on_head = on_head,
				      .on_body = on_body,
				      .on_end = on_end };

/* ---- start and stop ---- */

void download_stream_start(struct download_stream *s)
{
	struct download *d = s->d;
	char range[64];
	uint64_t begin = s->chunk * d->have.chunk_bytes;
	s->is_open = true;
	s->is_ended = s->is_paused = s->is_everything = false;
	s->skip = 0;
	s->at = s->written_at = begin + d->have.chunks[s->chunk].done;
	s->end = begin + ranges_chunk_size(&d->have, s->chunk);
	bool is_all = s->at == 0 && (d->have.n == 1 || d->ranges == RANGES_NO);
	snprintf(range, sizeof range, "bytes=%llu-%llu",
		 (unsigned long long)s->at, (unsigned long long)s->end - 1);
	s->fetch = fetch_start(
		d->registry,
		&(struct fetch_request){
			.path = d->path,
			.location = d->has_location ? &d->location : NULL,
			.range = is_all || d->ranges == RANGES_NO ? NULL
								  : range },
		&fns, s);
}

void download_stream_go_on(struct download_stream *s)
{
	if (s->is_open)
		write_on(s);
}

void download_stream_stop(struct download_stream *s)
{
	if (s->fetch)
		fetch_cancel(steal(&s->fetch));
	s->is_open = false;
	buf_release(&s->fill);
	if (!s->is_writing)
		buf_release(&s->out);
}

void download_stream_init(struct download_stream *s, struct download *d)
{
	/* A pause comes at LIMIT_PULL_WRITE_BYTES, after the read. */
	size_t max = LIMIT_PULL_WRITE_BYTES + 2 * LIMIT_TRANSFER_READ_BYTES;
	s->d = d;
	buf_init(&s->fill, max);
	buf_init(&s->out, max);
}

void download_stream_fini(struct download_stream *s)
{
	buf_fini(&s->fill);
	buf_fini(&s->out);
}
