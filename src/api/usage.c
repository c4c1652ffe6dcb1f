#include "api/usage.h"

void usage_see(struct usage *u, struct str piece)
{
	piece = str_tail(piece, piece.n > USAGE_TAIL_BYTES
					? piece.n - USAGE_TAIL_BYTES
					: 0);
	size_t keep = MIN(u->n, USAGE_TAIL_BYTES - piece.n);
	memmove(u->tail, u->tail + u->n - keep, keep);
	if (piece.n)
		memcpy(u->tail + keep, piece.p, piece.n);
	u->n = keep + piece.n;
}

void usage_count(struct usage *u, struct str piece)
{
	const char *end = piece.p + piece.n, *p = piece.p;
	if (!piece.n)
		return;
	u->breaks += u->after_break && *p == '\n';
	while ((p = memchr(p, '\n', (size_t)(end - p))) && ++p < end)
		u->breaks += *p == '\n';
	u->after_break = end[-1] == '\n';
}

uint64_t usage_guess(const struct usage *u, size_t question_bytes)
{
	return u->breaks + question_bytes / 4;
}

/* The text after the last `"key":` in s; .p is NULL if there is none. */
static struct str after(struct str s, const char *key)
{
	struct str found = { NULL, 0 };
	size_t n = strlen(key);
	const char *hit;
	while (s.n && (hit = memmem(s.p, s.n, key, n))) {
		s = str_tail(s, (size_t)(hit - s.p) + n);
		found = s;
	}
	return found;
}

static bool number(struct str s, const char *key, uint64_t *out)
{
	struct str at = after(s, key);
	size_t n = 0;
	if (!at.p)
		return false;
	while (at.n && at.p[0] == ' ')
		at = str_tail(at, 1);
	while (n < at.n && at.p[n] >= '0' && at.p[n] <= '9')
		n++;
	return str_to_u64(str_head(at, n), out);
}

bool usage_read(const struct usage *u, struct usage_counts *out)
{
	struct str tail = { u->tail, u->n };
	struct str usage = after(tail, "\"usage\":");
	struct str timings = after(tail, "\"timings\":");
	*out = (struct usage_counts){ 0 };
	if (usage.p && number(usage, "\"prompt_tokens\":", &out->prompt)) {
		number(usage, "\"completion_tokens\":", &out->completion);
		number(usage, "\"cached_tokens\":", &out->cached);
		return true;
	}
	uint64_t computed;
	if (!timings.p || !number(timings, "\"prompt_n\":", &computed))
		return false;
	number(timings, "\"cache_n\":", &out->cached);
	number(timings, "\"predicted_n\":", &out->completion);
	out->prompt = computed + out->cached;
	return true;
}
