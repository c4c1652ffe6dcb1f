#include "cli/human.h"
#include "base/duration.h"

#include <stdio.h>
#include <time.h>

void human_size(double bytes, char out[HUMAN_BYTES])
{
	static const char *const units[] = { "B",  "kB", "MB", "GB", "TB",
					     "PB", "EB", "ZB", "YB" };
	size_t unit = 0;
	while (bytes >= 1000 && unit + 1 < ARRAY_LEN(units)) {
		bytes /= 1000;
		unit++;
	}
	snprintf(out, HUMAN_BYTES, "%.2f%s", bytes, units[unit]);
}

void human_duration(int64_t seconds, char out[HUMAN_BYTES])
{
	int64_t minutes = seconds / 60;
	int64_t hours = (seconds + 1800) / 3600;
	long long n;
	const char *unit;
	if (seconds < 1) {
		snprintf(out, HUMAN_BYTES, "Less than a second");
		return;
	}
	if (seconds >= 60 && minutes == 1) {
		snprintf(out, HUMAN_BYTES, "About a minute");
		return;
	}
	if (minutes >= 60 && hours == 1) {
		snprintf(out, HUMAN_BYTES, "About an hour");
		return;
	}
	if (seconds < 60)
		n = seconds, unit = seconds == 1 ? "second" : "seconds";
	else if (minutes < 60)
		n = minutes, unit = "minutes";
	else if (hours < 48)
		n = hours, unit = "hours";
	else if (hours < 24 * 7 * 2)
		n = hours / 24, unit = "days";
	else if (hours < 24 * 30 * 2)
		n = hours / 24 / 7, unit = "weeks";
	else if (hours < 24 * 365 * 2)
		n = hours / 24 / 30, unit = "months";
	else
		n = seconds / 3600 / 24 / 365, unit = "years";
	snprintf(out, HUMAN_BYTES, "%lld %s", n, unit);
}

bool human_parse_duration(struct str text, int64_t *seconds)
{
	int64_t ms;
	if (!duration_parse(text, &ms))
		return false;
	*seconds = ms < 0 ? (ms - 999) / 1000 : ms / 1000;
	return true;
}

/* Two or four digits at p. */
static bool digits(struct str s, size_t at, size_t n, int *out)
{
	uint64_t v;
	if (at + n > s.n || !str_to_u64((struct str){ s.p + at, n }, &v))
		return false;
	*out = (int)v;
	return true;
}

/* "Z", or "+01:00" after an optional fraction, in seconds east. */
static bool parse_zone(struct str s, int *east)
{
	int h, m;
	if (str_starts(s, ".")) {
		size_t n = 1;
		while (n < s.n && s.p[n] >= '0' && s.p[n] <= '9')
			n++;
		if (n == 1)
			return false;
		s = str_tail(s, n);
	}
	*east = 0;
	if (str_eq_nocase(s, "z"))
		return true;
	if (s.n != 6 || (s.p[0] != '+' && s.p[0] != '-') || s.p[3] != ':' ||
	    !digits(s, 1, 2, &h) || !digits(s, 4, 2, &m))
		return false;
	*east = (h * 60 + m) * (s.p[0] == '-' ? -60 : 60);
	return true;
}

bool human_parse_time(struct str text, int64_t *seconds)
{
	struct tm t = { 0 };
	int east;
	if (text.n < 20 || text.p[4] != '-' || text.p[7] != '-' ||
	    (text.p[10] != 'T' && text.p[10] != 't') || text.p[13] != ':' ||
	    text.p[16] != ':' || !digits(text, 0, 4, &t.tm_year) ||
	    !digits(text, 5, 2, &t.tm_mon) || !digits(text, 8, 2, &t.tm_mday) ||
	    !digits(text, 11, 2, &t.tm_hour) ||
	    !digits(text, 14, 2, &t.tm_min) ||
	    !digits(text, 17, 2, &t.tm_sec) ||
	    !parse_zone(str_tail(text, 19), &east))
		return false;
	t.tm_year -= 1900;
	t.tm_mon -= 1;
	*seconds = (int64_t)timegm(&t) - east;
	return true;
}
