/* A map file that anybody may have written, then any order of events: the
 * counts stay true. */
#include "oci/ranges.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

static void check(const struct ranges *r)
{
	uint64_t prefix = ranges_prefix(r), total = ranges_total(r);
	if (prefix > total || total > r->bytes ||
	    ranges_is_whole(r) != (total == r->bytes))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct ranges r;
	uint64_t bytes = 0;
	size_t i;
	if (n < 8)
		return 0;
	memcpy(&bytes, p, 8);
	bytes %= 1 << 14;
	if (ranges_read((struct str){ (const char *)p + 8, n - 8 }, bytes,
			&r)) {
		check(&r);
		ranges_fini(&r);
	}
	ranges_init(&r, bytes, 1 + p[0] * 64u);
	for (size_t at = 8; at + 1 < n; at += 2) {
		if (!ranges_take(&r, &i))
			break;
		uint64_t left = ranges_chunk_size(&r, i) - r.chunks[i].done;
		ranges_add(&r, i, MIN(left, p[at] * 64ull));
		if (p[at + 1] & 1)
			ranges_give_back(&r, i);
		if (p[at + 1] == 0xfe)
			ranges_set_prefix(&r, ranges_prefix(&r));
		check(&r);
	}
	ranges_fini(&r);
	return 0;
}
