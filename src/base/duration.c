#include "base/duration.h"

#include <math.h>
#include <stdio.h>

/* Some 30,000 years: what a double still counts in milliseconds. */
#define MOST_MS 1e15

/* Digits at the front of *s, with a fraction, as a number. */
static bool take_number(struct str *s, double *out)
{
	double scale = 0;
	size_t n = 0;
	*out = 0;
	for (; n < s->n; n++) {
		char c = s->p[n];
		if (c == '.' && scale == 0)
			scale = 1;
		else if (c < '0' || c > '9')
			break;
		else if (scale > 0)
			*out += (c - '0') * (scale /= 10);
		else
			*out = *out * 10 + (c - '0');
	}
	*s = str_tail(*s, n);
	return n > 0 && !(n == 1 && scale == 1);
}

bool duration_parse(struct str text, int64_t *out_ms)
{
	/* Longer names first: "m" begins "ms". */
	static const struct {
		const char *name;
		double ms;
	} units[] = {
		{ "ms", 1 },	{ "us", 1e-3 },	 { "\xc2\xb5s", 1e-3 },
		{ "ns", 1e-6 }, { "h", 3600e3 }, { "m", 60e3 },
		{ "s", 1e3 },
	};
	bool is_negative = str_starts(text, "-");
	double total = 0, n;
	uint64_t plain;
	if (is_negative)
		text = str_tail(text, 1);
	/* "0" and "-1" (for ever) need no unit. */
	if (str_to_u64(text, &plain) && plain <= (is_negative ? 1u : 0u)) {
		*out_ms = plain ? -1 : 0;
		return true;
	}
	if (!text.n)
		return false;
	while (text.n) {
		size_t i = 0;
		if (!take_number(&text, &n))
			return false;
		while (i < ARRAY_LEN(units) && !str_starts(text, units[i].name))
			i++;
		if (i == ARRAY_LEN(units))
			return false;
		text = str_tail(text, strlen(units[i].name));
		total += n * units[i].ms;
	}
	if (!(total <= MOST_MS))
		return false;
	/* Also less than a millisecond below 0 is below 0. */
	*out_ms = is_negative && total > 0 ? (int64_t)floor(-total)
					   : (int64_t)total;
	return true;
}

const char *duration_text(int64_t ms, char out[DURATION_TEXT_BYTES])
{
	long long h = ms / 3600000, m = ms / 60000 % 60;
	double s = (double)(ms % 60000) / 1000;
	if (ms < 0)
		snprintf(out, DURATION_TEXT_BYTES, "-1");
	else if (ms && ms < 1000)
		snprintf(out, DURATION_TEXT_BYTES, "%lldms", (long long)ms);
	else if (h)
		snprintf(out, DURATION_TEXT_BYTES, "%lldh%lldm%.5gs", h, m, s);
	else if (m)
		snprintf(out, DURATION_TEXT_BYTES, "%lldm%.5gs", m, s);
	else
		snprintf(out, DURATION_TEXT_BYTES, "%.5gs", s);
	return out;
}
