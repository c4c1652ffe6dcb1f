#include "oci/ranges.h"
#include "base/limits.h"

#include <assert.h>

static const char magic[] = "modeld ranges 1\n";

static uint64_t count(uint64_t bytes, uint64_t chunk_bytes)
{
	return bytes / chunk_bytes + (bytes % chunk_bytes != 0);
}

void ranges_init(struct ranges *r, uint64_t bytes, uint64_t chunk_bytes)
{
	while (count(bytes, chunk_bytes) > LIMIT_RANGES_CHUNKS)
		chunk_bytes *= 2;
	*r = (struct ranges){ .bytes = bytes, .chunk_bytes = chunk_bytes };
	assert(chunk_bytes > 0 && chunk_bytes <= UINT32_MAX);
	r->n = (size_t)count(bytes, chunk_bytes);
	r->chunks = xcalloc(r->n ? r->n : 1, sizeof *r->chunks);
}

void ranges_fini(struct ranges *r)
{
	free(r->chunks);
	*r = (struct ranges){ 0 };
}

uint64_t ranges_chunk_size(const struct ranges *r, size_t i)
{
	return MIN(r->chunk_bytes, r->bytes - i * r->chunk_bytes);
}

static bool is_whole(const struct ranges *r, size_t i)
{
	return r->chunks[i].done == ranges_chunk_size(r, i);
}

static void advance(struct ranges *r)
{
	while (r->first < r->n && is_whole(r, r->first))
		r->first++;
}

bool ranges_take(struct ranges *r, size_t *out)
{
	for (size_t i = r->first; i < r->n; i++) {
		if (r->chunks[i].is_taken || is_whole(r, i))
			continue;
		r->chunks[i].is_taken = true;
		*out = i;
		return true;
	}
	return false;
}

void ranges_give_back(struct ranges *r, size_t i)
{
	r->chunks[i].is_taken = false;
}

void ranges_add(struct ranges *r, size_t i, uint64_t n)
{
	assert(n <= ranges_chunk_size(r, i) - r->chunks[i].done);
	r->chunks[i].done += (uint32_t)n;
	advance(r);
}

void ranges_set_prefix(struct ranges *r, uint64_t n)
{
	assert(n <= r->bytes);
	for (size_t i = 0; i < r->n; i++) {
		uint64_t begin = i * r->chunk_bytes;
		uint64_t there = n > begin ? n - begin : 0;
		r->chunks[i].done =
			(uint32_t)MIN(there, ranges_chunk_size(r, i));
	}
	r->first = 0;
	advance(r);
}

uint64_t ranges_prefix(const struct ranges *r)
{
	if (r->first == r->n)
		return r->bytes;
	return r->first * r->chunk_bytes + r->chunks[r->first].done;
}

uint64_t ranges_total(const struct ranges *r)
{
	uint64_t total = 0;
	for (size_t i = 0; i < r->n; i++)
		total += r->chunks[i].done;
	return total;
}

bool ranges_is_whole(const struct ranges *r)
{
	return r->first == r->n;
}

/* ---- on disk ---- */

static void put_le(uint64_t value, size_t n, char *out)
{
	for (size_t i = 0; i < n; i++)
		out[i] = (char)(value >> (8 * i));
}

static uint64_t get_le(const char *p, size_t n)
{
	uint64_t value = 0;
	for (size_t i = 0; i < n; i++)
		value |= (uint64_t)(unsigned char)p[i] << (8 * i);
	return value;
}

void ranges_put_header(const struct ranges *r, char out[RANGES_HEADER_BYTES])
{
	memcpy(out, magic, 16);
	put_le(r->bytes, 8, out + 16);
	put_le(r->chunk_bytes, 8, out + 24);
}

void ranges_put_slot(uint32_t done, char out[RANGES_SLOT_BYTES])
{
	put_le(done, RANGES_SLOT_BYTES, out);
}

size_t ranges_text_bytes(const struct ranges *r)
{
	return RANGES_HEADER_BYTES + r->n * RANGES_SLOT_BYTES;
}

bool ranges_read(struct str text, uint64_t bytes, struct ranges *out)
{
	if (text.n < RANGES_HEADER_BYTES || memcmp(text.p, magic, 16) != 0 ||
	    get_le(text.p + 16, 8) != bytes)
		return false;
	uint64_t chunk = get_le(text.p + 24, 8);
	if (chunk == 0 || chunk > UINT32_MAX ||
	    count(bytes, chunk) > LIMIT_RANGES_CHUNKS ||
	    text.n != RANGES_HEADER_BYTES +
			      count(bytes, chunk) * RANGES_SLOT_BYTES)
		return false;
	ranges_init(out, bytes, chunk);
	for (size_t i = 0; i < out->n; i++) {
		uint64_t done = get_le(text.p + RANGES_HEADER_BYTES +
					       i * RANGES_SLOT_BYTES,
				       RANGES_SLOT_BYTES);
		if (done > ranges_chunk_size(out, i)) {
			ranges_fini(out);
			return false;
		}
		out->chunks[i].done = (uint32_t)done;
	}
	advance(out);
	return true;
}
